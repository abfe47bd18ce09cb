-- Primary or standby, and on which timeline? One row, cheap. PostgreSQL 15 and newer.
SELECT
    CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS role,
    CASE
        WHEN pg_is_in_recovery() THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), 0)
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    END AS timeline
