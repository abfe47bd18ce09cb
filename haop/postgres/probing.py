"""Probes of a server that may be dead, hung or only slow: how the guard asks."""

import select
import time
from dataclasses import dataclass
from typing import Self

import psycopg
from psycopg import pq

from haop.errors import ConnectionFailed
from haop.model.endpoint import Endpoint
from haop.model.probe import NoAnswer
from haop.model.status import Role
from haop.postgres.connection import BoundedConnection, Login, open_connection, reason
from haop.postgres.queries import query

_STARTING, _ADMINISTRATOR = "57P03", "57P01"
# The postmaster lives and says no: no place left, a role or a database that somebody changed.
_DELIBERATE = ("53300", "28", "3D", "42")


class Unanswered(ConnectionFailed):
    """No answer, and the kind of it."""

    def __init__(self, kind: NoAnswer, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a living server says of itself."""

    role: Role
    timeline: int  # of a standby: its stream's, 0 where it does not stream
    confirming: str  # of a primary: who it waits for, and who streams; for comparison alone


class Kept:
    """A connection that is kept and asked again and again. A late answer is waited for: slow is not dead."""

    def __init__(self, endpoint: Endpoint, login: Login) -> None:
        self._endpoint = endpoint
        self._login = login
        self._link: BoundedConnection | None = None
        self._waiting = False
        self._question = query("pulse").encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget what was asked."""
        if self._link is not None:
            self._link.close()
        self._link, self._waiting = None, False

    def ask(self, seconds: float) -> Pulse | None:
        """Ask, unless an answer is owed already, and wait so long for it; None: not yet, and it is not given up.

        Raises:
            Unanswered: there will be no answer on this connection; the next call opens another.
        """
        try:
            if self._link is None:
                self._link = open_connection(self._endpoint, self._login, name="haop guard")
            if not self._waiting:
                self._link.pgconn.send_query(self._question)
                self._waiting = True
            if not _arrived(self._link.pgconn, seconds):
                return None
            found = self._link.pgconn.get_result()
            while self._link.pgconn.get_result():
                pass
            self._waiting = False
            return _pulse(found)
        except psycopg.Error as error:
            had = self._link is not None
            self.close()
            raise _unanswered(error, had=had) from error
        except Unanswered:
            self.close()
            raise


def knock(endpoint: Endpoint, login: Login) -> None:
    """Be a new client: connect, ask, leave.

    Raises:
        Unanswered: it did not let the client in, or gave no answer.
    """
    try:
        with open_connection(endpoint, login, name="haop guard") as link:
            link.execute("SELECT 1")
    except psycopg.Error as error:
        raise _unanswered(error, had=False) from error


def _arrived(connection: pq.abc.PGconn, seconds: float) -> bool:
    """Whether the whole answer is here within so many seconds."""
    door, end = select.poll(), time.monotonic() + seconds
    door.register(connection.socket, select.POLLIN)
    while True:
        connection.consume_input()
        if not connection.is_busy():
            return True
        left = end - time.monotonic()
        if left <= 0:
            return False
        door.poll(left * 1000)


def _pulse(found: pq.abc.PGresult | None) -> Pulse:
    if found is None or found.status != pq.ExecStatus.TUPLES_OK:
        state = found.error_field(pq.DiagnosticField.SQLSTATE) if found else None
        said = found.error_message.decode(errors="replace").strip() if found else "it said nothing"
        ended, lost = state == _ADMINISTRATOR.encode(), state is not None and state.startswith(b"57P")
        kind = NoAnswer.ENDED if ended else NoAnswer.LOST if lost else NoAnswer.BROKEN
        raise Unanswered(kind, said)
    recovering, timeline, confirming = (found.get_value(0, column) for column in range(3))
    role = Role.STANDBY if recovering == b"t" else Role.PRIMARY
    return Pulse(role, int(timeline or 0), (confirming or b"").decode(errors="replace"))


def _state(error: psycopg.Error) -> str | None:
    """The error's code. psycopg knows none of an error that a connection ended with: PostgreSQL's words tell."""
    if error.sqlstate:
        return error.sqlstate
    connection = error.pgconn
    text = connection.error_message.decode(errors="replace") if connection else str(error)
    known = {
        "too many clients": "53300", "remaining connection slots": "53300", "password authentication failed": "28P01",
        "no pg_hba.conf entry": "28000", "does not exist": "3D000", "is starting up": _STARTING,
        "in recovery mode": _STARTING, "not yet accepting connections": _STARTING, "shutting down": _ADMINISTRATOR,
        "administrator command": _ADMINISTRATOR,
    }  # fmt: skip
    return next((code for words, code in known.items() if words in text), None)


def _unanswered(error: psycopg.Error, *, had: bool) -> Unanswered:
    state, why = _state(error) or "", reason(error)
    if state.startswith(_DELIBERATE):
        kind = NoAnswer.DENIED
    elif state == _STARTING:
        kind = NoAnswer.STARTING
    elif "no answer within" in why:
        kind = NoAnswer.SILENT
    elif had:
        kind = NoAnswer.ENDED if state == _ADMINISTRATOR else NoAnswer.LOST
    else:
        kind = NoAnswer.REFUSED if "refused" in why or "closed" in why else NoAnswer.BROKEN
    return Unanswered(kind, why)
