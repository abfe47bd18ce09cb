-- How far the base backup is that a node takes from this server: bytes streamed, and about how many there will be: the
-- server's own estimate, once it has made one. No row where there is none. Parameter: the node's name, which is its
-- application_name. PostgreSQL 15 and newer.
SELECT
    backup.backup_streamed AS streamed_bytes,
    backup.backup_total AS total_bytes
FROM pg_stat_progress_basebackup AS backup
JOIN pg_stat_activity AS activity USING (pid)
WHERE activity.application_name = %s
    AND backup.backup_total IS NOT NULL
