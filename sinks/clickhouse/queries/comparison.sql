-- Signals by cell of a layer in three spans of whole days: this one, the one before it (环比), that of last year (同比).
SELECT
    cell,
    sumIf(counts.messages, pane_start >= toDateTime(intDiv({from_ms:Int64}, 1000))
        AND pane_start < toDateTime(intDiv({to_ms:Int64}, 1000))) AS messages,
    sumIf(counts.messages, pane_start >= toDateTime(intDiv({before_from_ms:Int64}, 1000))
        AND pane_start < toDateTime(intDiv({before_to_ms:Int64}, 1000))) AS messages_before,
    sumIf(counts.messages, pane_start >= toDateTime(intDiv({year_from_ms:Int64}, 1000))
        AND pane_start < toDateTime(intDiv({year_to_ms:Int64}, 1000))) AS messages_year_ago
FROM {database:Identifier}.v_grid_counts AS counts
WHERE layer = {layer:String} AND minutes = 1440 AND (
    (pane_start >= toDateTime(intDiv({from_ms:Int64}, 1000)) AND pane_start < toDateTime(intDiv({to_ms:Int64}, 1000)))
    OR (pane_start >= toDateTime(intDiv({before_from_ms:Int64}, 1000))
        AND pane_start < toDateTime(intDiv({before_to_ms:Int64}, 1000)))
    OR (pane_start >= toDateTime(intDiv({year_from_ms:Int64}, 1000))
        AND pane_start < toDateTime(intDiv({year_to_ms:Int64}, 1000)))
)
GROUP BY cell ORDER BY cell
