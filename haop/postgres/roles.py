"""Roles and the application's database: made where they are missing, changed where `.env` or `haop.toml` have."""

from collections.abc import Mapping

from psycopg import sql

from haop.postgres import scram
from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query


def ensure_roles(connection: BoundedConnection, roles: Mapping[str, tuple[str, str]]) -> None:
    """Make the roles that are missing.

    Args:
        connection: of a superuser, on the primary.
        roles: purpose ("owner", "replication", "rewind", "monitor") to name and password. The password becomes a
            SCRAM verifier here, on the client: the server never sees the text, so no log can hold it.
    """
    _hush(connection)
    for purpose, (name, password) in roles.items():
        for setting, value in ((purpose, name), (f"{purpose}_verifier", scram.verifier(password))):
            connection.execute("SELECT set_config('haop.' || %s, %s, false)", [setting, value])
    connection.execute(query("roles"))


def ensure_passwords(connection: BoundedConnection, passwords: Mapping[str, str]) -> tuple[str, ...]:
    """Let each of these roles have that password; returns those for which it was changed."""
    found = connection.execute(
        "SELECT rolname, coalesce(rolpassword, '') FROM pg_authid WHERE rolname = ANY(%s)", [list(passwords)]
    ).fetchall()
    changed = tuple(name for name, kept in found if not _kept(kept, name, passwords[name]))
    _hush(connection)
    for name in changed:
        # Confirmed by a standby, it would wait for one that may lack this very password.
        connection.execute("SET synchronous_commit = local")
        kept = sql.Literal(scram.verifier(passwords[name]))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(name), kept))
    return changed


def _hush(connection: BoundedConnection) -> None:
    """Log no statement of this session, not even one that is slow or fails: they have verifiers in them."""
    for setting in (
        "log_statement = 'none'", "log_min_duration_statement = -1", "log_min_duration_sample = -1",
        "log_transaction_sample_rate = 0", "log_min_error_statement = panic",
    ):  # fmt: skip
        connection.execute(f"SET {setting}")


def _kept(kept: str, name: str, password: str) -> bool:
    return scram.is_verifier(kept) and scram.matches(kept, name, password)


def ensure_database(connection: BoundedConnection, name: str, owner: str, monitor: str) -> str | None:
    """Make the application's database unless it is there; only its owner and the monitor may connect.

    A new owner has what the one before has made, as its member. The one before keeps that, and may no longer connect.

    Returns:
        What was changed, in words; None where nothing had to be.
    """
    database = sql.Identifier(name)
    row = connection.execute(
        "SELECT rolname, rolsuper FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE datname = %s", [name]
    ).fetchone()
    if row:
        former, superuser = row
        if former == owner:
            return None
        if not superuser:
            before, after = sql.Identifier(former), sql.Identifier(owner)
            connection.execute(sql.SQL("REVOKE {} FROM {}").format(after, before))  # of an owner that comes back
            connection.execute(sql.SQL("GRANT {} TO {}").format(before, after))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(owner)))
        return f"owner of {name} {former} → {owner}"
    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(owner)))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(monitor)))
    return f"made the database {name}"
