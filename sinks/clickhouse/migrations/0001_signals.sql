-- Signals, in three orders. Rows enter through `signals_in`, which stores nothing: views copy each row, under its
-- newest place and, when a revision moved it, as a tombstone under the place it left. Copies of rows, never sums:
-- the same batch written twice collapses in each of them.
CREATE TABLE IF NOT EXISTS {database}.signals_in (
    reported_at DateTime64(3, '{timezone}') COMMENT 'when the source first took it down; never changes: key',
    signal_id String COMMENT 'source:record id',
    version UInt64 COMMENT 'number of items that have changed the row; 0: late, not in any count',
    source LowCardinality(String),
    revision Int64 COMMENT 'as the source counts it; -1: it does not',
    occurred_at DateTime64(3, '{timezone}') COMMENT 'event time',
    received_at DateTime64(3, '{timezone}') COMMENT 'broker time stamp; of a file: reported_at',
    ingested_at DateTime64(3, '{timezone}') COMMENT 'wall clock of the intake stage',
    category LowCardinality(String) COMMENT 'path, coarse to fine',
    category_code LowCardinality(String) COMMENT 'as the source wrote it',
    summary String COMMENT 'what was said, callers masked by the mapping',
    severity UInt8 COMMENT '0 unknown, 1 lowest .. 4 highest',
    state LowCardinality(String) COMMENT 'empty, raised, cleared, withdrawn, merged',
    relation LowCardinality(String),
    related_id String,
    flags Array(LowCardinality(String)),
    quality LowCardinality(String) COMMENT 'point, outside, unlocated',
    uncertainty_m Float32,
    lon Nullable(Float64) COMMENT 'WGS 84',
    lat Nullable(Float64) COMMENT 'WGS 84',
    unit_cell String COMMENT 'code in layer unit, or in the finest layer where none has this name',
    street LowCardinality(String),
    district LowCardinality(String),
    cells Map(LowCardinality(String), String) COMMENT 'codes in the other layers',
    place_key String COMMENT 'deepest key of the place; empty: none',
    address String COMMENT 'as written',
    reporter String COMMENT 'keyed hash; empty: unknown',
    incident_id String COMMENT 'empty: not counted',
    opens UInt8 COMMENT '1: first signal of its incident',
    prev_unit_cell String COMMENT 'place and time of the version before; of a new signal: its own',
    prev_place_key String,
    prev_occurred_at DateTime64(3, '{timezone}')
) ENGINE = Null;

