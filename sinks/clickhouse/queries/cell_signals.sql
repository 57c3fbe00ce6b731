-- The signals of a cell in [from_ms, to_ms), newest first, masked.
SELECT
    signal_id, toUnixTimestamp64Milli(occurred_at) AS occurred_at_ms, source, category, severity, state, incident_id,
    place_key, address, summary
FROM {database:Identifier}.v_cell_signals
WHERE unit_cell = {cell:String}
    AND occurred_at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND occurred_at < fromUnixTimestamp64Milli({to_ms:Int64})
ORDER BY occurred_at DESC, signal_id LIMIT {limit:UInt32}
