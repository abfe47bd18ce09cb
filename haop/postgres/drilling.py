"""The table that a drill's clients write to. It lives in a schema of its own and is dropped afterwards."""

from dataclasses import replace

from psycopg import sql

from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.postgres import replication
from haop.postgres.connection import Login, connected


def make_ledger(endpoint: Endpoint, admin: Login, database: str, owner: str) -> Lsn:
    """Make an empty table that the application's role writes to, and return a position after it."""
    with connected(endpoint, replace(admin, database=database), answer_seconds=10) as connection:
        connection.execute("DROP SCHEMA IF EXISTS haop_drill CASCADE")
        connection.execute(sql.SQL("CREATE SCHEMA haop_drill AUTHORIZATION {}").format(sql.Identifier(owner)))
        connection.execute("CREATE TABLE haop_drill.writes (id bigint PRIMARY KEY)")
        connection.execute(sql.SQL("ALTER TABLE haop_drill.writes OWNER TO {}").format(sql.Identifier(owner)))
        return replication.flushed(connection)


def read_ledger(endpoint: Endpoint, admin: Login, database: str) -> frozenset[int]:
    """The rows that are there."""
    with connected(endpoint, replace(admin, database=database), answer_seconds=60) as connection:
        return frozenset(row[0] for row in connection.execute("SELECT id FROM haop_drill.writes"))


def drop_ledger(endpoint: Endpoint, admin: Login, database: str) -> Lsn:
    """Leave nothing behind; return a position after that."""
    with connected(endpoint, replace(admin, database=database), answer_seconds=60) as connection:
        connection.execute("DROP SCHEMA IF EXISTS haop_drill CASCADE")
        return replication.flushed(connection)
