-- The signals of an address in [from_ms, to_ms), newest first; secret and sensitive ones are left out.
SELECT
    signal_id, toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms, source, category, severity, state, incident_id,
    unit_cell
FROM {database:Identifier}.v_address_signals
WHERE place_key = {place_key:String}
    AND occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND occurred_at < fromUnixTimestamp64Milli({to_ms:Int64})
ORDER BY occurred_at DESC, signal_id LIMIT {limit:UInt32}
