-- Which settings of this server are not yet what its files ask for, because they take effect at its start? PostgreSQL 15
-- and newer; needs a superuser. A standby that was started with higher values than its files ask for, because its primary
-- had them, has these from its command line. One that was asked for and is not any more stays marked as pending.
WITH files AS (
    SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting FROM pg_file_settings ORDER BY lower(name), seqno DESC
)
SELECT
    server.name,
    current_setting(server.name) AS current,
    coalesce(files.setting, CASE
        WHEN server.unit LIKE '%B' AND server.boot_val NOT LIKE '-%' THEN replace(pg_size_pretty(
            server.boot_val::bigint * CASE server.unit  -- 15 does not know "B"
                WHEN 'B' THEN 1 ELSE pg_size_bytes(regexp_replace(server.unit, '^(\D)', '1\1')) END), ' ', '')
        ELSE server.boot_val || coalesce(server.unit, '')
    END) AS wanted
FROM pg_settings AS server
LEFT JOIN files ON files.name = lower(server.name)
WHERE (server.pending_restart AND (files.setting IS NOT NULL OR server.setting <> server.boot_val))
    OR (server.source = 'command line' AND server.setting <> coalesce(files.setting, server.boot_val) AND server.name IN (
        'max_connections', 'max_locks_per_transaction', 'max_prepared_transactions', 'max_wal_senders', 'max_worker_processes'))
ORDER BY server.name
