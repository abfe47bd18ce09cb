-- Has a file of settings, or the certificate, changed since this server read it? One row. PostgreSQL 15 and newer; needs a superuser.
-- pg_stat_file cuts times to whole seconds: a file written in the second in which it was read counts as changed.
SELECT
    pg_conf_load_time() AS loaded_at,
    greatest(
        (pg_stat_file(current_setting('config_file'))).modification,
        (pg_stat_file(current_setting('hba_file'))).modification,
        (pg_stat_file('postgresql.auto.conf')).modification,
        (pg_stat_file(current_setting('ssl_cert_file'), true)).modification) >= date_trunc('second', pg_conf_load_time()) AS stale
