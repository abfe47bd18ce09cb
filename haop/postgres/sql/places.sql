-- What of this server lies at an absolute path, and was put there by hand? PostgreSQL 15 and newer; needs a superuser.
-- A tablespace whose folder is gone has no path. What haop sets itself comes from the command line.
SELECT 'tablespace' AS kind, spcname AS name,
    CASE WHEN (pg_stat_file('pg_tblspc/' || oid, true)).isdir THEN pg_tablespace_location(oid) ELSE '' END AS path
FROM pg_tablespace
WHERE spcname NOT IN ('pg_default', 'pg_global')
UNION ALL
SELECT 'setting', name, setting
FROM pg_settings
WHERE (sourcefile IS NOT NULL OR name = 'ident_file') AND setting LIKE '/%'  -- of that file no source is told
    AND (name IN ('external_pid_file', 'ident_file', 'unix_socket_directories')
        OR name LIKE 'ssl\_%' OR (name = 'log_directory' AND current_setting('logging_collector') = 'on'))
ORDER BY 1, 2
