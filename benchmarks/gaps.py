"""What clients saw of a failover, and what it comes to: the clients' process, its ledger, and figures of it."""

import json
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

from psycopg.conninfo import make_conninfo

from benchmarks.clients import ACKNOWLEDGED
from haop.errors import DeadlineExceeded
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login
from haop.waiting import wait_until

WRITER, READER, READER_OF_STANDBYS, KEPT, NEW = "writer", "reader, any", "reader, prefer-standby", "kept", "new"


class Attempt(NamedTuple):
    """One statement of one client, or its failure to get a connection."""

    client: str
    number: int
    begun: float
    ended: float
    port: int | None
    outcome: str


class Ledger:
    """What the clients have told so far."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def acknowledged(self, *clients: str) -> list[Attempt]:
        """What was acknowledged to these clients, by the end of each; to all clients where none is named."""
        found = [
            each for each in self.attempts.copy()
            if each.outcome == ACKNOWLEDGED and (not clients or each.client in clients)
        ]  # fmt: skip
        return sorted(found, key=lambda each: each.ended)

    def first(self, client: str, port: int) -> float | None:
        """When that port first acknowledged something to that client."""
        return next((each.ended for each in self.acknowledged(client) if each.port == port), None)

    def await_first(self, client: str, port: int, *, seconds: float) -> float:
        """Wait for it.

        Raises:
            DeadlineExceeded: it did not within so many seconds.
        """
        return wait_until(
            lambda: self.first(client, port), deadline=seconds, pause=0.05,
            waiting_for=f"an acknowledgement of port {port} to the {client}",
        )  # fmt: skip


@contextmanager
def clients(nodes: Mapping[str, Endpoint], login: Login, old: str, first: int) -> Iterator[Ledger]:
    """Run the clients of a cluster whose primary is `old`, until the end of the context.

    Those that reach every node list the old primary first. Numbers of writes begin at `first`, and are spaced so that
    no two clients ever write the same.
    """
    order = [nodes[old], *(endpoint for name, endpoint in nodes.items() if name != old)]
    asked = [
        (WRITER, "write", _conninfo(order, login, "read-write"), first),
        (READER, "read", _conninfo(order, login, "any"), 0),
        (READER_OF_STANDBYS, "read", _conninfo(order, login, "prefer-standby"), 0),
        (KEPT, "kept", _conninfo(order[:1], login, "any"), first + 1_000_000),
        (NEW, "new", _conninfo(order[:1], login, "any"), first + 2_000_000),
    ]
    ledger = Ledger()
    argv = (sys.executable, "-m", "benchmarks.clients")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        listener = threading.Thread(target=_listen, args=(process.stdout, ledger))
        listener.start()
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            everyone = {client for client, *_ in asked}
            wait_until(
                lambda: everyone == {each.client for each in ledger.acknowledged()},
                deadline=30, waiting_for="an answer to each client",
            )  # fmt: skip
            yield ledger
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            listener.join()


def _conninfo(order: Sequence[Endpoint], login: Login, session: str) -> str:
    hosts, ports = ",".join(each.host for each in order), ",".join(str(each.port) for each in order)
    more: dict[str, Any] = {"connect_timeout": 2, "target_session_attrs": session, "gssencmode": "disable"}
    return make_conninfo(host=hosts, port=ports, **login.parameters(), **more)


def _listen(lines: Iterator[str], ledger: Ledger) -> None:
    for line in lines:
        ledger.attempts.append(Attempt(*json.loads(line)))


class Seen(NamedTuple):
    """One repetition in figures; seconds, and numbers of writes."""

    write_gap: float  # the longest time between two acknowledged writes, lasting or not: what a client sees
    last_before: float  # when it began (monotonic clock)
    first_after: float  # when it ended
    read_gap: float  # the longest time between two answered reads, of the reader of any node
    standby_read_gap: float  # the same, of the reader that prefers standbys
    acknowledged: int
    lost: int  # acknowledged by anyone to anyone, and not on the surviving primary
    lost_late: int  # of these, acknowledged by the old primary after the new one had acknowledged a write
    late: int  # all that the old primary acknowledged after that


def seen(ledger: Ledger, survivors: Collection[int], old_port: int, promoted_at: float) -> Seen:
    """The figures of a repetition, from what clients saw and what the surviving primary has.

    Raises:
        DeadlineExceeded: a client was not answered twice.
    """
    writes = ledger.acknowledged(WRITER, KEPT, NEW)
    lost = [each for each in writes if each.number not in survivors]
    late = [each for each in writes if each.port == old_port and each.ended > promoted_at and each.begun > promoted_at]
    write_gap = _longest(ledger.acknowledged(WRITER))
    read_gap, standby_read_gap = (_longest(ledger.acknowledged(client)) for client in (READER, READER_OF_STANDBYS))
    return Seen(
        write_gap=write_gap[1] - write_gap[0],
        last_before=write_gap[0],
        first_after=write_gap[1],
        read_gap=read_gap[1] - read_gap[0],
        standby_read_gap=standby_read_gap[1] - standby_read_gap[0],
        acknowledged=len(writes),
        lost=len(lost),
        lost_late=sum(each.port == old_port and each.ended > promoted_at for each in lost),
        late=len(late),
    )


def _longest(answered: Sequence[Attempt]) -> tuple[float, float]:
    """Between which two answers the longest time passed."""
    if len(answered) < 2:
        raise DeadlineExceeded("a client was not answered twice")
    return max(((a.ended, b.ended) for a, b in pairwise(answered)), key=lambda pair: pair[1] - pair[0])
