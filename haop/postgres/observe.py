"""What a server says about itself."""

from typing import Any

from psycopg import Cursor
from psycopg.errors import ObjectNotInPrerequisiteState
from psycopg.rows import dict_row

from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.status import Archiving, Fork, Place, Role, Sender, Server, Slot
from haop.postgres.answers import ANSWER_SECONDS
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.pointing import place
from haop.postgres.queries import query


def server(endpoint: Endpoint, login: Login, *, answer_seconds: float = ANSWER_SECONDS) -> Server:
    """Ask a server for its role, timeline, positions, senders and slots, over one short connection.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login, answer_seconds=answer_seconds) as connection:
        return ask(connection)


def ask(connection: BoundedConnection) -> Server:
    """The same over a connection that is open. Raises what the driver raises."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query("node")).fetchone()
        assert row is not None
        senders = _senders(cursor)
        archiver = cursor.execute(query("archiver")).fetchone()
        places = tuple(Place(**r) for r in cursor.execute(query("places")))
        slots = tuple(slot for r in cursor.execute(query("slots")) if (slot := Slot(**r)).physical)
    silent = row["role"] == Role.STANDBY and row["receiver"] != "streaming"
    return Server(
        role=Role(row.pop("role")),
        lsn=Lsn.parse(row.pop("lsn") or "0/0"),
        inserted=_lsn(row.pop("inserted")),
        received_lsn=_lsn(row.pop("received_lsn")),
        forks=forks(row.pop("history") or ""),
        upstream=place(row.pop("upstream") or ""),
        senders=senders,
        slots=slots,
        places=places,
        archiving=Archiving(**archiver) if archiver else None,
        replay_paused=silent and _replay_paused(connection),
        **row,
    )


def _replay_paused(connection: BoundedConnection) -> bool:
    try:
        row = connection.execute("SELECT pg_is_wal_replay_paused()").fetchone()
    except ObjectNotInPrerequisiteState:  # promoted this very moment
        return False
    return bool(row and row[0])


def senders(connection: BoundedConnection) -> tuple[Sender, ...]:
    """Only who receives from it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return _senders(cursor)


def forks(history: str) -> tuple[Fork, ...]:
    r"""Where each earlier timeline ended, from the text of a history file (`pg_wal/0000000N.history`).

    >>> forks("1\t0/3000148\tno recovery target specified\n")
    (Fork(timeline=1, at=Lsn(position=50331976)),)
    """
    rows = (line.split() for line in history.splitlines() if line.strip() and not line.startswith("#"))
    return tuple(Fork(timeline=int(row[0]), at=Lsn.parse(row[1])) for row in rows)


def _lsn(text: str | None) -> Lsn | None:
    return Lsn.parse(text) if text else None


def _senders(cursor: Cursor[dict[str, Any]]) -> tuple[Sender, ...]:
    rows = cursor.execute(query("senders"))
    return tuple(Sender(**{**row, "flush_lsn": _lsn(row["flush_lsn"])}) for row in rows)


def role(connection: BoundedConnection) -> tuple[Role, int]:
    """Only the role and the timeline: for who asks often. A standby's timeline is that of its receiver, else 0."""
    row = connection.execute(query("role")).fetchone()
    assert row is not None
    return Role(row[0]), int(row[1])
