-- The cells of a layer with most signals since from_ms. minutes: 1440 if from_ms is a midnight, else 15.
SELECT cell, sum(counts.messages) AS messages, sum(counts.opened) AS opened
FROM {database:Identifier}.v_grid_counts AS counts
WHERE layer = {layer:String} AND minutes = {minutes:UInt16} AND pane_start >= toDateTime(intDiv({from_ms:Int64}, 1000))
GROUP BY cell ORDER BY messages DESC, cell LIMIT {limit:UInt32}
