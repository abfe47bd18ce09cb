"""Routes: a list of hosts, what is wanted of the server there, and what this process knows of them.

Each route is a circuit breaker. A host that does not answer is shunned until a trial in the background reaches it, so
it costs one timeout and not one for each connection. A route on which no host serves is down: connecting fails at once,
and trials go on until one succeeds. Nothing here waits inside a request, and no query is preceded by a ping.
"""

import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")
Opener = Callable[[Mapping[str, str]], T]
_LOG = logging.getLogger("haop.django")

READ_WRITE, PREFER_STANDBY = "read-write", "prefer-standby"
# Most failovers take less than a few seconds; what takes longer is tried less often.
_PAUSE_SECONDS, _LATER_PAUSE_SECONDS, _LATER_SECONDS = 0.05, 0.25, 5.0
# The server is there and plays another role (libpq, fe-connect.c).
_OTHER_ROLE = ("session is read-only", "session is not read-only", "server is in hot standby mode",
               "server is not in hot standby mode")  # fmt: skip


class Refuses(psycopg.OperationalError):
    """The server is there, and would serve somebody else, or later."""


class RouteDown(psycopg.OperationalError):
    """No host of the route serves as what was wanted. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Down:
    """Since when (monotonic clock, seconds) a route is down, and why."""

    since: float
    reason: str


class Route:
    """One route of this process. Safe to use from any thread.

    Args:
        hosts: each with its port, as libpq takes them.
        wants: libpq's `target_session_attrs`.
    """

    def __init__(self, hosts: tuple[tuple[str, str], ...], wants: str) -> None:
        self.hosts = hosts
        self.wants = wants
        self.changed: Callable[[Down | None, Down | None], None] = lambda now, before: None  # noqa: ARG005
        self.forget()

    def forget(self) -> None:
        """Know nothing: every host may serve."""
        self.down: Down | None = None
        self.shunned: dict[int, str] = {}
        self._last = 0  # where the last connection was made
        self._served: dict[int, float] = {}  # when each host did so last (monotonic clock)
        self._lock = threading.Lock()
        self._opener: Opener[Any] | None = None

    def connect(self, opener: Opener[T]) -> T:
        """The first connection that can be made, of the hosts in the order in which they are likely to serve.

        Args:
            opener: connects with libpq's parameters host, port and target_session_attrs, and those it knows itself. The
                background uses it too, and closes what it gets at once: while it waits, other threads must run.

        Raises:
            RouteDown: no host serves, or none did a moment ago.
            Refuses: a server refuses this login, or has no room for another connection.
        """
        self._opener = opener
        if self.down:
            raise RouteDown(f"{self}: {self.down.reason}")
        return self._try(opener, shunned=True)

    def try_again(self) -> None:
        """Whether a host serves by now."""
        if self._opener:
            with suppress(psycopg.OperationalError):
                self._try(self._opener).close()

    def reach_shunned(self) -> None:
        """Whether hosts that did not answer do by now, as whatever."""
        for index in tuple(self.shunned):
            try:
                assert self._opener, "nobody is shunned before an attempt"
                self._opener(self._parameters(index, "any")).close()
            except psycopg.OperationalError as error:
                if isinstance(error, psycopg.errors.ConnectionTimeout):  # again: this machine may be late once
                    ROUTES.hanging.add(self.hosts[index])
                if not _is_there(error):
                    continue
            self._is_reached(index)

    def lost(self, place: tuple[str, str]) -> None:
        """A connection to that host was lost: the next one begins with another, if there is one."""
        if self.hosts[self._last] == place:
            self._last = (self._last + 1) % len(self.hosts)

    def hangs(self, index: int, reason: str) -> None:
        """That host accepts connections and says nothing: those that are there already are of no use either."""
        ROUTES.hanging.add(self.hosts[index])
        self._shun(index, reason)

    def _try(self, opener: Opener[T], *, shunned: bool = False) -> T:
        """Ask who may serve; at last, if it is wanted, who is shunned, because that may be over and not noticed yet."""
        problems, refusal, begun = self.shunned.copy(), None, time.monotonic()
        for session, index in self._attempts(tuple(problems) if shunned else ()):
            try:
                made = opener(self._parameters(index, session))
            except psycopg.OperationalError as error:
                problems[index] = _line(str(error))
                if not _is_there(error):
                    if self._served.get(index, -math.inf) < begun:  # else it has answered somebody meanwhile
                        self._shun(index, problems[index])
                elif isinstance(error, Refuses):
                    refusal = error
            else:
                self._last, self._served[index] = index, time.monotonic()
                self._is_reached(index)
                self._becomes(None)
                return made
        if refusal:
            raise refusal
        if max(self._served.values(), default=-math.inf) > begun:  # what was found out here is out of date
            return self._try(opener, shunned=shunned)
        reason = "; ".join(f"{':'.join(self.hosts[index])}: {problem}" for index, problem in sorted(problems.items()))
        self._becomes(reason)
        raise RouteDown(f"{self}: {reason}")

    def _attempts(self, at_last: tuple[int, ...]) -> Iterator[tuple[str, int]]:
        likely = sorted(range(len(self.hosts)), key=lambda index: (index != self._last, index))
        wanted = ("standby", "any") if self.wants == PREFER_STANDBY else (self.wants,)
        pairs = itertools.product(wanted, likely)
        usual = ((session, index) for session, index in pairs if index not in self.shunned)
        return itertools.chain(usual, ((wanted[-1], index) for index in at_last))

    def _shun(self, index: int, reason: str) -> None:
        with self._lock:
            self.shunned[index] = reason
        ROUTES.something_is_shunned()

    def _is_reached(self, index: int) -> None:
        if index in self.shunned:
            ROUTES.hanging.discard(self.hosts[index])
            with self._lock:
                self.shunned.pop(index, None)

    def _becomes(self, reason: str | None) -> None:
        if reason is None and self.down is None:
            return
        with self._lock:
            before = self.down
            down = None if reason is None else before or Down(time.monotonic(), reason)
            self.down = down
        if down:
            ROUTES.something_is_down()
        if bool(before) != bool(down):
            self.changed(down, before)

    def _parameters(self, index: int, session: str) -> dict[str, str]:
        host, port = self.hosts[index]
        return {"host": host, "port": port, "target_session_attrs": session}

    def __str__(self) -> str:
        return "no primary" if self.wants == READ_WRITE else "no server"


class Background:
    """A thread that tries something over and over, and lives as long as there is something to try."""

    def __init__(self, name: str, due: Callable[[], list[Callable[[], None]]]) -> None:
        self._name = name
        self._due = due
        self.forget()

    def forget(self) -> None:
        """There is no thread: this process has just been forked."""
        self._lock, self._running = threading.Lock(), False

    def begin(self) -> None:
        """Unless begun."""
        with self._lock:
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        begun = time.monotonic()
        while True:
            time.sleep(_PAUSE_SECONDS if time.monotonic() - begun < _LATER_SECONDS else _LATER_PAUSE_SECONDS)
            for attempt in self._due():
                try:
                    attempt()
                except Exception:  # noqa: BLE001 - whatever it is, the trials must go on
                    _LOG.exception("a trial failed in a way that nobody thought of")
            with self._lock:
                if not self._due():
                    self._running = False
                    return


class Routes:
    """The routes of this process, and what goes on in its background: one thread never waits for the other's hosts."""

    def __init__(self) -> None:
        self._routes: dict[tuple[Any, ...], Route] = {}
        self._down = Background("haop-down", lambda: [r.try_again for r in self._all() if r.down])
        self._shunned = Background("haop-shunned", lambda: [r.reach_shunned for r in self._all() if r.shunned])
        self.hanging: set[tuple[str, str]] = set()  # places of servers that accept connections and say nothing
        self.something_is_down = self._down.begin
        self.something_is_shunned = self._shunned.begin
        os.register_at_fork(after_in_child=self._forget)

    def get(self, hosts: tuple[tuple[str, str], ...], wants: str, *more: object) -> Route:
        """The one route with those hosts and whatever else tells it from others."""
        return self._routes.setdefault((hosts, wants, *more), Route(hosts, wants))

    def _all(self) -> tuple[Route, ...]:
        return tuple(self._routes.values())

    def _forget(self) -> None:
        self.hanging.clear()
        for route in self._all():
            route.forget()
        self._down.forget()
        self._shunned.forget()


def plays_another_role(error: psycopg.OperationalError) -> bool:
    """Whether libpq, which speaks English, found another role than the wanted one."""
    return any(part in str(error) for part in _OTHER_ROLE)


def _is_there(error: psycopg.OperationalError) -> bool:
    return isinstance(error, Refuses) or plays_another_role(error)


def _line(text: str) -> str:
    """The first line of libpq's story; it names host and port, and never a password."""
    return (text.strip().splitlines() or ["no reason given"])[0]


ROUTES = Routes()
