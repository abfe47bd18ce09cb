-- How does the archiver of this primary fare? No row where there is none. PostgreSQL 15 and newer; needs a superuser.
SELECT
    coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing,
    waiting.files::int AS waiting,
    waiting.seconds AS waiting_seconds
FROM pg_stat_archiver
CROSS JOIN LATERAL (
    SELECT count(*) AS files,
        coalesce(extract(epoch FROM clock_timestamp() - min(modification)), 0)::float8 AS seconds
    FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
) AS waiting
WHERE current_setting('archive_mode') <> 'off' AND NOT pg_is_in_recovery()
