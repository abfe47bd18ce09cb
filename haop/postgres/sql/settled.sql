-- Has the checkpointer read the settings that the postmaster told it to, and what is flushed? PostgreSQL 15 and newer.
-- It decides whether commits wait at all (syncrep.c, SyncRepUpdateSyncStandbysDefined), and reads them only in these
-- two waits (checkpointer.c): within a checkpoint in haste, commits go on as before.
SELECT
    coalesce((SELECT bool_and(wait_event IN ('CheckpointerMain', 'CheckpointWriteDelay'))
        FROM pg_stat_activity WHERE backend_type = 'checkpointer'), false),
    pg_current_wal_flush_lsn()::text
