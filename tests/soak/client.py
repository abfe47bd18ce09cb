"""Clients in a process of their own, which know nothing of haop: they write rows, or watch who is out of recovery.

Run as `python -m tests.soak.client writers|observer FILE`. Standard input says where the nodes are, as JSON; when it
ends, so does the process. What a client has seen is in FILE before the client goes on, a line for each: the machine
does not fail in these histories, so a line that is written survives.
"""

import itertools
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import psycopg
from psycopg import errors

_PACE_SECONDS, _WATCH_SECONDS, _REFUSED_SECONDS = 0.01, 0.05, 0.1
_APPLICATIONS = 2
_PAD = "x" * 200
_INSERT = (
    "INSERT INTO soak VALUES (%s, %s) RETURNING current_setting('cluster_name'), "
    "('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int, pg_current_wal_insert_lsn()::text"
)
_ASK = "SELECT pg_is_in_recovery(), pg_postmaster_start_time()::text"
Link = psycopg.Connection[tuple[Any, ...]]
Say = Callable[[dict[str, Any]], None]


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """Waits so long for an answer, and no longer: a frozen server keeps its sockets and says nothing."""

    seconds = 2.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout=self.seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if not error.sqlstate:  # the server said nothing
                self.close()
            raise


def write(say: Say, numbers: Iterator[int], connect: Callable[[], Link], *, keeps: bool) -> NoReturn:
    """Insert rows one after the other for ever; one that keeps its connection stays with a server that refuses."""
    link: Link | None = None
    while True:
        time.sleep(_PACE_SECONDS * random.uniform(0.5, 1.5))
        try:
            link = link or connect()
            number, sent = next(numbers), time.monotonic()
            node, timeline, lsn = _answer(link.execute(_INSERT, (number, _PAD)))
            at = time.monotonic()
            say({"number": number, "node": node, "timeline": timeline, "lsn": lsn, "sent": sent, "at": at})
        except errors.ReadOnlySqlTransaction:
            if not keeps:
                _close(link)
                link = None
            time.sleep(_REFUSED_SECONDS)
        except psycopg.Error:
            _close(link)
            link = None
            time.sleep(_REFUSED_SECONDS)


def watch(say: Say, node: str, connect: Callable[[], Link]) -> NoReturn:
    """Tell each time that a server says it is out of recovery."""
    link: Link | None = None
    while True:
        time.sleep(_WATCH_SECONDS)
        try:
            link = link or connect()
            begun = time.monotonic()
            standby, started = _answer(link.execute(_ASK))
            if not standby:
                say({"node": node, "started": started, "begun": begun, "ended": time.monotonic()})
        except psycopg.Error:
            _close(link)
            link = None


def _answer(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row
    return row


def _close(link: Link | None) -> None:
    if link is not None:
        link.close()


def main(role: str, path: str) -> None:
    """Start a thread for each client, and end with standard input."""
    told = json.loads(sys.stdin.readline())
    ports: dict[str, int] = told["ports"]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(line: dict[str, Any]) -> None:
        os.write(file, (json.dumps(line) + "\n").encode())

    def to(names: list[str], kind: type[Link], session: str = "any") -> Callable[[], Link]:
        hosts, numbers = ",".join("127.0.0.1" for _ in names), ",".join(str(ports[name]) for name in names)
        parameters = {**told["login"], "host": hosts, "port": numbers, "target_session_attrs": session}
        return lambda: kind.connect(**parameters, autocommit=True, connect_timeout=2, gssencmode="disable")

    threads: list[threading.Thread] = []
    if role == "observer":
        threads += [
            threading.Thread(target=watch, args=(say, name, to([name], Patient)), daemon=True) for name in ports
        ]
    else:
        rows = itertools.count(1)
        clients = [(to(list(ports), Patient, "read-write"), False) for _ in range(_APPLICATIONS)]
        # Straight at each node, and as patient as it takes: what a node answers once it thaws counts, too.
        clients += [(to([name], psycopg.Connection), True) for name in ports]
        for connect, keeps in clients:
            work = threading.Thread(target=write, args=(say, rows, connect), kwargs={"keeps": keeps}, daemon=True)
            threads.append(work)
    for thread in threads:
        thread.start()
    sys.stdin.read()
    os._exit(0)  # a client may wait for a server that never answers


if __name__ == "__main__":
    main(*sys.argv[1:])
