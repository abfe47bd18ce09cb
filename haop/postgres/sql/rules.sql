-- How does the server read its pg_hba.conf? PostgreSQL 15 and newer (16 renamed nothing that is used here).
SELECT line_number AS line, type AS kind, database AS databases, coalesce(address, '') AS address,
    auth_method AS method, error
FROM pg_hba_file_rules
ORDER BY line_number
