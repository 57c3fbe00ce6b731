-- For a real server, by hand, as an administrator: a user for walls and dashboards, who reads the views (v_*) and
-- nothing else, within limits (GRANT with * needs ClickHouse 24.10 or newer). chDB has no users, so nothing runs this
-- file. Put your own password, and the database of clickhouse.database if it is not `quanyu`.
CREATE SETTINGS PROFILE IF NOT EXISTS quanyu_wall SETTINGS
    readonly = 2,
    max_execution_time = 10,
    max_memory_usage = 2000000000,
    max_result_rows = 1000000,
    max_concurrent_queries_for_user = 32;

CREATE QUOTA IF NOT EXISTS quanyu_wall FOR INTERVAL 1 minute MAX queries = 3000, execution_time = 60;

CREATE USER IF NOT EXISTS quanyu_wall IDENTIFIED WITH sha256_password BY 'put your own here'
    HOST ANY SETTINGS PROFILE quanyu_wall;

ALTER QUOTA quanyu_wall TO quanyu_wall;

GRANT SELECT ON quanyu.v_* TO quanyu_wall;
-- Where clickhouse.shard is set, the views stand on the shard, and the user is needed on every node:
-- GRANT SELECT ON quanyu_local.v_* TO quanyu_wall;

-- A run that a wall may show, each by its name (a run's tables hold reporters and secret texts as the live ones do):
-- GRANT SELECT ON `run_NAME`.v_* TO quanyu_wall;

-- Who may see refused records as they came (`quanyu rejected show --raw`), and send them again (`redrive`): this role
-- and the pipeline's own user alone. Reading leaves a row in rejected_shown, which this role can add but not change.
CREATE ROLE IF NOT EXISTS quanyu_dead_letters;
GRANT SELECT ON quanyu.rejected TO quanyu_dead_letters;
GRANT SELECT, INSERT ON quanyu.redrives TO quanyu_dead_letters;
GRANT INSERT ON quanyu.rejected_shown TO quanyu_dead_letters;
GRANT SELECT ON quanyu.signals TO quanyu_dead_letters;
GRANT SELECT ON quanyu.migrations TO quanyu_dead_letters;
GRANT SELECT ON quanyu.runs TO quanyu_dead_letters;
GRANT SELECT ON quanyu.v_* TO quanyu_dead_letters;

-- To a person, by name: GRANT quanyu_dead_letters TO li; and, for the dead letters of a run,
-- GRANT SELECT ON `run_NAME`.rejected TO quanyu_dead_letters;
