"""A database backend of Django: PostgreSQL's own, following a cluster."""
