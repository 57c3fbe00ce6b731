-- Signals by day, hour, source and category: today (from today_ms) and the same day a week ago.
WITH toDateTime(intDiv({today_ms:Int64}, 1000)) AS today
SELECT
    toUnixTimestamp(pane_start) * 1000 AS hour_ms, cell AS source, category, sum(counts.messages) AS messages
FROM {database:Identifier}.v_grid_counts AS counts
WHERE layer = 'source' AND minutes = 60 AND (
    (pane_start >= today AND pane_start < today + 86400)
    OR (pane_start >= today - 604800 AND pane_start < today - 518400)
)
GROUP BY hour_ms, source, category ORDER BY hour_ms, source, category
