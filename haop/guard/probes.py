"""Eyes of the guard: one thread a node asks on a kept connection, one knocks as a new client, one hears of exits.

None of them ends before the guard does: where one fails, whatever it is, that is told, and it begins anew.
"""

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from haop.errors import HaopError
from haop.guard.quiet import Flushes, after
from haop.guard.seen import Answer, Miss, Seen, Welcome
from haop.guard.trouble import Troubles, watched
from haop.model.probe import NoAnswer
from haop.model.status import Role
from haop.operations.cluster import Cluster
from haop.postgres.answers import Unanswered
from haop.postgres.probing import Kept, knock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACE_SECONDS = 0.5
_KNOCK_SECONDS = 5.0
# A server that has just gone may be up again in a moment; one that is gone for a while costs less.
_AGAIN_SECONDS, _QUICKLY_SECONDS = 0.1, 10.0
_RETURN_SECONDS = 1.0


class Probes:
    """What the threads see is put into `seen`, in the order in which it was seen."""

    def __init__(self, cluster: Cluster, until: threading.Event, troubles: Troubles) -> None:
        # No SimpleQueue: one that a signal interrupts after its time has run out, as in a guard that was stopped by a
        # signal and is told to end, waits for ever.
        self.seen: queue.Queue[Seen] = queue.Queue()
        self.confirming: dict[str, str] = {}  # of each primary: who it waits for and who streams, for comparison
        self._flushes: dict[str, Flushes] = {}  # of each primary
        self._troubles = troubles
        self._cluster = cluster
        self._until = until
        self._primaries: set[str] = set()

    def quiet(self, primary: str) -> "Mapping[str, float]":
        """For how many seconds each standby has confirmed nothing of what that primary has written."""
        return self._flushes[primary].quiet if primary in self._flushes else {}

    def start(self) -> None:
        """Begin; all threads end soon after the event is set, and the process need not wait for them."""
        names = [node.name for node in self._cluster.project.spec.nodes]
        watches: dict[str, Callable[[], None]] = {"ends of nodes": partial(self._hear, names)}
        for name in names:
            watches |= {f"probes of {name}": partial(self._ask, name), f"knocks at {name}": partial(self._knock, name)}
        for about, watch in watches.items():
            watched(about, watch, self._until, self._troubles)

    def _hear(self, names: list[str]) -> None:
        while not self._until.is_set():
            try:
                for ended in self._cluster.runtime.exits(names, self._until):
                    self.seen.put(ended)
            except HaopError as error:  # an engine that is gone comes back, or nothing does
                self._troubles.meet("runtime", error.message)
                self._until.wait(_RETURN_SECONDS)

    def _ask(self, name: str) -> None:
        endpoint, login = self._cluster.runtime.endpoint(name), self._cluster.engine.admin
        answered = time.monotonic()
        with Kept(endpoint, login) as server:
            while not self._until.is_set():
                try:
                    pulse = server.ask(PACE_SECONDS)
                except Unanswered as error:
                    self._missed(name, error.kind, error.message)
                    quickly = error.kind is not NoAnswer.DENIED and time.monotonic() - answered < _QUICKLY_SECONDS
                    self._until.wait(_AGAIN_SECONDS if quickly else _RETURN_SECONDS)
                    continue
                if pulse is None:
                    self._missed(name, NoAnswer.SILENT, str(NoAnswer.SILENT))
                    continue
                self._troubles.over(name)
                standby = pulse.role is Role.STANDBY
                (self._primaries.discard if standby else self._primaries.add)(name)
                self.confirming[name] = pulse.confirming
                if pulse.flushed:
                    before = self._flushes.get(name)
                    self._flushes[name] = after(before, time.monotonic(), pulse.flushed, pulse.receivers)
                receiving, receivers = standby and pulse.timeline > 0, frozenset(pulse.receivers)
                answered = time.monotonic()
                self.seen.put(Answer(name, answered, pulse.role, pulse.timeline, receiving, receivers, pulse.flushed))
                self._until.wait(PACE_SECONDS)

    def _missed(self, name: str, kind: NoAnswer, why: str) -> None:
        self._troubles.meet(name, why)
        self.seen.put(Miss(name, time.monotonic(), kind, why))

    def _knock(self, name: str) -> None:
        """Only at a primary's door: a standby that lets nobody in harms nobody."""
        endpoint, login = self._cluster.runtime.endpoint(name), self._cluster.engine.admin
        pause = _KNOCK_SECONDS
        while not self._until.wait(pause):
            if name not in self._primaries:
                continue
            try:
                knock(endpoint, login)
            except Unanswered as error:
                pause = _RETURN_SECONDS
                self.seen.put(Miss(name, time.monotonic(), error.kind, error.message, fresh=True))
            else:
                pause = _KNOCK_SECONDS
                self.seen.put(Welcome(name, time.monotonic()))
