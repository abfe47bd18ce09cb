-- The lines of pg_hba.conf as the server understands them, with what is wrong with them. PostgreSQL 15 and newer.
SELECT
    line_number AS line,
    concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask) AS text,
    auth_method AS method,
    error
FROM pg_hba_file_rules
ORDER BY line_number
