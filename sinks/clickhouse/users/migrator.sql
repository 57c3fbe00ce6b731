-- quanyu_migrator: `quanyu migrate`, and nobody else. The views read, and the copying views write, with its rights: it
-- stays for as long as the tables do. 建表与迁移用户；视图以其权限执行，须一直保留。
CREATE USER IF NOT EXISTS quanyu_migrator IDENTIFIED WITH sha256_hash BY 'SHA256_OF_ITS_PASSWORD' HOST ANY;

GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, ALTER VIEW, SELECT, INSERT
    ON {database}.* TO quanyu_migrator;

-- Where clickhouse.cluster is set, also (and every user is needed on every node):
-- GRANT CLUSTER, CREATE TEMPORARY TABLE, REMOTE ON *.* TO quanyu_migrator; GRANT SELECT ON system.* TO quanyu_migrator;
-- and where clickhouse.shard is set, the first GRANT once more, on {home}.*
