-- How far is this standby, and how is its WAL cut? One row. PostgreSQL 15 and newer; needs a superuser.
-- The timeline is its receiver's; where none runs, the newest that it has WAL of (as in node.sql).
SELECT
    timeline, received, replayed, receiving, segment, page, system,
    pg_read_file('pg_wal/' || lpad(upper(to_hex(timeline)), 8, '0') || '.history', 0, 1048576, true) AS history
FROM (SELECT
    coalesce(
        (SELECT received_tli FROM pg_stat_wal_receiver),
        greatest(
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
            (SELECT timeline_id FROM pg_control_checkpoint()),
            (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$')))
        AS timeline,
    greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text AS received,
    pg_last_wal_replay_lsn()::text AS replayed,
    EXISTS (SELECT FROM pg_stat_wal_receiver) AS receiving,
    (SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size') AS segment,
    current_setting('wal_block_size')::int AS page,
    (SELECT system_identifier FROM pg_control_system()) AS system
) AS standby
