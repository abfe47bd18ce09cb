"""A position in the write-ahead log."""

import re
from dataclasses import dataclass
from typing import Self

_SHAPE = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


@dataclass(frozen=True, slots=True, order=True)
class Lsn:
    """A log sequence number: a byte position. Two of them subtract to bytes.

    >>> Lsn.parse("1/10") - Lsn.parse("0/FFFFFFF0")
    32
    >>> str(Lsn.parse("0/03000148"))
    '0/3000148'
    """

    position: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PostgreSQL's own notation, two hexadecimal halves.

        Raises:
            ValueError: the text is not of that form.
        """
        if not (match := _SHAPE.fullmatch(text)):
            raise ValueError(f"not an LSN: {text!r}")
        return cls((int(match[1], 16) << 32) + int(match[2], 16))

    def __sub__(self, other: "Lsn") -> int:
        return self.position - other.position

    def __str__(self) -> str:
        return f"{self.position >> 32:X}/{self.position & 0xFFFFFFFF:X}"
