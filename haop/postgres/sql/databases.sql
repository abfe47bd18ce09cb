-- Which databases are here but templates, and can they be connected to? PostgreSQL 15 and newer.
SELECT datname::text AS name, datallowconn AS open FROM pg_database WHERE NOT datistemplate ORDER BY datname
