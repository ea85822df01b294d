-- Users who read the database `neural_hive` of a ClickHouse server of your own, with SQL and a password.
-- Run it as a user with access management, again after each change:
--   clickhouse-client --multiquery --queries-file deploy/clickhouse/readers.sql
-- It has been parsed and its rights and settings have been tried by the embedded engine; it has not been run on a server.

CREATE ROLE IF NOT EXISTS neural_hive_reader;
CREATE ROLE IF NOT EXISTS neural_hive_analyst;
CREATE ROLE IF NOT EXISTS neural_hive_callers;

-- Rights: this database, and what the server says of itself to everybody. No FILE, URL, REMOTE, S3 or other source,
-- no CREATE TEMPORARY TABLE, no dictionary, no other database.
REVOKE ALL ON *.* FROM neural_hive_reader, neural_hive_callers;
GRANT SELECT, SHOW TABLES, SHOW COLUMNS ON neural_hive.* TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON information_schema.* TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.columns TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.data_type_families TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.databases TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.formats TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.functions TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.numbers TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.one TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.settings TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.tables TO neural_hive_reader, neural_hive_callers;
GRANT SELECT ON system.time_zones TO neural_hive_reader, neural_hive_callers;
GRANT neural_hive_reader TO neural_hive_analyst;

-- Limits, those of the embedded engine. Readers may lower them, and choose how an answer looks; nothing else.
CREATE SETTINGS PROFILE OR REPLACE neural_hive_reader SETTINGS
    readonly = 1 CONST,
    allow_ddl = 0 CONST,
    allow_introspection_functions = 0 CONST,
    max_execution_time = 30 MIN 1 MAX 30 CHANGEABLE_IN_READONLY,
    max_memory_usage = 2147483648 MIN 1 MAX 2147483648 CHANGEABLE_IN_READONLY,
    max_result_bytes = 536870912 MIN 1 MAX 536870912 CHANGEABLE_IN_READONLY,
    max_result_rows = 10000000 MIN 1 MAX 10000000 CHANGEABLE_IN_READONLY,
    max_threads = 4 MIN 1 MAX 4 CHANGEABLE_IN_READONLY,
    max_temporary_data_on_disk_size_for_query = 4294967296 CONST,
    max_recursive_cte_evaluation_depth = 1000 CONST,
    max_query_size = 65536 CONST,
    use_query_cache = 0 CONST,
    join_use_nulls CHANGEABLE_IN_READONLY,
    session_timezone CHANGEABLE_IN_READONLY,
    date_time_input_format CHANGEABLE_IN_READONLY,
    date_time_output_format CHANGEABLE_IN_READONLY,
    output_format_json_quote_64bit_integers CHANGEABLE_IN_READONLY
    TO neural_hive_reader, neural_hive_callers;

-- At once. All callers of our HTTP API share one user; each of their queries says for whom it is.
CREATE SETTINGS PROFILE OR REPLACE neural_hive_reader_at_once SETTINGS
    max_concurrent_queries_for_user = 2 CONST
    TO neural_hive_reader;
CREATE SETTINGS PROFILE OR REPLACE neural_hive_callers_at_once SETTINGS
    max_concurrent_queries_for_user = 32 CONST
    TO neural_hive_callers;

CREATE SETTINGS PROFILE OR REPLACE neural_hive_analyst SETTINGS
    max_execution_time = 300 MIN 1 MAX 300 CHANGEABLE_IN_READONLY,
    max_memory_usage = 4294967296 MIN 1 MAX 4294967296 CHANGEABLE_IN_READONLY,
    max_result_bytes = 1073741824 MIN 1 MAX 1073741824 CHANGEABLE_IN_READONLY,
    max_concurrent_queries_for_user = 3 CONST
    TO neural_hive_analyst;

-- One quota holds for a user, the first that fits: so nobody may have two of these roles.
CREATE QUOTA OR REPLACE neural_hive_reader KEYED BY user_name
    FOR INTERVAL 1 minute MAX queries = 600, execution_time = 600,
    FOR INTERVAL 1 hour MAX errors = 2000
    TO neural_hive_reader;

-- A caller's queries come with a key, which is a pseudonym. What the API asks for itself, eight queries at once, has
-- none and is counted by the user's name: 600 s are more than it can use. Nobody else may choose a key.
CREATE QUOTA OR REPLACE neural_hive_callers KEYED BY client_key, user_name
    FOR INTERVAL 1 minute MAX execution_time = 600,
    FOR INTERVAL 1 hour MAX errors = 2000
    TO neural_hive_callers;

-- The user of our HTTP API (settings clickhouse_api_user and clickhouse_api_password), and an example of a person.
-- No password has this hash: nobody logs in until you give one, which is never written here:
--   ALTER USER neural_hive_api IDENTIFIED WITH sha256_password BY '…'
CREATE USER IF NOT EXISTS neural_hive_api
    IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000'
    DEFAULT ROLE neural_hive_callers;
GRANT neural_hive_callers TO neural_hive_api;
CREATE USER IF NOT EXISTS example_reader
    IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000'
    DEFAULT ROLE neural_hive_reader;
GRANT neural_hive_reader TO example_reader;
