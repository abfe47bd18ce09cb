"""Watches roles and timelines while a drill runs: each node twenty times a second, over a connection of its own."""

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

from haop.drills import threads
from haop.drills.ledger import Ledger, Moment
from haop.errors import ConnectionFailed
from haop.model.endpoint import Endpoint
from haop.model.status import Role
from haop.postgres import observe
from haop.postgres.connection import Login, connected

PAUSE_SECONDS = 0.05
AS_PRIMARY = f"answers as {Role.PRIMARY}"


class Observer:
    """Notes each change of a role, and each second primary."""

    def __init__(self, ledger: Ledger, nodes: Mapping[str, Endpoint], login: Login) -> None:
        self._ledger = ledger
        self._nodes = nodes
        self._login = login
        self._stop = threading.Event()
        self._seen: dict[str, Role | None] = {}

    def watching(self) -> AbstractContextManager[None]:
        """Watch for as long as the context is open."""
        return threads.running([partial(self._watch, name) for name in self._nodes], self._stop)

    def _watch(self, name: str) -> None:
        while not self._stop.is_set():
            try:
                with connected(self._nodes[name], self._login, answer_seconds=0.5) as connection:
                    while not self._stop.wait(PAUSE_SECONDS):
                        self._see(name, *observe.role(connection))
            except ConnectionFailed:
                self._see(name, None, 0)
                self._stop.wait(PAUSE_SECONDS)

    def _see(self, name: str, role: Role | None, timeline: int) -> None:
        if name in self._seen and self._seen[name] is not role:
            word = "stops answering" if role is None else f"answers as {role} on timeline {timeline}"
            self._ledger.moments.append(Moment(time.monotonic(), word, name))
        self._seen[name] = role
        if role is Role.PRIMARY and sum(seen is Role.PRIMARY for seen in self._seen.values()) > 1:
            self._ledger.moments.append(Moment(time.monotonic(), "two primaries answer", name))
