-- Heat of the map: signals and new incidents by cell of a layer in [from_ms, to_ms), of all categories or one.
-- minutes: the panes to add up (15 for hours, 1440 for days).
SELECT cell, sum(counts.messages) AS messages, sum(counts.opened) AS opened
FROM {database:Identifier}.v_grid_counts AS counts
WHERE layer = {layer:String} AND minutes = {minutes:UInt16}
    AND pane_start >= toDateTime(intDiv({from_ms:Int64}, 1000)) AND pane_start < toDateTime(intDiv({to_ms:Int64}, 1000))
    AND ({category:String} = '' OR category = {category:String})
GROUP BY cell HAVING messages > 0 ORDER BY cell
