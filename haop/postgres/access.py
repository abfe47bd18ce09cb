"""Who can do what on the primary: the application, as it connects itself, and the roles that haop works with."""

from collections.abc import Collection
from dataclasses import dataclass

from psycopg import sql

from haop.model.endpoint import Endpoint
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.queries import query


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps a role of haop's from connecting, or will."""

    role: str
    told: tuple[str, ...]  # "NOLOGIN", "CONNECTION LIMIT 1", "VALID UNTIL 2026-12-01 00:00 UTC"


def is_read_only(endpoint: Endpoint, application: Login) -> bool:
    """Whether what the application begins there is read only, in a session that is set as its own are.

    Raises:
        Unanswered: it does not get in.
    """
    with connected(endpoint, application) as link:
        row = link.execute("SHOW transaction_read_only").fetchone()
        return row is not None and row[0] == "on"


def hindrances(connection: BoundedConnection, replicating: str, roles: Collection[str]) -> tuple[Hindrance, ...]:
    """Of each of these roles that is there, and of the one that replicates, what an ALTER ROLE has put in its way."""
    found = connection.execute(query("hindrances"), {"replicating": replicating, "roles": [*roles, replicating]})
    return tuple(Hindrance(role, tuple(told)) for role, told in found)


def free(connection: BoundedConnection, replicating: str, roles: Collection[str]) -> tuple[str, ...]:
    """Take all that out of their way; returns whose it was, and what."""
    found = hindrances(connection, replicating, roles)
    for each in found:
        rights = "LOGIN REPLICATION" if each.role == replicating else "LOGIN"
        statement = sql.SQL("ALTER ROLE {} {} CONNECTION LIMIT -1 VALID UNTIL 'infinity'")
        connection.execute(statement.format(sql.Identifier(each.role), sql.SQL(rights)))
    return tuple(f"{each.role} had {', '.join(each.told)}" for each in found)
