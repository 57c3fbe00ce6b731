-- quanyu_replayer: `quanyu replay`. A run is a database of its own; of the live one it sees and keeps the list of runs,
-- and nothing else. 回放用户：每次运行使用独立数据库；在实时库中只能维护运行清单。
CREATE USER IF NOT EXISTS quanyu_replayer IDENTIFIED WITH sha256_hash BY 'SHA256_OF_ITS_PASSWORD' HOST ANY;

GRANT CREATE DATABASE, DROP DATABASE, CREATE TABLE, DROP TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE, SELECT, INSERT
    ON run_*.* TO quanyu_replayer;

GRANT SELECT, INSERT, ALTER DELETE ON {database}.runs TO quanyu_replayer;

GRANT SELECT ON {database}.migrations TO quanyu_replayer;
