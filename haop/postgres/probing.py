"""Probes of a server that may be dead, hung or only slow: how the guard asks."""

import json
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import psycopg
from psycopg import pq

from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.status import Role
from haop.postgres.answers import Unanswered, ended, failed
from haop.postgres.connection import BoundedConnection, Login, opened
from haop.postgres.queries import query


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a living server says of itself."""

    role: Role
    timeline: int  # of a standby: its stream's, 0 where it does not stream
    confirming: str  # of a primary: who it waits for, and who streams; for comparison alone
    receivers: Mapping[str, Lsn] = field(
        default_factory=dict
    )  # of a primary: who receives, and how far each has flushed
    flushed: Lsn | None = None  # of a primary: how far it has itself


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
                self._link = opened(self._endpoint, self._login, name="haop guard")
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
            self.close()
            raise failed(error) from error
        except Unanswered:
            self.close()
            raise


def knock(endpoint: Endpoint, login: Login) -> None:
    """Be a new client: connect, ask, leave.

    Raises:
        Unanswered: it did not let the client in, or gave no answer.
    """
    with opened(endpoint, login, name="haop guard") as link:
        try:
            link.execute("SELECT 1")
        except psycopg.Error as error:
            raise failed(error) from error


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
        code = state.decode() if state else None
        raise Unanswered(ended(code), said, code)
    recovering, timeline, confirming, receivers, flushed = (
        (found.get_value(0, column) or b"").decode(errors="replace") for column in range(5)
    )
    role = Role.STANDBY if recovering == "t" else Role.PRIMARY
    reached = {name: Lsn.parse(lsn) for name, lsn in json.loads(receivers or "{}").items()}
    return Pulse(role, int(timeline or 0), confirming, reached, Lsn.parse(flushed) if flushed else None)
