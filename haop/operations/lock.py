"""One haop at a time works on a cluster: the lock is `.haop/lock`. What the file says is for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from haop.clock import SYSTEM_CLOCK, Clock
from haop.errors import Refused
from haop.operations import kernel_lock
from haop.project import Project, actor

_NAME = "lock"

# What this process holds already: a demo runs one command after another, a drill calls what `up` calls.
_held: set[Path] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who works on a cluster."""

    pid: int
    command: str
    actor: str
    since: str  # ISO 8601, UTC


@contextmanager
def held(project: Project, command: str, *, clock: Clock = SYSTEM_CLOCK) -> Iterator[None]:
    """Nobody else changes the cluster while this is open; within one process it may be opened again.

    Programs that are started meanwhile do not inherit it.

    Raises:
        Refused: another haop works on the cluster, or the project's folder cannot be written.
    """
    path = project.state / _NAME
    if path in _held:
        yield
        return
    told = {"command": command, "actor": actor(), "since": clock.now().isoformat()}
    with kernel_lock.locked(project.root, path, told) as mine:
        if not mine:
            raise _refusal(_read(path), clock.now())
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)


def _read(path: Path) -> Holder | None:
    found = kernel_lock.read(path)
    try:
        return Holder(**{field.name: found[field.name] for field in fields(Holder)}) if found else None
    except KeyError:
        return None


def _refusal(found: Holder | None, now: datetime) -> Refused:
    if found is None:
        return Refused("another haop works on this cluster", hint="wait for its end; haop status works meanwhile")
    since = datetime.fromisoformat(found.since)
    return Refused(
        f"{found.actor}'s `haop {found.command}` (process {found.pid}) has worked on this cluster since "
        f"{since.astimezone():%H:%M:%S} ({_length((now - since).total_seconds())})",
        hint=f"wait for its end, or look: ps -fp {found.pid}; haop status and haop logs work meanwhile",
    )


def _length(seconds: float) -> str:
    """How long, in its largest unit.

    >>> _length(7.3), _length(130), _length(7200)
    ('7 s', '2 min', '2 h')
    """
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
