-- What `haop adopt` must know of a database that it is to take over, as one JSON object. PostgreSQL 15 and newer; needs
-- a superuser. Settings: what was set by a file or on the command line and is not the default, as it will be after a
-- restart. Rules: what of pg_hba.conf the official image does not write itself.
SELECT json_build_object(
    'major', current_setting('server_version_num')::int / 10000,
    'data', current_setting('data_directory'),
    'port', current_setting('port')::int,
    'in_recovery', pg_is_in_recovery(),
    'checksums', current_setting('data_checksums') = 'on',
    'tls', current_setting('ssl') = 'on',
    'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database) + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir()),
    'databases', (SELECT json_agg(json_build_object(
            'name', datname, 'owner', pg_get_userbyid(datdba),
            'sorts_alike', datcollversion IS NOT DISTINCT FROM pg_database_collation_actual_version(oid))
            ORDER BY datname)
        FROM pg_database WHERE NOT datistemplate),
    'roles', (SELECT json_agg(json_build_object(
            'name', rolname, 'login', rolcanlogin, 'superuser', rolsuper, 'verifier', rolpassword) ORDER BY rolname)
        FROM pg_authid WHERE rolname !~ '^pg_'),
    'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]')
        FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
    'slots', (SELECT coalesce(json_agg(slot_name ORDER BY slot_name), '[]') FROM pg_replication_slots),
    'receivers', (SELECT count(*) FROM pg_stat_replication),
    'settings', (SELECT coalesce(json_object_agg(name, CASE
            WHEN pending_restart OR current_setting(name) = '(disabled)' THEN coalesce((
                SELECT setting FROM pg_file_settings AS f
                WHERE lower(f.name) = lower(s.name) ORDER BY seqno DESC LIMIT 1), boot_val)
            ELSE current_setting(name) END ORDER BY name), '{}')
        FROM pg_settings AS s
        WHERE source IN ('configuration file', 'command line') AND context <> 'internal'
            AND (setting IS DISTINCT FROM boot_val OR pending_restart)),
    'rules', (SELECT coalesce(json_agg(
            concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, auth_method)
            ORDER BY line_number), '[]')
        FROM pg_hba_file_rules
        WHERE error IS NULL AND type <> 'local' AND address IS DISTINCT FROM '127.0.0.1' AND address IS DISTINCT FROM '::1'
            AND NOT (type = 'host' AND database = '{all}' AND user_name = '{all}' AND address = 'all'
                AND auth_method = 'scram-sha-256')),
    'lax', (SELECT coalesce(bool_or(auth_method IN ('trust', 'password', 'md5')), false)
        FROM pg_hba_file_rules
        WHERE error IS NULL AND type <> 'local' AND address IS DISTINCT FROM '127.0.0.1' AND address IS DISTINCT FROM '::1'))
