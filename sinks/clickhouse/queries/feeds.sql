-- When each source was last heard of.
SELECT
    source, toUnixTimestamp64Milli(last_occurred) AS last_occurred_ms,
    toUnixTimestamp64Milli(last_reported) AS last_reported_ms, toUnixTimestamp64Milli(last_ingested) AS last_ingested_ms
FROM {database:Identifier}.v_feeds ORDER BY source
