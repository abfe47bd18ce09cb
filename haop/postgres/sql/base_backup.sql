-- How far the base backup is that a node takes from this server: bytes streamed; bytes of all databases here, which is
-- about what it comes to. No row where there is none. Parameter: the node's name, which is its application_name.
SELECT
    backup.backup_streamed AS streamed_bytes,
    (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint AS total_bytes
FROM pg_stat_progress_basebackup AS backup
JOIN pg_stat_activity AS activity USING (pid)
WHERE activity.application_name = %s
