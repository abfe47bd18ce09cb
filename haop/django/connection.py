"""Connections to PostgreSQL that notice when their server is gone, or has stopped to answer."""

import socket
import struct
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn, Self, TypeVar

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from haop.django.routes import ROUTES, Refuses, Route, plays_another_role
from haop.model.probe import NoAnswer
from haop.model.startup import LONGEST, FirstWord, first_word, request

T = TypeVar("T")
# A server that has not answered a statement for so long is asked whether it still lives, and again after each.
PATIENCE_SECONDS = 1.5
_LIVES_SECONDS = 1.0
_MISSES = 2  # a machine under load may be late once
# Asks for TLS (PostgreSQL's documentation, "Message Formats", SSLRequest): each living postmaster answers with a byte.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class FollowingConnection(psycopg.Connection[TupleRow]):
    """Connects to the host that plays the wanted role, and does not wait for a server that hangs.

    A server that was stopped by a signal, or whose network was cut, keeps its sockets open and says nothing. A long
    statement is no failure: what decides is whether the server answers somebody else.
    """

    route: Route
    place: tuple[str, str]  # host and port

    @classmethod
    def connect(cls, conninfo: str = "", **parameters: Any) -> Self:
        """As psycopg's, through the circuit breaker of the route.

        Raises:
            RouteDown: no host serves. Nothing was sent.
            psycopg.OperationalError: as the driver does.
        """
        return route_of(parameters).connect(partial(cls._open, conninfo, parameters))

    @classmethod
    def _open(cls, conninfo: str, parameters: Mapping[str, Any], place: Mapping[str, str]) -> Self:
        made = cls._dial(conninfo, {**parameters, **place})
        made.route, made.place = route_of(parameters), (place["host"], place["port"])
        return made

    @classmethod
    def _dial(cls, conninfo: str, parameters: Mapping[str, Any]) -> Self:
        """Connect to one host. What it says when it refuses may be in any language; its code is asked for."""
        for last in (False, True):
            try:
                return super().connect(conninfo, **parameters)
            except psycopg.errors.ConnectionTimeout:
                raise
            except psycopg.OperationalError as error:
                word = None if plays_another_role(error) else _first_word(parameters)
                if word and word.welcome and not last:  # one that was starting a moment ago may let us in by now
                    continue
                if word and word.kind is NoAnswer.DENIED:
                    raise Refuses(str(error)) from error
                raise
        raise AssertionError("unreachable")

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the answer as long as the server lives."""
        watched: PQGen[T] = self._as_long_as_it_lives(gen)
        return super().wait(watched, interval, timeout)

    def _as_long_as_it_lives(self, gen: PQGen[T]) -> PQGen[T]:
        asked, misses = time.monotonic(), 0
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() - asked > PATIENCE_SECONDS:
                    misses = 0 if lives(*self.place) else misses + 1
                    if misses == _MISSES:
                        self._hangs()
                    asked = asked if misses else time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _hangs(self) -> NoReturn:
        why = f"does not answer any more; waited {PATIENCE_SECONDS + _MISSES * _LIVES_SECONDS:g} s"
        self.pgconn.finish()
        self.route.hangs(self.route.hosts.index(self.place), why)
        raise psycopg.OperationalError(f"{':'.join(self.place)} {why}")

    def is_gone(self) -> bool:
        """Whether the server has ended this idle connection. Costs a system call; nothing is sent."""
        pgconn = self.pgconn
        if self.closed or pgconn.status == pq.ConnStatus.BAD or self.place in ROUTES.hanging:
            return True
        if pgconn.transaction_status != pq.TransactionStatus.IDLE:
            return False
        try:
            for _ in range(2):  # what an idle server says when it ends, and then that it has ended
                pgconn.consume_input()  # never waits; and unlike a poll, it does not give up this thread's turn
        except psycopg.OperationalError:
            return True
        return bool(pgconn.status == pq.ConnStatus.BAD)

    @property
    def is_standby(self) -> bool:
        """What the server reported last: it tells each session when it becomes a primary (since PostgreSQL 14)."""
        return self.info.parameter_status("in_hot_standby") == "on"


def route_of(parameters: Mapping[str, Any]) -> Route:
    """The route of a connection with those parameters of libpq."""
    hosts = str(parameters.get("host") or "").split(",")
    ports = str(parameters.get("port") or "5432").split(",")
    ports = ports if len(ports) == len(hosts) else ports * len(hosts)
    wants = str(parameters.get("target_session_attrs") or "any")
    pairs = tuple(zip(hosts, ports, strict=True))
    return ROUTES.get(pairs, wants, parameters.get("dbname"), parameters.get("user"))


def _first_word(parameters: Mapping[str, Any]) -> FirstWord | None:
    """What the server says first to a new client; None: there is none, or it says nothing."""
    user, place = str(parameters.get("user") or ""), (str(parameters["host"]), int(parameters["port"]))
    try:
        with socket.create_connection(place, timeout=_LIVES_SECONDS) as link:
            link.sendall(request(user, str(parameters.get("dbname") or user)))
            return first_word(link.recv(LONGEST))
    except OSError:
        return None


def lives(host: str, port: str) -> bool:
    """Whether a server answers there within a second."""
    try:
        with socket.create_connection((host, int(port)), timeout=_LIVES_SECONDS) as link:
            link.settimeout(_LIVES_SECONDS)
            link.sendall(_SSL_REQUEST)
            return bool(link.recv(1))
    except OSError:
        return False
