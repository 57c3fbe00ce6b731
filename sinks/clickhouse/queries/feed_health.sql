-- How each feed stands now.
SELECT
    source, state, toUnixTimestamp64Milli(at) AS at_ms, toUnixTimestamp64Milli(since) AS since_ms,
    toUnixTimestamp64Milli(last_arrived) AS last_arrived_ms, observed, expected, ratio, rejected_share, delay_p50_s,
    delay_p95_s, opened_at > toDateTime64(0, 3) AS alert, detail
FROM {database:Identifier}.v_feed_health ORDER BY source
