-- quanyu_wall: walls, dashboards and analysts. They read the views (v_*), never the tables behind: no reporter, no
-- coordinate, text or address of a secret or sensitive signal, no bytes of a refused record. Within limits that they
-- cannot raise. 大屏、看板与分析人员：只读视图，有时间、内存、行数与并发限制。
CREATE SETTINGS PROFILE IF NOT EXISTS quanyu_wall SETTINGS
    readonly = 2 CONST,
    max_execution_time = 10 MAX 10,
    max_memory_usage = 2000000000 MAX 2000000000,
    max_result_rows = 1000000 MAX 1000000,
    max_result_bytes = 500000000 MAX 500000000,
    result_overflow_mode = 'throw' CONST,
    max_concurrent_queries_for_user = 32 CONST;

CREATE USER IF NOT EXISTS quanyu_wall IDENTIFIED WITH sha256_hash BY 'SHA256_OF_ITS_PASSWORD' HOST ANY
    SETTINGS PROFILE quanyu_wall;

CREATE QUOTA IF NOT EXISTS quanyu_wall FOR INTERVAL 1 minute MAX queries = 3000, execution_time = 60 TO quanyu_wall;

GRANT SELECT ON {database}.v_* TO quanyu_wall;

-- Where clickhouse.shard is set, the views stand on the shard:
-- GRANT SELECT ON {home}.v_* TO quanyu_wall;

-- A run that a wall may show, each by its name (a run's tables hold reporters and secret texts as the live ones do):
-- GRANT SELECT ON run_NAME.v_* TO quanyu_wall;
