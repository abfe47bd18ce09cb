-- Which physical replication slots are here, and how much WAL does each retain? PostgreSQL 15 and newer.
SELECT
    slot_name::text AS slot_name,
    active,
    wal_status,
    coalesce(CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - restart_lsn
        ELSE pg_current_wal_lsn() - restart_lsn
    END, 0)::bigint AS retained_bytes
FROM pg_replication_slots
WHERE slot_type = 'physical' AND NOT temporary
ORDER BY slot_name
