"""The same numbers by another way: plain pandas over the source files, to hold the pipeline's tables against.

Nothing here imports `schemas`, `geo`, `streams` or `sinks`; a rule that both sides need is written down a second time,
as naively as speed allows. What agrees was counted right twice.

    sources    source files            -> Signals: a row a signal, how many records were duplicates, revisions
    places     address, lon, lat       -> key of the place
    cells      lon, lat                -> codes of regular squares, of polygons
    incidents  signals                 -> the first signal of each one's incident
    panes      signals with incidents  -> counts per layer, length, pane, category, cell
    repeats    signals with incidents  -> the repeat list at the end
    tables     a chDB directory        -> what the pipeline stored
"""
