-- Alerts that are open, newest first.
SELECT
    alert_id, revision, level, subject_kind, subject_id, cells, category, reason,
    toUnixTimestamp64Milli(opened_at) AS opened_at_ms, toUnixTimestamp64Milli(updated_at) AS updated_at_ms
FROM {database:Identifier}.v_alerts_open
ORDER BY opened_at DESC, alert_id LIMIT {limit:UInt32}
