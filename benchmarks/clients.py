"""Independent clients of a cluster, as a process of their own: they see it as applications do, and know nothing of it.

From stdin comes one line of JSON: for each client its kind, its conninfo and, for kinds that write, where its numbers
begin. To stdout goes a line for each attempt: `[client, number, begun, ended, port, outcome]`, with times of the
monotonic clock, which is the whole machine's. The end of stdin ends them.

    write    through all nodes, `target_session_attrs=read-write`: an INSERT every 10 ms, each with a deadline of 1 s
    read     likewise, a SELECT; its conninfo says what it prefers
    kept     straight to one node on one connection, with no deadline: it hears what a hung server says once it goes on
    new      straight to one node, a new connection for each INSERT, every 50 ms

A statement whose deadline passed is abandoned with its connection. A client that gets no connection tries again at its
pace. `connect_timeout` is 2 s, the least that libpq knows.
"""

import json
import sys
import threading
import time
from typing import Any

import psycopg
from psycopg.abc import PQGen

PACES = {"write": 0.01, "read": 0.01, "kept": 0.01, "new": 0.05}
DEADLINE_SECONDS = 1.0
LONG_SECONDS = 600.0
ACKNOWLEDGED, FAILED, UNKNOWN = "acknowledged", "failed", "unknown"

INSERT = "INSERT INTO gaps VALUES (%s)"
SELECT = "SELECT id FROM gaps LIMIT 1"


class Link(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which no answer is waited for longer than `deadline`."""

    deadline = LONG_SECONDS

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the answer; where none comes in time the connection is given up."""
        try:
            return super().wait(gen, interval, timeout=self.deadline if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if not error.sqlstate:
                self.pgconn.finish()
            raise


class Client:
    """One client; `run` in a thread of its own."""

    def __init__(self, name: str, kind: str, conninfo: str, number: int) -> None:
        self._name, self._kind, self._conninfo, self._number = name, kind, conninfo, number
        self._link: Link | None = None

    def run(self) -> None:
        """Attempt after attempt, until the end; a kept connection that broke is not replaced."""
        pace = PACES[self._kind]
        while not ENDED.is_set():
            outcome = self._attempt()
            if self._kind == "kept" and outcome != ACKNOWLEDGED:
                break
            ENDED.wait(pace - time.monotonic() % pace)
        self._close()

    def _attempt(self) -> str:
        self._number += 1
        begun, port, outcome = time.monotonic(), None, FAILED
        try:
            link = self._link = self._link or self._connect()
            port = link.info.port
            outcome = UNKNOWN  # from here on the server may have heard of it
            if self._kind == "read":
                link.execute(SELECT).fetchone()
            else:
                link.execute(INSERT, [self._number])
            outcome = ACKNOWLEDGED
        except psycopg.Error as error:
            if error.sqlstate:  # the server has said no
                outcome = FAILED
        row = [self._name, self._number, begun, time.monotonic(), port, outcome]
        with PRINTING:
            print(json.dumps(row), flush=True)
        if outcome != ACKNOWLEDGED or self._kind == "new":
            self._close()
        return outcome

    def _connect(self) -> Link:
        link = Link.connect(self._conninfo, autocommit=True)
        link.prepare_threshold = None
        link.deadline = LONG_SECONDS if self._kind == "kept" else DEADLINE_SECONDS
        return link

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def main() -> None:
    """Run all clients until stdin ends."""
    clients = [Client(*each) for each in json.loads(sys.stdin.readline())]
    sys.setswitchinterval(0.0005)
    for client in clients:
        threading.Thread(target=client.run, daemon=True).start()
    sys.stdin.read()
    ENDED.set()


ENDED = threading.Event()
PRINTING = threading.Lock()

if __name__ == "__main__":
    main()
