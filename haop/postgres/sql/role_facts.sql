-- What is a role, and which databases may it connect to? One row, none where there is no such role. PostgreSQL 15 and
-- newer. Its name comes from a setting of this session: SELECT set_config('haop.role', 'replicator', false)
SELECT
    array_remove(ARRAY[
        CASE WHEN role.rolcanlogin THEN 'LOGIN' END,
        CASE WHEN role.rolreplication THEN 'REPLICATION' END,
        CASE WHEN role.rolsuper THEN 'SUPERUSER' END,
        CASE WHEN role.rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN role.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN role.rolbypassrls THEN 'BYPASSRLS' END
    ], NULL) AS attributes,
    ARRAY(
        SELECT DISTINCT granted.rolname::text
        FROM pg_auth_members AS membership
        JOIN pg_roles AS granted ON granted.oid = membership.roleid
        WHERE membership.member = role.oid
        ORDER BY 1
    ) AS member_of,
    ARRAY(
        SELECT datname::text
        FROM pg_database
        -- Not one of which nobody has said who may connect: PostgreSQL lets everybody, and it is not haop's.
        WHERE datallowconn AND datacl IS NOT NULL AND has_database_privilege(role.oid, oid, 'CONNECT')
        ORDER BY 1
    ) AS connects_to,
    ARRAY(
        SELECT DISTINCT datname::text
        FROM pg_shdepend AS depend
        JOIN pg_database AS database ON database.oid = depend.dbid
        WHERE depend.refclassid = 'pg_authid'::regclass AND depend.refobjid = role.oid
        ORDER BY 1
    ) AS found_in
FROM pg_roles AS role
WHERE role.rolname = current_setting('haop.role')
