-- Which replication slots are here, and how much WAL does each retain? PostgreSQL 15 and newer.
SELECT
    slot_name::text AS name,
    slot_type = 'physical' AS physical,
    active,
    wal_status,
    coalesce(CASE
        WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - restart_lsn
        ELSE pg_current_wal_lsn() - restart_lsn
    END, 0)::bigint AS retained_bytes
FROM pg_replication_slots
WHERE NOT temporary
ORDER BY slot_name
