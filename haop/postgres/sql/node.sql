-- What is this server, how far is it, and how is it set? One row. PostgreSQL 15 and newer; needs a superuser.
-- A standby's is its receiver's; where none runs, the newest that it has WAL of: its control file lags as well.
-- A primary's timeline is in the name of its WAL file: its control file lags until a checkpoint.
SELECT
    CASE WHEN recovering THEN 'standby' ELSE 'primary' END AS role,
    timeline,
    CASE WHEN recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
    CASE WHEN NOT recovering THEN pg_current_wal_insert_lsn() END::text AS inserted,
    CASE WHEN recovering THEN pg_last_wal_receive_lsn() END::text AS received_lsn,
    CASE
        WHEN NOT recovering THEN NULL
        WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0
        ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
    END AS lag_seconds,
    receiver.status AS receiver,
    CASE WHEN recovering THEN current_setting('primary_conninfo') END AS upstream,
    CASE WHEN NOT recovering THEN coalesce(
        (pg_stat_file(history, true)).modification, (pg_stat_file('PG_VERSION')).modification)
    END AS primary_since,
    pg_read_file(history, 0, 1048576, true) AS history,
    current_setting('synchronous_standby_names') AS synchronous_standby_names,
    current_setting('server_version_num')::int AS version_num,
    control.system_identifier::text AS system_identifier,
    current_setting('data_checksums') = 'on' AS checksums,
    current_setting('ssl') = 'on' AS tls,
    current_setting('data_directory') AS data_directory,
    pg_postmaster_start_time() AS started_at
FROM (SELECT pg_is_in_recovery() AS recovering) AS state
CROSS JOIN pg_control_system() AS control
CROSS JOIN pg_control_checkpoint() AS checkpoint
CROSS JOIN pg_control_recovery() AS recovery
LEFT JOIN pg_stat_wal_receiver AS receiver ON true
CROSS JOIN LATERAL (SELECT CASE
        WHEN recovering THEN coalesce(receiver.received_tli, greatest(
            recovery.min_recovery_end_timeline, checkpoint.timeline_id,
            (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$')))
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    END AS timeline) AS numbered
CROSS JOIN LATERAL (SELECT 'pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history' AS history) AS named
