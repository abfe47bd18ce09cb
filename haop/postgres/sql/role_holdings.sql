-- What does a role own, and what is it granted, in this database and in the whole cluster? PostgreSQL 15 and newer.
-- Its name comes from a setting of this session: SELECT set_config('haop.role', 'replicator', false)
SELECT
    depend.dbid = 0 AS shared,
    pg_describe_object(depend.classid, depend.objid, depend.objsubid) AS object,
    depend.deptype = 'o' AS owns,
    (
        SELECT string_agg(DISTINCT entry.privilege_type, ', ' ORDER BY entry.privilege_type)
        FROM aclexplode(CASE depend.classid
            WHEN 'pg_class'::regclass THEN CASE depend.objsubid
                WHEN 0 THEN (SELECT relacl FROM pg_class WHERE oid = depend.objid)
                ELSE (SELECT attacl FROM pg_attribute WHERE attrelid = depend.objid AND attnum = depend.objsubid)
            END
            WHEN 'pg_proc'::regclass THEN (SELECT proacl FROM pg_proc WHERE oid = depend.objid)
            WHEN 'pg_namespace'::regclass THEN (SELECT nspacl FROM pg_namespace WHERE oid = depend.objid)
            WHEN 'pg_database'::regclass THEN (SELECT datacl FROM pg_database WHERE oid = depend.objid)
            WHEN 'pg_tablespace'::regclass THEN (SELECT spcacl FROM pg_tablespace WHERE oid = depend.objid)
            WHEN 'pg_type'::regclass THEN (SELECT typacl FROM pg_type WHERE oid = depend.objid)
            WHEN 'pg_language'::regclass THEN (SELECT lanacl FROM pg_language WHERE oid = depend.objid)
            WHEN 'pg_largeobject'::regclass THEN (SELECT lomacl FROM pg_largeobject_metadata WHERE oid = depend.objid)
            WHEN 'pg_foreign_server'::regclass THEN (SELECT srvacl FROM pg_foreign_server WHERE oid = depend.objid)
            WHEN 'pg_foreign_data_wrapper'::regclass THEN (
                SELECT fdwacl FROM pg_foreign_data_wrapper WHERE oid = depend.objid)
            WHEN 'pg_parameter_acl'::regclass THEN (SELECT paracl FROM pg_parameter_acl WHERE oid = depend.objid)
            WHEN 'pg_default_acl'::regclass THEN (SELECT defaclacl FROM pg_default_acl WHERE oid = depend.objid)
        END) AS entry
        WHERE entry.grantee = depend.refobjid
    ) AS privileges
FROM pg_shdepend AS depend
WHERE depend.refclassid = 'pg_authid'::regclass
    AND depend.refobjid = (SELECT oid FROM pg_roles WHERE rolname = current_setting('haop.role'))
    AND depend.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1, 2