CREATE TABLE IF NOT EXISTS {database}.signals (
    reported_at DateTime64(3, '{timezone}') CODEC(DoubleDelta, ZSTD(1)),
    signal_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    source LowCardinality(String),
    revision Int64 CODEC(ZSTD(1)),
    occurred_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    category LowCardinality(String),
    category1 LowCardinality(String) DEFAULT substringIndex(category, '/', 1),
    category_code LowCardinality(String),
    summary String CODEC(ZSTD(1)),
    severity UInt8,
    state LowCardinality(String),
    relation LowCardinality(String),
    related_id String CODEC(ZSTD(1)),
    flags Array(LowCardinality(String)),
    quality LowCardinality(String),
    uncertainty_m Float32 CODEC(ZSTD(1)),
    lon Nullable(Float64) CODEC(ZSTD(1)),
    lat Nullable(Float64) CODEC(ZSTD(1)),
    unit_cell String CODEC(ZSTD(1)),
    street LowCardinality(String),
    district LowCardinality(String),
    cells Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    place_key String CODEC(ZSTD(1)),
    address String CODEC(ZSTD(1)),
    reporter String CODEC(ZSTD(1)),
    incident_id String CODEC(ZSTD(1)),
    opens UInt8
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(reported_at) ORDER BY (reported_at, signal_id);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_signals TO {database}.signals AS
SELECT
    reported_at, signal_id, version, source, revision, occurred_at, received_at, ingested_at, category, category_code,
    summary, severity, state, relation, related_id, flags, quality, uncertainty_m, lon, lat, unit_cell, street,
    district, cells, place_key, address, reporter, incident_id, opens
FROM {database}.signals_in;

-- By cell and by address: what a wall shows of a signal. No reporter, no coordinate; of a secret or sensitive signal
-- neither text nor address.
CREATE TABLE IF NOT EXISTS {database}.signals_by_cell (
    unit_cell String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    reported_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    signal_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    is_deleted UInt8,
    source LowCardinality(String),
    category LowCardinality(String),
    severity UInt8,
    state LowCardinality(String),
    incident_id String CODEC(ZSTD(1)),
    place_key String CODEC(ZSTD(1)),
    address String CODEC(ZSTD(1)),
    summary String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYYYYMM(occurred_at)
ORDER BY (unit_cell, occurred_at, reported_at, signal_id) SETTINGS index_granularity = 2048;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_signals_by_cell TO {database}.signals_by_cell AS
SELECT
    place.1 AS unit_cell, place.2 AS occurred_at, place.3 AS is_deleted, reported_at, signal_id, version, source,
    category, severity, state, incident_id, if(hidden, '', key) AS place_key, if(hidden, '', written) AS address,
    if(hidden, '', said) AS summary
FROM (
    SELECT
        reported_at, signal_id, version, source, category, severity, state, incident_id, place_key AS key,
        address AS written, summary AS said, hasAny(flags, ['secret', 'sensitive']) AS hidden,
        arrayJoin(if(
            prev_unit_cell = unit_cell AND prev_occurred_at = occurred_at,
            [(unit_cell, occurred_at, toUInt8(0))],
            [(unit_cell, occurred_at, toUInt8(0)), (prev_unit_cell, prev_occurred_at, toUInt8(1))]
        )) AS place
    FROM {database}.signals_in
);

CREATE TABLE IF NOT EXISTS {database}.signals_by_address (
    place_key String CODEC(ZSTD(1)),
    occurred_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    reported_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    signal_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(T64, ZSTD(1)),
    is_deleted UInt8,
    source LowCardinality(String),
    category LowCardinality(String),
    severity UInt8,
    state LowCardinality(String),
    incident_id String CODEC(ZSTD(1)),
    unit_cell String CODEC(ZSTD(1)),
    hidden UInt8 COMMENT '1: secret or sensitive; left out of v_address_signals'
) ENGINE = ReplacingMergeTree(version, is_deleted) PARTITION BY toYear(occurred_at)
ORDER BY (place_key, occurred_at, reported_at, signal_id) SETTINGS index_granularity = 2048;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_signals_by_address TO {database}.signals_by_address AS
SELECT
    place.1 AS place_key, place.2 AS occurred_at, place.3 AS is_deleted, reported_at, signal_id, version, source,
    category, severity, state, incident_id, unit_cell, hidden
FROM (
    SELECT
        reported_at, signal_id, version, source, category, severity, state, incident_id, unit_cell,
        hasAny(flags, ['secret', 'sensitive']) AS hidden,
        arrayJoin(if(
            prev_place_key = place_key AND prev_occurred_at = occurred_at,
            [(place_key, occurred_at, toUInt8(0))],
            [(place_key, occurred_at, toUInt8(0)), (prev_place_key, prev_occurred_at, toUInt8(1))]
        )) AS place
    FROM {database}.signals_in
);

-- From beyond the horizon: every distinct one is kept here; `signals` shows it with version 0 unless it knows better.
-- Not in the two other orders: the place of an older version, which the state has forgotten, would stand there beside.
CREATE TABLE IF NOT EXISTS {database}.late_signals (
    reported_at DateTime64(3, '{timezone}') CODEC(DoubleDelta, ZSTD(1)),
    signal_id String CODEC(ZSTD(1)),
    watermark_at DateTime64(3, '{timezone}') COMMENT 'of the city when it came',
    source LowCardinality(String),
    revision Int64 CODEC(ZSTD(1)),
    occurred_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    category LowCardinality(String),
    category_code LowCardinality(String),
    summary String CODEC(ZSTD(1)),
    severity UInt8,
    state LowCardinality(String),
    relation LowCardinality(String),
    related_id String CODEC(ZSTD(1)),
    flags Array(LowCardinality(String)),
    quality LowCardinality(String),
    uncertainty_m Float32 CODEC(ZSTD(1)),
    lon Nullable(Float64) CODEC(ZSTD(1)),
    lat Nullable(Float64) CODEC(ZSTD(1)),
    unit_cell String CODEC(ZSTD(1)),
    street LowCardinality(String),
    district LowCardinality(String),
    cells Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    place_key String CODEC(ZSTD(1)),
    address String CODEC(ZSTD(1)),
    reporter String CODEC(ZSTD(1)),
    content String COMMENT 'hash of the whole signal: tells two apart that came under one watermark'
) ENGINE = ReplacingMergeTree PARTITION BY toYYYYMM(reported_at)
ORDER BY (reported_at, signal_id, watermark_at, content);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_late_signals TO {database}.signals AS
SELECT
    reported_at, signal_id, toUInt64(0) AS version, source, revision, occurred_at, received_at, ingested_at, category,
    category_code, summary, severity, state, relation, related_id, flags, quality, uncertainty_m, lon, lat, unit_cell,
    street, district, cells, place_key, address, reporter, '' AS incident_id, toUInt8(0) AS opens
FROM {database}.late_signals;

-- Freshness: max() is the one incremental aggregate that may stand behind a double write.
CREATE TABLE IF NOT EXISTS {database}.feed_last (
    source LowCardinality(String),
    last_occurred SimpleAggregateFunction(max, DateTime64(3, '{timezone}')),
    last_reported SimpleAggregateFunction(max, DateTime64(3, '{timezone}')),
    last_ingested SimpleAggregateFunction(max, DateTime64(3, '{timezone}'))
) ENGINE = AggregatingMergeTree ORDER BY source;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_feed_last TO {database}.feed_last AS
SELECT source, max(occurred_at) AS last_occurred, max(reported_at) AS last_reported, max(ingested_at) AS last_ingested
FROM {database}.signals_in GROUP BY source;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.mv_feed_last_late TO {database}.feed_last AS
SELECT source, max(occurred_at) AS last_occurred, max(reported_at) AS last_reported, max(ingested_at) AS last_ingested
FROM {database}.late_signals GROUP BY source;
