-- Makes every session print the same values alike, whatever its node, database or role is set to, and read them from
-- the table itself, not from an index. PostgreSQL 15 and newer.
SET search_path = pg_catalog;
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET xmlbinary = 'base64';
SET lc_monetary = 'C';
SET quote_all_identifiers = off;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET jit = off;
-- A table may be long to read; whoever waits for a lock gives up soon; a token need not be confirmed by a standby.
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '200ms';
SET synchronous_commit = local;
