-- Which tables hold rows themselves? Ordinary ones, partitions, populated materialized views. PostgreSQL 15 and newer.
-- Those of the system and other sessions' temporary ones are left out.
SELECT
    namespace.nspname::text AS schema,
    class.relname::text AS name,
    format('%I.%I', namespace.nspname, class.relname) AS quoted,
    class.relkind = 'm' AS materialized,
    class.relpersistence = 'u' AS unlogged,
    coalesce(pg_relation_size(class.oid), 0) AS bytes
FROM pg_class AS class
JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
WHERE (class.relkind = 'r' OR (class.relkind = 'm' AND class.relispopulated))
    AND class.relpersistence <> 't'
    AND namespace.nspname NOT LIKE 'pg\_%'
    AND namespace.nspname <> 'information_schema'
ORDER BY namespace.nspname, class.relname
