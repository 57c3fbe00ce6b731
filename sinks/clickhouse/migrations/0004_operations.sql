-- Dead letters, feeds and runs.
CREATE TABLE IF NOT EXISTS {database}.rejected (
    source LowCardinality(String),
    topic LowCardinality(String) COMMENT 'raw topic, or file:NAME',
    partition UInt32,
    offset Int64,
    reason LowCardinality(String) COMMENT 'stable code',
    detail String CODEC(ZSTD(1)),
    raw String CODEC(ZSTD(1)) COMMENT 'the bytes as they came',
    received_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree ORDER BY (source, topic, partition, offset);

CREATE TABLE IF NOT EXISTS {database}.feed_health (
    at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    state LowCardinality(String) COMMENT 'ok, late, silent',
    last_occurred DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    expected_gap_s UInt32,
    detail String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at) ORDER BY (source, at);

CREATE TABLE IF NOT EXISTS {database}.runs (
    id String,
    started_at DateTime64(3, '{timezone}'),
    finished_at Nullable(DateTime64(3, '{timezone}')) COMMENT 'NULL: not finished',
    arguments String COMMENT 'JSON',
    manifest String COMMENT 'JSON: versions, offsets, counts, result hash',
    version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY id;
