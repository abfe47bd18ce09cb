-- Primary or standby, on which timeline, who confirms, who receives and how far has each flushed, and how far has this
-- server? One row, as cheap as can be: it is asked twice a second. A standby's timeline is its receiver's, else 0; that
-- its receiver is connected does not say to whom, nor that it is given anything. PostgreSQL 15 and newer; needs a superuser.
SELECT
    pg_is_in_recovery(),
    CASE
        WHEN pg_is_in_recovery() THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver WHERE status = 'streaming'), 0)
        ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
    END,
    CASE WHEN NOT pg_is_in_recovery() THEN
        current_setting('synchronous_standby_names')
        || (SELECT string_agg(' ' || application_name || ' ' || state || ' ' || sync_state, ',' ORDER BY application_name)
            FROM pg_stat_replication)
    END,
    CASE WHEN NOT pg_is_in_recovery() THEN
        (SELECT json_object_agg(application_name, coalesce(flush_lsn, '0/0'))
            FROM pg_stat_replication WHERE state IN ('catchup', 'streaming'))
    END,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn()::text END
