"""Connections that never wait for ever."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.rows import TupleRow

from haop.model import session
from haop.model.endpoint import Endpoint
from haop.postgres.answers import ANSWER_SECONDS, CONNECT_SECONDS, ask_first, failed, turned_away

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """As whom to connect, to which database, whose certificate to trust (None: no TLS), and what the session fixes."""

    user: str
    password: str = field(repr=False)
    database: str = "postgres"
    ca: Path | None = None
    session: Mapping[str, str] = field(default_factory=dict)  # of haop's own; an application's fixes nothing

    def parameters(self) -> dict[str, Any]:
        """The libpq parameters, but for host and port."""
        tls = {"sslmode": "verify-full", "sslrootcert": str(self.ca)} if self.ca else {"sslmode": "disable"}
        return {"user": self.user, "password": self.password, "dbname": self.database, **tls}


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection on which no statement waits longer than `answer_seconds` for a server that went silent.

    A server stopped by a signal keeps its sockets open and says nothing; only the client can end the wait. After that
    the connection is closed: what the server will make of the statement is unknown.
    """

    answer_seconds = ANSWER_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for the answer, but not for ever."""
        try:
            return super().wait(gen, interval, timeout=self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if not error.sqlstate:  # the server said nothing: no lock, no snapshot is an answer
                self.pgconn.finish()
            raise


def open_connection(
    endpoint: Endpoint | tuple[Endpoint, ...],
    login: Login,
    *,
    name: str = "haop",
    answer_seconds: float = ANSWER_SECONDS,
    **parameters: Any,
) -> BoundedConnection:
    """Connect in autocommit mode; several endpoints make a multi-host connection string.

    Raises:
        psycopg.Error: as the driver does.
    """
    endpoints, begun = endpoint if isinstance(endpoint, tuple) else (endpoint,), time.monotonic()
    connection = BoundedConnection.connect(
        host=",".join(e.host for e in endpoints),
        port=",".join(str(e.port) for e in endpoints),
        connect_timeout=CONNECT_SECONDS,
        application_name=name,
        autocommit=True,
        gssencmode="disable",
        options=session.options(login.session),
        **login.parameters(),
        **parameters,
    )
    told = (connection.info.host, connection.info.port, login.user, time.monotonic() - begun)
    _LOG.debug("connected to %s:%s as %s  %.3f s", *told)
    connection.answer_seconds = answer_seconds
    connection.prepare_threshold = None
    return connection


def opened(
    endpoint: Endpoint, login: Login, *, name: str = "haop", answer_seconds: float = ANSWER_SECONDS
) -> BoundedConnection:
    """Connect to one server.

    Raises:
        Unanswered: it did not let us in, with the kind of that.
    """
    for last in (False, True):
        try:
            return open_connection(endpoint, login, name=name, answer_seconds=answer_seconds)
        except psycopg.Error as error:
            late = isinstance(error, psycopg.errors.ConnectionTimeout)
            word = None if late else ask_first(endpoint, login.user, login.database)
            # One that was starting, or full, a moment ago may let us in by now.
            if last or not (word and word.welcome):
                raise turned_away(error, word) from error
    raise AssertionError("unreachable")


@contextmanager
def connected(
    endpoint: Endpoint, login: Login, *, answer_seconds: float = ANSWER_SECONDS
) -> Iterator[BoundedConnection]:
    """A connection for a few statements; the driver's errors become `Unanswered` with one line of reason.

    Raises:
        Unanswered: the server refused, went away, did not answer in time, or answered with an error.
    """
    with opened(endpoint, login, answer_seconds=answer_seconds) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise failed(error) from error
