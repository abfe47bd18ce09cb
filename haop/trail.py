"""The audit trail on disk: `events.jsonl`, one line an event, and what it was rotated to.

Three files, the newest first. `events.jsonl` is written. `events.jsonl.1` is what that was before it grew over its
limit, whole. `events.jsonl.2` has of all that came before the lines that matter for ever: promotions, moves of the
primary, data that were replaced or taken over, drills. So two limits bound what is routine, and nothing that an
incident is explained with is ever dropped.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from haop import tailing

NAME = "events.jsonl"
LIMIT = 4 * 2**20
# The first word of an action, the guard's own left out.
KEPT = frozenset({
    "init", "adopt", "failover", "switchover", "reinstate", "fence", "rejoin", "rebuild", "drill", "change", "doctor",
    "down", "salvage",
})  # fmt: skip

Values = dict[str, Any]


def append(state: Path, values: Values) -> None:
    """Write an event at the end; the file is rotated where it is over its limit."""
    line = (json.dumps(values) + "\n").encode()
    state.mkdir(mode=0o755, exist_ok=True)
    while not _appended(state, line):
        pass


def _appended(state: Path, line: bytes) -> bool:
    """Whether it is there to stay: the file may have been rotated twice since it was opened, and be gone."""
    with (state / NAME).open("ab") as trail:
        trail.write(line)
        trail.flush()
        if trail.tell() > LIMIT:
            with suppress(OSError):  # it is written; a file that is too long is no reason to fail
                _rotate(state, trail.fileno())
        return os.fstat(trail.fileno()).st_nlink > 0


def oldest_first(state: Path, since: datetime | None = None) -> Iterator[Values]:
    """All of them, or those since then; a line that a crash cut short is passed over."""
    with ExitStack() as stack:
        for file in reversed(_opened(state, stack)):
            file.seek(0 if since is None else tailing.start(file, lambda line: _is_older(line, since)) or 0)
            yield from (each for line in file if (each := _parsed(line)) and (since is None or each["at"] >= since))


def newest_first(state: Path) -> Iterator[Values]:
    """The same, the last first; what nobody asks for is not read."""
    with ExitStack() as stack:
        for file in _opened(state, stack):
            yield from (each for line in tailing.newest_first(file) if (each := _parsed(line)))


def _opened(state: Path, stack: ExitStack) -> list[IO[bytes]]:
    """The newest first; no file twice, though it is rotated between two looks."""
    found: dict[int, IO[bytes]] = {}
    for name in (NAME, f"{NAME}.1", f"{NAME}.2"):
        with suppress(FileNotFoundError):
            file = stack.enter_context((state / name).open("rb"))
            found.setdefault(os.fstat(file.fileno()).st_ino, file)
    return [*found.values()]


def _parsed(line: bytes) -> Values | None:
    try:
        values: Values = json.loads(line)
        return {**values, "at": datetime.fromisoformat(values["at"])}
    except (ValueError, TypeError, KeyError):
        return None


def _is_older(line: bytes, since: datetime) -> bool | None:
    values = _parsed(line)
    return None if values is None else bool(values["at"] < since)


def _rotate(state: Path, descriptor: int) -> None:
    """Each step can be repeated after one that died: what is kept already is not kept twice."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # it ends with the descriptor
    here, last, kept = state / NAME, state / f"{NAME}.1", state / f"{NAME}.2"
    if not os.path.samestat(os.fstat(descriptor), here.stat()):
        return  # another haop has just done it
    with ExitStack() as stack:
        source = stack.enter_context(last.open("rb")) if last.exists() else None
        if source:
            known = kept.read_bytes().splitlines(keepends=True) if kept.exists() else []
            old = set(known)
            making = kept.with_name(f"{kept.name}.new")
            with making.open("wb") as file:
                file.writelines(known)
                file.writelines(line for line in source if line not in old and _matters(line))
                file.flush()
                os.fsync(file.fileno())
            making.replace(kept)
        here.replace(last)
        if source:
            with kept.open("ab") as file:  # who had it open may have written meanwhile; who writes later sees it gone
                file.writelines(line for line in source if _matters(line))


def _matters(line: bytes) -> bool:
    values = _parsed(line)
    return values is not None and str(values.get("action", "")).removeprefix("guard ").partition(" ")[0] in KEPT
