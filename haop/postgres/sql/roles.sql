-- Makes the cluster's roles where they are missing; safe to run again. PostgreSQL 15 and newer; needs a superuser.
-- Names and SCRAM verifiers come from settings of this session: SELECT set_config('haop.owner', 'shop', false), ...
DO $$
DECLARE
    role record;
    missing boolean := false;
BEGIN
    FOR role IN
        SELECT
            current_setting('haop.' || purpose) AS name,
            current_setting('haop.' || purpose || '_verifier') AS verifier,
            attributes
        FROM (VALUES
            ('owner', 'NOREPLICATION'),
            ('replication', 'REPLICATION'),   -- can replicate, and owns and is granted nothing
            ('rewind', 'NOREPLICATION'),
            ('monitor', 'NOREPLICATION')
        ) AS wanted (purpose, attributes)
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = role.name);
        EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s PASSWORD %L',
            role.name, role.attributes, role.verifier);
        missing := true;
    END LOOP;

    IF NOT missing THEN
        RETURN;
    END IF;
    -- What pg_rewind needs of its source (its documentation, "Notes"), and the checkpoint that versions up to 15 need.
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean),
         pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO %I',
        current_setting('haop.rewind'));
    EXECUTE format('GRANT pg_checkpoint TO %I', current_setting('haop.rewind'));
    EXECUTE format('GRANT pg_monitor TO %I', current_setting('haop.monitor'));
    -- The replication role replicates and does nothing else: it cannot connect to a database.
    REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;
    EXECUTE format('GRANT CONNECT ON DATABASE postgres TO %I, %I',
        current_setting('haop.rewind'), current_setting('haop.monitor'));
END
$$
