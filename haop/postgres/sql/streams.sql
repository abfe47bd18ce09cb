-- Which connections of replication does this server have, and which TLS does each use (NULL: none)? PostgreSQL 15 and
-- newer.
SELECT replication.application_name AS name, CASE WHEN tls.ssl THEN tls.version END AS tls
FROM pg_stat_replication AS replication
JOIN pg_stat_ssl AS tls USING (pid)
ORDER BY replication.application_name, replication.pid
