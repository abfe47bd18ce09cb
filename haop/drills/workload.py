"""The clients of a drill: they connect as an application does, and append what they saw to the ledger.

Writers and readers use a multi-host connection string. One more writer stays on the old primary, whatever it becomes:
it would notice if that took writes after another was promoted.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial

import psycopg

from haop.drills import threads
from haop.drills.ledger import Ledger, Outcome, Read, Write
from haop.model.endpoint import Endpoint
from haop.postgres.answers import reason
from haop.postgres.connection import BoundedConnection, Login, open_connection

PACE_SECONDS = 0.005
STATEMENT_SECONDS = 1.0
WRITERS = 2
PINNED = "stays on the old primary"

_INSERT = "INSERT INTO haop_drill.writes VALUES (%s)"
_SELECT = "SELECT id FROM haop_drill.writes LIMIT 1"

# Answers that say the statement was not carried out: read only, not accepting connections, no such role or database.
_REFUSALS = {"25006", "57P03", "28000", "28P01", "3D000", "53300"}


class Workload:
    """Clients at a pace of 5 ms each, for as long as `running()` is open."""

    def __init__(self, ledger: Ledger, nodes: Mapping[str, Endpoint], login: Login, old_primary: str) -> None:
        self._ledger = ledger
        self._nodes = nodes
        self._names = {endpoint.port: name for name, endpoint in nodes.items()}
        self._login = login
        self._old = old_primary
        self._ids = itertools.count(1)
        self._stop = threading.Event()

    def running(self) -> AbstractContextManager[None]:
        """Start the clients; end them, and wait for their end, with the context."""
        writers = [partial(self._write, f"writer {number}", self._writer) for number in range(1, WRITERS + 1)]
        return threads.running([*writers, partial(self._write, PINNED, self._pinned), self._read], self._stop)

    def acknowledges(self, *, by_new_primary: bool) -> bool:
        """Whether a write was acknowledged, by any node or by another than the old primary."""
        return any(
            write.outcome is Outcome.ACKNOWLEDGED and not (by_new_primary and write.node == self._old)
            for write in reversed(self._ledger.writes.copy())
        )

    def _writer(self) -> BoundedConnection:
        order = (self._nodes[self._old], *(e for name, e in self._nodes.items() if name != self._old))
        return self._open(order, target_session_attrs="read-write")

    def _pinned(self) -> BoundedConnection:
        return self._open((self._nodes[self._old],))

    def _reader(self) -> BoundedConnection:
        order = (*(e for name, e in self._nodes.items() if name != self._old), self._nodes[self._old])
        return self._open(order, target_session_attrs="any")

    def _open(self, order: tuple[Endpoint, ...], **parameters: str) -> BoundedConnection:
        return open_connection(order, self._login, name="haop drill", answer_seconds=STATEMENT_SECONDS, **parameters)

    def _write(self, client: str, connect: Callable[[], BoundedConnection]) -> None:
        connection: BoundedConnection | None = None
        for _ in self._beats():
            number, begun, node = next(self._ids), time.monotonic(), None
            outcome, error = Outcome.REFUSED, None
            try:
                connection = connection or connect()
                node = self._names[connection.info.port]
                outcome = Outcome.INDETERMINATE
                connection.execute(_INSERT, [number])
                outcome = Outcome.ACKNOWLEDGED
            except psycopg.Error as problem:
                if problem.sqlstate in _REFUSALS:
                    outcome = Outcome.REFUSED
                error = reason(problem)
                _close(connection)
                connection = None
            self._ledger.writes.append(Write(number, begun, time.monotonic(), outcome, node, client, error))
        _close(connection)

    def _read(self) -> None:
        connection: BoundedConnection | None = None
        for _ in self._beats():
            begun, node, error = time.monotonic(), None, None
            try:
                connection = connection or self._reader()
                node = self._names[connection.info.port]
                connection.execute(_SELECT).fetchone()
            except psycopg.Error as problem:
                error = reason(problem)
                _close(connection)
                connection = None
            self._ledger.reads.append(Read(begun, time.monotonic(), error is None, node, error))
        _close(connection)

    def _beats(self) -> Iterator[None]:
        """One at each multiple of the pace; a beat that was missed is not made up for."""
        while not self._stop.is_set():
            yield
            self._stop.wait(PACE_SECONDS - time.monotonic() % PACE_SECONDS)


def _close(connection: BoundedConnection | None) -> None:
    if connection is not None:
        connection.close()
