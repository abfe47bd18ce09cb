-- Which sessions does replay wait for on this standby? PostgreSQL 15 and newer; needs a superuser.
-- A server that waits for such a session does not read its settings again: it has to be ended.
WITH startup AS (
    SELECT pid, wait_event FROM pg_stat_activity
    WHERE backend_type = 'startup' AND (wait_event LIKE 'RecoveryConflict%' OR wait_event_type IN ('Lock', 'BufferPin'))
)
SELECT holder.pid
FROM startup
JOIN pg_locks AS wanted ON wanted.pid = startup.pid AND NOT wanted.granted
JOIN pg_locks AS holder USING (locktype, database, relation)
WHERE holder.granted AND holder.pid NOT IN (startup.pid, pg_backend_pid())
UNION
SELECT session.pid
FROM startup, pg_stat_activity AS session
WHERE session.backend_type = 'client backend' AND session.pid <> pg_backend_pid()
    AND CASE startup.wait_event
        WHEN 'RecoveryConflictSnapshot' THEN session.backend_xmin IS NOT NULL
        WHEN 'RecoveryConflictTablespace' THEN session.xact_start IS NOT NULL
        WHEN 'BufferPin' THEN session.xact_start IS NOT NULL
        ELSE false
    END
