-- quanyu_migrator: `quanyu migrate`, and nobody else. The views read, and the copying views write, with its rights: it
-- stays for as long as the tables do. 建表与迁移用户；视图以其权限执行，须一直保留。
CREATE USER IF NOT EXISTS quanyu_migrator IDENTIFIED WITH sha256_hash BY 'SHA256_OF_ITS_PASSWORD' HOST ANY;

GRANT CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, ALTER VIEW, SELECT, INSERT
    ON {database}.* TO quanyu_migrator;
