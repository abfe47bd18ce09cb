"""Roles and the application's database: made where they are missing."""

from collections.abc import Mapping

from psycopg import sql

from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query


def ensure_roles(connection: BoundedConnection, roles: Mapping[str, tuple[str, str]]) -> None:
    """Make the roles that are missing.

    Args:
        connection: of a superuser, on the primary.
        roles: purpose ("owner", "replication", "rewind", "monitor") to name and password. The password becomes a
            SCRAM verifier here, on the client: the server never sees the text, so no log can hold it.
    """
    for purpose, (name, password) in roles.items():
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        for setting, value in ((purpose, name), (f"{purpose}_verifier", verifier)):
            connection.execute("SELECT set_config('haop.' || %s, %s, false)", [setting, value])
    connection.execute("SET log_statement = 'none'")
    connection.execute(query("roles"))


def ensure_database(connection: BoundedConnection, name: str, owner: str, monitor: str) -> None:
    """Make the application's database unless it is there; only its owner and the monitor may connect."""
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        return
    database = sql.Identifier(name)
    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner)))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(monitor)))
