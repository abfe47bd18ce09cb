"""Why a server did not answer, or answered with an error: decided by codes, told in words."""

import re
import socket
from contextlib import suppress

import psycopg

from haop.errors import ConnectionFailed
from haop.model.endpoint import Endpoint
from haop.model.probe import NoAnswer
from haop.model.refusing import FULL
from haop.model.startup import LONGEST, FirstWord, first_word, request

# psycopg raises a connect_timeout below 2 s to 2 s (libpq's documentation, "connect_timeout").
CONNECT_SECONDS = 2
ANSWER_SECONDS = 2.0
ADMINISTRATOR, DISK_FULL = "57P01", "53100"
# What psycopg and libpq put before a server's words.
_PREFIX = re.compile(r"^connection failed: (connection to server at .*? failed: )?")


class Unanswered(ConnectionFailed):
    """No answer, and the kind of it."""

    def __init__(self, kind: NoAnswer, why: str, code: str | None = None) -> None:
        super().__init__(why)
        self.kind = kind
        self.code = code  # SQLSTATE, where the server gave one


def ask_first(endpoint: Endpoint, user: str, database: str) -> FirstWord | None:
    """What the server says first to a new client; None: there is none, or it says nothing in time."""
    with suppress(OSError), socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_SECONDS) as door:
        door.sendall(request(user, database))
        return first_word(door.recv(LONGEST))
    return None


def turned_away(error: psycopg.Error, word: FirstWord | None) -> Unanswered:
    """Of a connection that was not made, and of what the server says first to who tries."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return Unanswered(NoAnswer.SILENT, reason(error))
    if word is None:
        return Unanswered(NoAnswer.REFUSED, reason(error))
    return Unanswered(word.kind, reason(error, word.code), word.code)


def failed(error: psycopg.Error) -> Unanswered:
    """Of a statement on a connection that was made."""
    why, code = reason(error), error.sqlstate
    if code is None:
        return Unanswered(NoAnswer.SILENT if "no answer within" in why else NoAnswer.LOST, why)
    return Unanswered(ended(code), why, code)


def ended(code: str | None) -> NoAnswer:
    """How a session ended that the server answered with this code."""
    if code == ADMINISTRATOR:
        return NoAnswer.ENDED
    return NoAnswer.LOST if code and code.startswith("57P") else NoAnswer.BROKEN


def reason(error: psycopg.Error, code: str | None = None) -> str:
    r"""What the driver complained about, in one line that an operator understands: to be told, never to be decided on.

    >>> reason(psycopg.OperationalError("connection failed: connection refused\n\tIs the server running?"))
    'connection refused'
    >>> reason(psycopg.OperationalError("connection failed: FATAL:  lo siento, ya tenemos demasiados clientes"), FULL)
    'all connections are taken'
    """
    text, code = str(error).strip(), code or error.sqlstate
    known = {
        "onnection refused": "connection refused",
        "timeout expired": f"no answer within {CONNECT_SECONDS} s",
        "imeout": f"no answer within {ANSWER_SECONDS:g} s",
        "password authentication failed": "the server rejects the password that .env holds",
        "the database system is starting up": "starting up",
        "the database system is shutting down": "shutting down",
        "the database system is in recovery mode": "in crash recovery",
        "not yet accepting connections": "in recovery, not yet consistent",
        "server closed the connection": "the server closed the connection",
    }
    if code == FULL:
        return "all connections are taken"
    for part, told in known.items():
        if part in text:
            return told
    first = _PREFIX.sub("", (text.splitlines() or [type(error).__name__])[0].strip())
    # A short write is a full disk too, and its message does not say so.
    disk_full = code == DISK_FULL and "No space left" not in first
    return f"No space left on device: {first}" if disk_full else first
