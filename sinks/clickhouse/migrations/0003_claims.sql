-- Things with a life. The table keeps every revision (what was known then), `_now` the newest one.
CREATE TABLE IF NOT EXISTS {database}.hotspots (
    opened_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    hotspot_id String CODEC(ZSTD(1)),
    revision UInt32,
    state LowCardinality(String) COMMENT 'open, cooling, closed',
    method LowCardinality(String),
    provisional UInt8,
    level LowCardinality(String) COMMENT 'blue, yellow, orange, red',
    layer LowCardinality(String),
    cells Array(String) CODEC(ZSTD(1)),
    category LowCardinality(String),
    updated_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'event time of the revision',
    window_start DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    window_end DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    observed UInt32,
    expected Float64,
    score Float64 COMMENT '-log10 of the tail probability',
    history_days UInt16,
    versions Map(LowCardinality(String), String),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(opened_at) ORDER BY (opened_at, hotspot_id, revision);

CREATE TABLE IF NOT EXISTS {database}.hotspots_now AS {database}.hotspots
ENGINE = ReplacingMergeTree(revision) PARTITION BY toYear(opened_at) ORDER BY (opened_at, hotspot_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_hotspots_now TO {database}.hotspots_now AS
SELECT * FROM {database}.hotspots;

CREATE TABLE IF NOT EXISTS {database}.repeat_clusters (
    opened_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    cluster_id String CODEC(ZSTD(1)),
    revision UInt32,
    state LowCardinality(String) COMMENT 'open, closed',
    place_key String CODEC(ZSTD(1)),
    hidden UInt8 COMMENT 'one of its signals is secret or sensitive',
    address String CODEC(ZSTD(1)) COMMENT 'as last written',
    cells Array(String) CODEC(ZSTD(1)) COMMENT 'a code a layer, finest first',
    category LowCardinality(String),
    updated_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'event time of the revision',
    first_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    last_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    incidents UInt32,
    messages UInt32,
    reporters UInt32,
    sources Array(LowCardinality(String)),
    versions Map(LowCardinality(String), String),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(opened_at) ORDER BY (opened_at, cluster_id, revision);

CREATE TABLE IF NOT EXISTS {database}.repeat_clusters_now AS {database}.repeat_clusters
ENGINE = ReplacingMergeTree(revision) PARTITION BY toYear(opened_at) ORDER BY (opened_at, cluster_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_repeat_clusters_now TO {database}.repeat_clusters_now AS
SELECT * FROM {database}.repeat_clusters;

CREATE TABLE IF NOT EXISTS {database}.alerts (
    opened_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    alert_id String CODEC(ZSTD(1)),
    revision UInt32,
    state LowCardinality(String) COMMENT 'open, closed',
    level LowCardinality(String),
    subject_kind LowCardinality(String) COMMENT 'hotspot, repeat',
    subject_id String CODEC(ZSTD(1)),
    updated_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'event time of the revision',
    cells Array(String) CODEC(ZSTD(1)),
    category LowCardinality(String),
    reason String CODEC(ZSTD(1)),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(opened_at) ORDER BY (opened_at, alert_id, revision);

CREATE TABLE IF NOT EXISTS {database}.alerts_now AS {database}.alerts
ENGINE = ReplacingMergeTree(revision) PARTITION BY toYear(opened_at) ORDER BY (opened_at, alert_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_alerts_now TO {database}.alerts_now AS
SELECT * FROM {database}.alerts;

-- Who was told what, when: one row an attempt.
CREATE TABLE IF NOT EXISTS {database}.alert_deliveries (
    at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    alert_id String CODEC(ZSTD(1)),
    revision UInt32,
    subscription LowCardinality(String),
    channel LowCardinality(String),
    attempt UInt16,
    outcome LowCardinality(String) COMMENT 'sent, refused, failed, expired, acknowledged',
    http_status UInt16,
    code String,
    latency_ms UInt32,
    acknowledged_by String
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(at)
ORDER BY (at, alert_id, revision, subscription, channel, attempt);
