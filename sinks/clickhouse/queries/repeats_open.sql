-- Places on the repeat list, most incidents first.
SELECT
    cluster_id, revision, place_key, address, cells, category, toUnixTimestamp64Milli(opened_at) AS opened_at_ms,
    toUnixTimestamp64Milli(updated_at) AS updated_at_ms, toUnixTimestamp64Milli(first_at) AS first_at_ms,
    toUnixTimestamp64Milli(last_at) AS last_at_ms, incidents, messages, reporters, sources
FROM {database:Identifier}.v_repeats_open
ORDER BY incidents DESC, cluster_id LIMIT {limit:UInt32}
