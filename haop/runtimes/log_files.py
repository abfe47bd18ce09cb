"""Logs of the local runtime: a file a node, which the node script and the server write, and what that was rotated to.

`log` is written; `log.1` is what was before it, and so on. The folder is the servers' user's: it has no link to follow.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from haop import tailing
from haop.model.service import LogLine
from haop.postgres import log
from haop.runtimes import private_files

_LOOK_SECONDS = 0.2


def merged(home: Path, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
    """Entries of these nodes by time; when following, what is new is looked for five times a second."""
    with ExitStack() as stack:
        logs = [stack.enter_context(_Reader(home, name, follow=follow)) for name in names]
        yield from log.merged((each.past(since) for each in logs), since)
        while follow:
            time.sleep(_LOOK_SECONDS)
            yield from log.merged((each.new() for each in logs), since)


def newest_first(home: Path, name: str) -> Iterator[LogLine]:
    """Entries of a node's log, the last first; what nobody asks for is not read."""
    with ExitStack() as stack:
        files = _opened(home, name, stack)
        lines = (line.decode(errors="replace") for file in files for line in tailing.newest_first(file))
        yield from log.newest_first(lines, name)


def end_last_line(descriptor: int) -> None:
    """What SIGKILL cut short must not swallow the next entry: the kernel ends a write at a page's end then."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def is_complete(home: Path, name: str) -> bool:
    """Whether nothing of a node's server is left that could write: then the reader of its pipe has ended, too."""
    try:
        os.close(os.open(home / name / "log.alive", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError:
        return True
    return False


def _opened(home: Path, name: str, stack: ExitStack) -> list[IO[bytes]]:
    """The newest first; no file twice, and none is missed, though they are rotated meanwhile."""
    found: dict[int, IO[bytes]] = {}
    rotated = [int(path.suffix[1:]) for path in (home / name).glob("log.*") if path.suffix[1:].isdecimal()]
    for number in range(max(rotated, default=0) + 2):
        with suppress(FileNotFoundError):
            path = f"log.{number}" if number else "log"
            file = stack.enter_context(os.fdopen(private_files.opened(home, name, path), "rb"))
            found.setdefault(os.fstat(file.fileno()).st_ino, file)
    return [*found.values()]


class _Reader:
    """One node's log: what is there, and then what is appended."""

    def __init__(self, home: Path, name: str, *, follow: bool) -> None:
        self._home, self._name, self._follow = home, name, follow
        self._file: IO[bytes] | None = None
        self._rest = b""  # of a line that is not ended yet
        self._last: LogLine | None = None

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def past(self, since: datetime | None) -> Iterator[LogLine]:
        """What is there; the entries before that time may be left out."""
        with ExitStack() as stack:
            files = []
            for file in _opened(self._home, self._name, stack):
                begin = None if since is None else tailing.start(file, log.older_than(since))
                file.seek(begin or 0)
                files.append(file)
                if begin is not None:
                    break
            yield from self._entries(line for file in reversed(files) for line in file)
            if files:
                self._file = os.fdopen(os.dup(files[0].fileno()), "rb")

    def new(self) -> Iterator[LogLine]:
        """What was appended since, over rotations."""
        yield from self._entries(self._appended())

    def _appended(self) -> Iterator[bytes]:
        with suppress(FileNotFoundError):
            now = os.fdopen(private_files.opened(self._home, self._name, "log"), "rb")
            if self._file is None or not os.path.sameopenfile(now.fileno(), self._file.fileno()):
                before, self._file = self._file, now
                if before:
                    with before:
                        yield from before
            else:
                now.close()
        if self._file:
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # somebody cut it
            yield from self._file

    def _entries(self, lines: Iterator[bytes]) -> Iterator[LogLine]:
        """Of whole lines; what goes on with the last entry belongs to it."""
        for entry in log.parse(self._whole(lines), self._name, self._last):
            self._last = entry
            yield entry

    def _whole(self, lines: Iterator[bytes]) -> Iterator[str]:
        for line in lines:
            self._rest += line
            if line.endswith(b"\n"):
                yield self._rest.decode(errors="replace")
                self._rest = b""
        if self._rest and not self._follow:
            yield self._rest.decode(errors="replace")
