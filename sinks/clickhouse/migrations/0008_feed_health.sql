-- How each source's feed stood: at the end of every pane, and at every change. Times are arrivals: the broker's time
-- stamps (in a file, when a record was reported). Nothing has ever written to the table of this name from 0004.
DROP TABLE IF EXISTS {database}.feed_health SYNC;

CREATE TABLE IF NOT EXISTS {database}.feed_health (
    source LowCardinality(String),
    at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'when it is so, by the clock of arrivals',
    version UInt64,
    state LowCardinality(String) COMMENT 'starting, ok, late, thin, silent, unread',
    since DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'since when it is in this state',
    opened_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'since when its alert is open; 1970: none is',
    last_occurred DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'newest event; 1970: none yet',
    last_arrived DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)) COMMENT 'newest arrival, refused ones too',
    window_min UInt16 COMMENT 'minutes before at that the counts are of',
    observed UInt32 COMMENT 'records taken in the window',
    expected Float64 COMMENT 'records usual in these hours of the week; 0 while starting',
    score Float64 COMMENT '-log10 of the probability of so few; 0: not few',
    rejected UInt32 COMMENT 'records refused in the window',
    delay_p50_s Float64 COMMENT 'arrival minus event in the window, median, to a fifth; -1: no records',
    delay_p95_s Float64 COMMENT 'the same, 95 %',
    expected_gap_s UInt32 COMMENT 'a silence that lasts longer is told; 0: none is',
    detail String CODEC(ZSTD(1)) COMMENT 'what is wrong, for a person',
    ingested_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(at) ORDER BY (source, at);

-- How each feed stands now: its newest row. `ratio` and `rejected_share` are of the window.
CREATE OR REPLACE VIEW {database}.v_feed_health SQL SECURITY DEFINER AS
SELECT
    *, if(expected > 0, observed / expected, NULL) AS ratio,
    if(observed + rejected > 0, rejected / (observed + rejected), 0) AS rejected_share
FROM {database}.feed_health FINAL ORDER BY source, at DESC LIMIT 1 BY source
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- How they stood.
CREATE OR REPLACE VIEW {database}.v_feed_health_history SQL SECURITY DEFINER AS
SELECT
    *, if(expected > 0, observed / expected, NULL) AS ratio,
    if(observed + rejected > 0, rejected / (observed + rejected), 0) AS rejected_share
FROM {database}.feed_health FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1;
