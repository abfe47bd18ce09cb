"""What the doctor asks of a server."""

from dataclasses import replace
from typing import Any

from psycopg.rows import dict_row

from haop.clock import SYSTEM_CLOCK
from haop.errors import ConnectionFailed
from haop.model.endpoint import Endpoint
from haop.model.examined import ServerSeen
from haop.model.settings import Pending
from haop.model.status import Slot
from haop.postgres import hba
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.queries import query

_SECONDS = 10.0


def server(endpoint: Endpoint, login: Login, database: str) -> ServerSeen:
    """Everything at once, over one short connection, and one more to the application's database.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with (
        connected(endpoint, login, answer_seconds=_SECONDS) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        begun, asked = SYSTEM_CLOCK.now(), SYSTEM_CLOCK.monotonic()
        row = cursor.execute(query("examination")).fetchone()
        took = SYSTEM_CLOCK.monotonic() - asked
        assert row is not None
        rules = hba.rules(connection)
        slots = tuple(Slot(**r) for r in cursor.execute(query("slots")))
        pending = tuple(Pending(**r) for r in cursor.execute(query("pending")))
        collations = _collations(connection)
    clock = row.pop("clock")
    if database in row["databases"]:
        collations |= _collations_of(endpoint, replace(login, database=database))
    values: dict[str, Any] = {key: tuple(told) if isinstance(told, list) else told for key, told in row.items()}
    return ServerSeen(
        **values,
        pending=pending,
        rules=rules,
        slots=slots,
        collations=tuple(sorted(collations)),
        skew_seconds=clock - (begun.timestamp() + took / 2),
        skew_within_seconds=took / 2,
    )


def _collations(connection: BoundedConnection) -> set[str]:
    return {row[0] for row in connection.execute(query("collations"))}


def _collations_of(endpoint: Endpoint, login: Login) -> set[str]:
    try:
        with connected(endpoint, login, answer_seconds=_SECONDS) as connection:
            return _collations(connection)
    except ConnectionFailed:
        # It takes no connections at all (ALLOW_CONNECTIONS false): then it has no columns that anybody sorts by.
        return set()
