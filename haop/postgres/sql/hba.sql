-- How does the server read its pg_hba.conf, and what is wrong with it? A row each line. PostgreSQL 15 and newer.
SELECT
    line_number AS line,
    coalesce(type, '') AS kind,
    coalesce(database, '{}') AS databases,
    coalesce(address, '') AS address,
    coalesce(auth_method, '') AS method,
    error,
    concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask) AS text
FROM pg_hba_file_rules
ORDER BY line_number
