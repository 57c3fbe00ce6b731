-- quanyu_writer: `quanyu live`. It stores rows and counts them; it makes, changes and drops nothing.
-- 实时进程：只读写数据，不能建表、改表、删表。
CREATE USER IF NOT EXISTS quanyu_writer IDENTIFIED WITH sha256_hash BY 'SHA256_OF_ITS_PASSWORD' HOST ANY;

GRANT SELECT, INSERT ON {database}.* TO quanyu_writer;

-- Where clickhouse.cluster is set, also:
-- GRANT CREATE TEMPORARY TABLE, REMOTE ON *.* TO quanyu_writer; GRANT SELECT ON system.* TO quanyu_writer;
-- and where clickhouse.shard is set:
-- GRANT SELECT, INSERT ON {home}.* TO quanyu_writer;
