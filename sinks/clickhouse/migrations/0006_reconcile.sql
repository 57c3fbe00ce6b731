-- A late copy may stand under another first report than the signal it belongs to: reconcile marks it, so that nobody
-- sees the signal twice. Its version is above 0, so the copy written again stays hidden.
ALTER TABLE {database}.signals ADD COLUMN IF NOT EXISTS superseded UInt8 DEFAULT 0
COMMENT '1: late copy of a signal that stands under another reported_at; left out of the views';

CREATE OR REPLACE VIEW {database}.v_signals SQL SECURITY DEFINER AS
SELECT
    signal_id, version, version = 0 AS late, source, revision, occurred_at, reported_at, received_at, ingested_at,
    category, category1, category_code, severity, state, relation, related_id, flags, quality, unit_cell, street,
    district, cells, incident_id, opens,
    hasAny(flags, ['secret', 'sensitive']) AS hidden,
    if(hasAny(flags, ['secret', 'sensitive']), NULL, lon) AS shown_lon,
    if(hasAny(flags, ['secret', 'sensitive']), NULL, lat) AS shown_lat,
    if(hasAny(flags, ['secret', 'sensitive']), '', place_key) AS shown_place_key,
    if(hasAny(flags, ['secret', 'sensitive']), '', address) AS shown_address,
    if(hasAny(flags, ['secret', 'sensitive']), '', summary) AS shown_summary
FROM {database}.signals FINAL WHERE NOT superseded SETTINGS do_not_merge_across_partitions_select_final = 1;

-- What reconcile is about to write, before it does: one that was cut off is written again, as it was, by the next.
CREATE TABLE IF NOT EXISTS {database}.reconciliations (
    begun_at DateTime64(3, '{timezone}'),
    day Date COMMENT 'the day that was asked for',
    part UInt32,
    parts UInt32 COMMENT 'of the whole plan: with fewer of them noted, none of it has been written',
    finished UInt8,
    signals UInt32 COMMENT 'rows of signals, in this part',
    incidents UInt32 COMMENT 'rows of incidents, in this part',
    plan String CODEC(ZSTD(1)) COMMENT 'MessagePack: the rows, and the days whose counts they move; empty once finished'
) ENGINE = ReplacingMergeTree(finished) ORDER BY (begun_at, day, part);
