-- Dead letters in service: sent again after a fix, and read by few.
ALTER TABLE {database}.rejected ADD COLUMN IF NOT EXISTS
    message_key String COMMENT 'of the Kafka record, as it came; may hold anything' CODEC(ZSTD(1)) AFTER raw;
ALTER TABLE {database}.rejected ADD COLUMN IF NOT EXISTS
    stored_at DateTime('{timezone}') DEFAULT now() COMMENT 'by the clock of the database; what retention counts from' CODEC(Delta, ZSTD(1));

-- What became of dead letters when `quanyu rejected redrive` looked at them; one that has no row here is open. The
-- record is told by its position and its broker time: a topic that is made anew counts its offsets from 0 again.
CREATE TABLE IF NOT EXISTS {database}.redrives (
    source LowCardinality(String),
    topic LowCardinality(String),
    partition UInt32,
    offset Int64,
    received_at DateTime64(3, '{timezone}') CODEC(Delta, ZSTD(1)),
    state LowCardinality(String) COMMENT 'failing: refused by the mapping of that time too; redriven: sent again; present: was stored already, not sent',
    reason LowCardinality(String) COMMENT 'failing: why',
    at DateTime64(3, '{timezone}') COMMENT 'when it was looked at' CODEC(Delta, ZSTD(1)),
    by String COMMENT 'user of the machine that ran the command' CODEC(ZSTD(1)),
    final UInt8 COMMENT '1: redriven or present; never overridden by failing'
) ENGINE = ReplacingMergeTree(final) ORDER BY (source, topic, partition, offset, received_at);

-- Who has looked at the bytes of refused records, unmasked, through `quanyu rejected show --raw`.
CREATE TABLE IF NOT EXISTS {database}.rejected_shown (
    at DateTime64(3, '{timezone}') DEFAULT now64(3),
    user String COMMENT 'of the machine',
    database_user String DEFAULT currentUser(),
    source String COMMENT 'as asked for; empty: all',
    reason String COMMENT 'as asked for; empty: all',
    run String COMMENT 'replay run; empty: the live database',
    records UInt32
) ENGINE = MergeTree ORDER BY at;

-- Dead letters without their bytes and keys, which may hold anything, and with long numbers hidden in the detail.
CREATE OR REPLACE VIEW {database}.v_rejected SQL SECURITY DEFINER AS
SELECT
    r.source AS source, r.topic AS topic, r.partition AS partition, r.offset AS offset, r.reason AS reason,
    replaceRegexpAll(r.detail, '([0-9]{3})[0-9]{2,}([0-9]{2})', '\\1****\\2') AS detail, r.bytes AS bytes,
    r.received_at AS received_at, r.ingested_at AS ingested_at,
    multiIf(d.state = 'failing', 'failing', d.state IN ('redriven', 'present'), 'redriven', 'open') AS state
FROM (
    SELECT source, topic, partition, offset, reason, detail, length(raw) AS bytes, received_at, ingested_at
    FROM {database}.rejected FINAL
) AS r
LEFT JOIN (
    SELECT source, topic, partition, offset, received_at, state FROM {database}.redrives FINAL
) AS d USING (source, topic, partition, offset, received_at);
