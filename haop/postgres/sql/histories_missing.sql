-- Which history files of timelines below its own does this primary lack? None on a standby. PostgreSQL 15 and newer;
-- needs a superuser.
SELECT current_setting('data_directory') || '/' || file
FROM generate_series(
        2, CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int - 1 END) AS timeline,
    LATERAL (SELECT 'pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history' AS file) AS named
WHERE (pg_stat_file(file, true)).size IS NULL
