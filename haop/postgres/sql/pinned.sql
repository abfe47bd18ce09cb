-- Makes every session print the same values alike beyond what each session of haop fixes, and read them from the table
-- itself, not from an index. PostgreSQL 15 and newer.
SET xmlbinary = 'base64';
SET lc_monetary = 'C';
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET jit = off;
-- Whoever waits for a lock gives up soon; a token need not be confirmed by a standby.
SET lock_timeout = '200ms';
SET synchronous_commit = local;
