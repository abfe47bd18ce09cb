-- Has a file of settings changed since this server read it? One row. PostgreSQL 15 and newer; needs a superuser.
SELECT
    pg_conf_load_time() AS loaded_at,
    greatest(
        (pg_stat_file(current_setting('config_file'))).modification,
        (pg_stat_file(current_setting('hba_file'))).modification,
        (pg_stat_file('postgresql.auto.conf')).modification) > pg_conf_load_time() AS stale
