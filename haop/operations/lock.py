"""One haop at a time works on a cluster.

The lock is the kernel's (`flock` on `.haop/lock`), so it ends with whoever holds it, however that ended: a file that a
killed haop left behind locks nothing. What the file says is for people.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from haop.clock import SYSTEM_CLOCK, Clock
from haop.errors import Refused
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
    made = not project.state.exists()
    descriptor = _acquire(path, clock)
    _held.add(path)
    try:
        told = Holder(pid=os.getpid(), command=command, actor=actor(), since=clock.now().isoformat())
        with suppress(OSError):  # a full disk: the lock itself needs no room
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(told)).encode() + b"\n", 0)
        yield
    finally:
        _held.discard(path)
        with suppress(OSError):
            if _is(descriptor, path):
                path.unlink()
            if made:
                project.state.rmdir()  # a command that was refused leaves nothing; what has files in it stays
        os.close(descriptor)


def _acquire(path: Path, clock: Clock) -> int:
    """A descriptor that holds the lock. Python's are closed in programs that it starts (PEP 446)."""
    while True:
        try:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            descriptor = _open(path)
        except FileNotFoundError:
            if not path.parent.parent.exists():
                raise
            continue  # who held it has just removed it, and perhaps the folder that it had made
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                hint = "it belongs to another user, or is mounted read-only"
                raise Refused(f"cannot write to {path.parent}: {error.strerror}", hint=hint) from error
            raise
        with ExitStack() as opened:
            opened.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _refusal(_read(path), clock.now()) from None
            if _is(descriptor, path):  # else its holder has just removed it
                opened.pop_all()
                return descriptor


def _open(path: Path) -> int:
    """For writing, or for reading where the file is another user's: it may be asked then, and replaced where stale."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        if not path.exists() and not os.access(path.parent, os.W_OK):
            raise
        descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(descriptor, path):
            path.unlink()
    except BlockingIOError:
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return _open(path)


def _is(descriptor: int, path: Path) -> bool:
    """Whether the file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
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
