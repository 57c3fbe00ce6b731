-- The city today, yesterday to the same time and a week ago to the same time. today_ms: midnight; now_ms: now.
WITH
    toDateTime(intDiv({today_ms:Int64}, 1000)) AS today,
    toDateTime(intDiv({now_ms:Int64}, 1000)) AS now
SELECT
    sumIf(counts.messages, pane_start >= today) AS messages,
    sumIf(counts.messages, pane_start >= today - 86400 AND pane_start < now - 86400) AS messages_yesterday,
    sumIf(counts.messages, pane_start < now - 604800) AS messages_week_ago,
    sumIf(counts.opened, pane_start >= today) AS opened,
    sumIf(counts.opened, pane_start >= today - 86400 AND pane_start < now - 86400) AS opened_yesterday,
    sumIf(counts.opened, pane_start < now - 604800) AS opened_week_ago
FROM {database:Identifier}.v_grid_counts AS counts
WHERE layer = 'city' AND minutes = 15 AND (
    (pane_start >= today AND pane_start < now)
    OR (pane_start >= today - 86400 AND pane_start < now - 86400)
    OR (pane_start >= today - 604800 AND pane_start < now - 604800)
)
