-- Hot spots that are open or cooling, worst first.
SELECT
    hotspot_id, revision, state, method, provisional, level, layer, cells, category,
    toUnixTimestamp64Milli(opened_at) AS opened_at_ms, toUnixTimestamp64Milli(updated_at) AS updated_at_ms,
    toUnixTimestamp64Milli(window_start) AS window_start_ms, toUnixTimestamp64Milli(window_end) AS window_end_ms,
    observed, expected, score, history_days, versions
FROM {database:Identifier}.v_hotspots_open
ORDER BY score DESC, hotspot_id LIMIT {limit:UInt32}
