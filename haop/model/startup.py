"""The beginning of PostgreSQL's protocol: what a server says first to who asks to come in. Pure.

A client's library tells of a server that says no in the server's own words, and these may be in any language. The code
in them (SQLSTATE) is in none (PostgreSQL's manual, "Message Formats", StartupMessage and ErrorResponse).
"""

import struct
from dataclasses import dataclass

from haop.model.probe import NoAnswer

_PROTOCOL = 3 << 16
_STARTING = "57P03"  # cannot_connect_now: starting up, shutting down, or in recovery
# An answer is shorter; what is longer is no answer.
LONGEST = 2**14


@dataclass(frozen=True, slots=True)
class FirstWord:
    """What a living server said to who asked to come in."""

    code: str | None  # SQLSTATE; None: it went on to ask who that is

    @property
    def welcome(self) -> bool:
        """Whether it may let somebody in."""
        return self.code is None

    @property
    def kind(self) -> NoAnswer:
        """Of somebody who did not get in: the server lives, and is not ready, or says no."""
        return NoAnswer.STARTING if self.code == _STARTING else NoAnswer.DENIED


def request(user: str, database: str) -> bytes:
    """Asks to come in, as that user, with nothing secret in it."""
    told = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    return struct.pack("!ii", len(told) + 8, _PROTOCOL) + told


def first_word(said: bytes) -> FirstWord | None:
    r"""What the beginning of an answer means; None: no server of PostgreSQL's says that.

    >>> first_word(b"R\0\0\0\x08\0\0\0\x0a")
    FirstWord(code=None)
    >>> first_word(b"E\0\0\0\x22SERROR\0C53300\0Mlo siento\0\0").kind
    <NoAnswer.DENIED: 'the server lives and says no'>
    """
    if said[:1] == b"R":
        return FirstWord(None)
    if said[:1] != b"E":
        return None
    fields = said[5:].split(b"\0")
    code = next((field[1:].decode(errors="replace") for field in fields if field[:1] == b"C"), "XX000")
    return FirstWord(code)
