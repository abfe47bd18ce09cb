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

from haop.errors import ConnectionFailed
from haop.model import session
from haop.model.endpoint import Endpoint

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

# psycopg raises a connect_timeout below 2 s to 2 s (libpq's documentation, "connect_timeout").
CONNECT_SECONDS = 2
ANSWER_SECONDS = 2.0


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


@contextmanager
def connected(
    endpoint: Endpoint, login: Login, *, answer_seconds: float = ANSWER_SECONDS
) -> Iterator[BoundedConnection]:
    """A connection for a few statements; the driver's errors become `ConnectionFailed` with one line of reason.

    Raises:
        ConnectionFailed: the server refused, went away, did not answer in time, or answered with an error.
    """
    try:
        with open_connection(endpoint, login, answer_seconds=answer_seconds) as connection:
            yield connection
    except psycopg.Error as error:
        raise ConnectionFailed(reason(error)) from error


def reason(error: psycopg.Error) -> str:
    r"""What the driver complained about, in one line that an operator understands.

    >>> reason(psycopg.OperationalError("connection failed: connection refused\n\tIs the server running?"))
    'connection refused'
    """
    text = str(error).strip()
    known = {
        "onnection refused": "connection refused",
        "timeout expired": f"no answer within {CONNECT_SECONDS} s",
        "imeout": f"no answer within {ANSWER_SECONDS:g} s",
        "password authentication failed": "the server rejects the password that .env holds",
        "the database system is starting up": "starting up",
        "the database system is shutting down": "shutting down",
        "the database system is in recovery mode": "in crash recovery",
        "not yet accepting connections": "in recovery, not yet consistent",
        "too many clients": "all connections are taken",
        "server closed the connection": "the server closed the connection",
    }
    for part, told in known.items():
        if part in text:
            return told
    first = (text.splitlines() or [type(error).__name__])[0].strip()
    # A short write is a full disk too, and its message does not say so.
    disk_full = error.sqlstate == "53100" and "No space left" not in first
    return f"No space left on device: {first}" if disk_full else first
