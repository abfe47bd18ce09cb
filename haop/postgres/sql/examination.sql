-- What does the doctor ask of a server as a whole? One row. PostgreSQL 15 and newer; needs a superuser.
SELECT
    pg_is_in_recovery() AS in_recovery,
    CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE 'not paused' END AS replay,
    (SELECT sum(size)::bigint FROM pg_ls_waldir()) AS wal_bytes,
    (SELECT jsonb_object_agg(name, CASE
        WHEN setting::text ~ '^[0-9]+$' AND unit IN ('B', 'kB', '8kB', '16MB', 'MB')
        THEN (setting::bigint * CASE  -- 15 does not know "B"
            WHEN unit = 'B' THEN 1 WHEN unit ~ '^[0-9]' THEN pg_size_bytes(unit) ELSE pg_size_bytes('1 ' || unit)
            END)::text
        ELSE setting END) FROM pg_settings) AS settings,
    (SELECT coalesce(array_agg(DISTINCT name), '{}') FROM pg_file_settings
        WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf'
        AND name NOT IN ('primary_conninfo', 'primary_slot_name', 'synchronous_standby_names')) AS overridden,
    (SELECT jsonb_object_agg(rolname, coalesce(rolpassword, '')) FROM pg_authid WHERE rolcanlogin) AS verifiers,
    (SELECT jsonb_object_agg(datname, pg_get_userbyid(datdba)) FROM pg_database) AS databases,
    (SELECT coalesce(array_agg(path ORDER BY path), '{}')
        FROM unnest(ARRAY['.clone', '.clone.hba']) AS suffix,
        LATERAL (SELECT current_setting('data_directory') || suffix AS path) AS beside
        WHERE (pg_stat_file(path, true)).modification IS NOT NULL) AS leftovers,
    extract(epoch FROM clock_timestamp())::float8 AS clock
