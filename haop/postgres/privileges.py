"""What a role is and may, in all databases."""

from collections.abc import Iterator
from dataclasses import replace

from psycopg.rows import dict_row

from haop.errors import ConnectionFailed
from haop.model.checking import RoleFacts
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login, connected
from haop.postgres.queries import query


def role_facts(endpoint: Endpoint, admin: Login, role: str) -> RoleFacts | None:
    """Attributes, memberships, what it owns and is granted, where it may connect; None where there is no such role.

    What a database that lets nobody in holds is told without its name.

    Raises:
        ConnectionFailed: the server did not answer.
    """
    with connected(endpoint, admin) as link, link.cursor(row_factory=dict_row) as cursor:
        link.execute("SELECT set_config('haop.role', %s, false)", [role])
        facts = cursor.execute(query("role_facts")).fetchone()
    if facts is None:
        return None
    holds = list(_holdings(endpoint, admin, role, shared=True))
    for database in facts["found_in"]:
        try:
            holds += _holdings(endpoint, replace(admin, database=database), role, shared=False)
        except ConnectionFailed as error:
            holds.append(f"something in database {database}, which cannot be looked into ({error.message})")
    return RoleFacts(
        attributes=frozenset(facts["attributes"]), member_of=tuple(facts["member_of"]), holds=tuple(holds),
        connects_to=tuple(facts["connects_to"]),
    )  # fmt: skip


def _holdings(endpoint: Endpoint, login: Login, role: str, *, shared: bool) -> Iterator[str]:
    with connected(endpoint, login) as link, link.cursor(row_factory=dict_row) as cursor:
        link.execute("SELECT set_config('haop.role', %s, false)", [role])
        where = "" if shared else f" of {login.database}"
        for row in cursor.execute(query("role_holdings")).fetchall():
            if row["shared"] is shared:
                how = "owns" if row["owns"] else f"{row['privileges'] or 'a policy or default'} on"
                yield f"{how} {row['object']}{where}"
