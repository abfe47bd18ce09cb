-- Who receives WAL from this server? PostgreSQL 15 and newer.
-- A base backup and its own WAL stream appear here too, under other names than a node's.
SELECT application_name, state, sync_state, flush_lsn::text AS flush_lsn
FROM pg_stat_replication
ORDER BY application_name, pid
