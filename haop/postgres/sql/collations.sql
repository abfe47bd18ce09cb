-- What was made with another version of its collation than this server has now? PostgreSQL 15 and newer.
-- Databases, and the collations that columns of this database use.
SELECT format('database %s (%s, now %s)', datname, datcollversion, actual)
FROM pg_database, pg_database_collation_actual_version(oid) AS actual
WHERE datallowconn AND datcollversion <> actual
UNION ALL
SELECT format('collation %s (%s, now %s)', collname, collversion, actual)
FROM pg_collation AS made, pg_collation_actual_version(made.oid) AS actual
WHERE collversion <> actual
    AND EXISTS (SELECT FROM pg_attribute WHERE attcollation = made.oid AND attrelid >= 16384)
ORDER BY 1
