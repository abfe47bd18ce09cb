-- What has ALTER ROLE put in the way of these roles? A row for each that has something. PostgreSQL 15 and newer.
SELECT rolname::text, told
FROM pg_roles,
LATERAL (SELECT array_remove(ARRAY[
    CASE WHEN NOT rolcanlogin THEN 'NOLOGIN' END,
    CASE WHEN rolname = %(replicating)s AND NOT rolreplication THEN 'NOREPLICATION' END,
    CASE WHEN rolconnlimit <> -1 AND NOT rolsuper THEN 'CONNECTION LIMIT ' || rolconnlimit END,
    CASE WHEN rolvaliduntil < 'infinity' THEN 'VALID UNTIL ' || to_char(rolvaliduntil, 'YYYY-MM-DD HH24:MI TZ') END
], NULL) AS told) AS hindrance
WHERE rolname = ANY(%(roles)s) AND told <> '{}'
ORDER BY rolname
