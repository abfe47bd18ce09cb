"""Files of lines that grow at their end: read from there, and no further back than is asked."""

import os
from collections.abc import Callable, Iterator
from typing import IO

_BLOCK = 2**18


def newest_first(file: IO[bytes]) -> Iterator[bytes]:
    r"""Its lines without their ends, the last first; nothing for those that are empty.

    >>> import io
    >>> list(newest_first(io.BytesIO(b"one\n\ntwo\nthree")))
    [b'three', b'two', b'one']
    """
    position, rest = file.seek(0, os.SEEK_END), b""
    while position:
        count = min(max(_BLOCK, len(rest)), position)  # a line longer than a block is not copied for each block of it
        position -= count
        file.seek(position)
        rest, *lines = (file.read(count) + rest).split(b"\n")
        yield from filter(None, reversed(lines))
    if rest:
        yield rest


def start(file: IO[bytes], is_older: Callable[[bytes], bool | None]) -> int | None:
    r"""Where to begin to read so that what lies before it is older; None where nothing of it is.

    Args:
        file: whose lines are in the order of their times, but for a few that changed places.
        is_older: whether a line is; None where it does not say.

    >>> import io
    >>> start(io.BytesIO(b"1\n2\n3\n"), lambda line: line < b"3" if line else None)
    0
    """
    position = file.seek(0, os.SEEK_END)
    while position:
        count = min(_BLOCK, position)
        position -= count
        file.seek(position)
        block = file.read(count)
        at = 0 if position == 0 else block.find(b"\n") + 1  # what may be the end of a line is not judged
        while 0 <= at < count and (older := is_older(block[at : _end(block, at)])) is None:
            at = _end(block, at) + 1
        if at < count and older:
            return position + at
    return None


def _end(block: bytes, at: int) -> int:
    found = block.find(b"\n", at)
    return len(block) if found < 0 else found
