-- For a session that keeps writers out of one table for a moment. PostgreSQL 15 and newer; needs a superuser.
-- Who waits for a lock keeps later writers waiting behind it, so the wait is short; and the server itself ends a lock
-- that its client forgot.
SET lock_timeout = '300ms';
SET idle_in_transaction_session_timeout = '1s';
-- An autovacuum steps aside for who waits this long (proc.c, "ProcSleep"); by default that is longer than the wait.
SET deadlock_timeout = '50ms';
SET log_lock_waits = off;
-- A lock that is not to be had is an answer, not an error for the log.
SET log_min_messages = fatal
