-- What the fold has counted. A row is the count itself, not an increment; coarser panes are written as such, because
-- the distinct incidents and reporters of a day are not the sum of its quarters of an hour.
CREATE TABLE IF NOT EXISTS {database}.incidents (
    opened_at DateTime64(3, '{timezone}') CODEC(DoubleDelta, ZSTD(1)),
    incident_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    state LowCardinality(String) COMMENT 'open, merged, withdrawn',
    last_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    category LowCardinality(String),
    category1 LowCardinality(String) DEFAULT substringIndex(category, '/', 1),
    unit_cell String CODEC(ZSTD(1)),
    street LowCardinality(String),
    district LowCardinality(String),
    cells Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    place_key String CODEC(ZSTD(1)),
    address String CODEC(ZSTD(1)),
    messages UInt32 CODEC(T64, ZSTD(1)),
    reporters UInt32 CODEC(T64, ZSTD(1)),
    sources Array(LowCardinality(String)),
    severity UInt8,
    merged_into String CODEC(ZSTD(1)),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(opened_at) ORDER BY (opened_at, incident_id);

CREATE TABLE IF NOT EXISTS {database}.grid_counts (
    layer LowCardinality(String) COMMENT 'a grid layer, city or source',
    minutes UInt16 COMMENT 'length of the pane: 15, 60, 1440',
    pane_start DateTime('{timezone}') CODEC(Delta, ZSTD(1)),
    category LowCardinality(String),
    cell String CODEC(ZSTD(1)) COMMENT 'code in the layer; the name of the source in layer source',
    messages UInt32 CODEC(T64, ZSTD(1)),
    incidents UInt32 CODEC(T64, ZSTD(1)) COMMENT 'distinct incidents with a signal here',
    opened UInt32 CODEC(T64, ZSTD(1)) COMMENT 'incidents whose first signal is here: adds up',
    reporters UInt32 CODEC(T64, ZSTD(1)),
    state LowCardinality(String) COMMENT 'provisional, final, revised',
    version UInt64 CODEC(T64, ZSTD(1))
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(pane_start)
ORDER BY (layer, minutes, pane_start, category, cell);
