"""The process of the guard: at most one a project, in the background, in a session of its own."""

import hashlib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from haop import __version__
from haop.clock import SYSTEM_CLOCK
from haop.errors import HaopError, Refused
from haop.operations import kernel_lock
from haop.process import spawn
from haop.project import CONFIG, ENV, Project
from haop.runtimes import processes
from haop.waiting import wait_until

_START_SECONDS, _END_SECONDS = 30.0, 60.0
_LOG_LIMIT = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """A guard that lives."""

    pid: int
    process: str | None  # tells it from all that ever had its number
    since: str  # ISO 8601, UTC
    runs_with: str  # a digest of haop, haop.toml and .env


@contextmanager
def held(project: Project) -> Iterator[None]:
    """This process is the guard while this is open.

    Raises:
        Refused: another one is.
    """
    told = {"since": SYSTEM_CLOCK.now().isoformat(timespec="seconds"), "runs_with": _digest(project)}
    with kernel_lock.locked(project.root, _lock(project), told, stays=True) as mine:
        if not mine:
            other = found(project)
            who = f"process {other.pid} since {other.since}" if other else "another process"
            raise Refused(f"a guard watches this cluster already: {who}", hint="haop guard status; haop guard stop")
        yield


def found(project: Project) -> Guarding | None:
    """The guard that lives; None where there is none."""
    record = kernel_lock.holder(_lock(project))
    if not record or "since" not in record:
        return None
    return Guarding(
        pid=record["pid"], process=record.get("process"), since=str(record["since"]),
        runs_with=str(record.get("runs_with")),
    )  # fmt: skip


def ensure(project: Project) -> Guarding | None:
    """One runs, with haop.toml and .env as they are now; or none does, where haop.toml says so.

    Raises:
        HaopError: it did not start.
    """
    there = found(project)
    if there and not (project.spec.guard.enabled and is_current(project, there)):
        stop(project)
        there = None
    if there or not project.spec.guard.enabled:
        return there
    path = log(project)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(".1"))
    path.touch(mode=0o600)
    before = path.stat().st_size
    argv = (sys.executable, "-m", "haop", "-C", str(project.root), "guard", "run")
    pid = spawn(argv, log=path, cwd=project.root)
    identity = processes.identity(pid)

    def watches() -> Guarding | None:
        if not processes.lives(pid, identity) and not found(project):
            said = path.read_bytes()[before:].decode(errors="replace").strip() or "it said nothing"
            raise HaopError(f"the guard ended at once: {said}", hint="haop guard run shows it in the foreground")
        return found(project)

    return wait_until(
        watches, deadline=_START_SECONDS, pause=0.02, waiting_for="the guard to start", hint=f"see {path}"
    )


def is_current(project: Project, there: Guarding | None) -> bool:
    """Whether it runs with haop.toml and .env as they are now; none does so, too."""
    return there is None or there.runs_with == _digest(project)


def stop(project: Project) -> Guarding | None:
    """End the guard, once it has finished what it does; returns the one that was ended.

    Raises:
        DeadlineExceeded: it goes on.
    """
    there = found(project)
    if there:
        processes.signal_to(there.pid, there.process, signal.SIGTERM)
        wait_until(
            lambda: not processes.lives(there.pid, there.process), deadline=_END_SECONDS, pause=0.02,
            waiting_for=f"the guard (process {there.pid}) to end",
        )  # fmt: skip
    return there


def log(project: Project) -> Path:
    """What a guard in the background prints."""
    return project.state / "guard" / "log"


def _lock(project: Project) -> Path:
    return project.state / "guard" / "lock"


def _digest(project: Project) -> str:
    parts = [__version__.encode(), *((project.root / name).read_bytes() for name in (CONFIG, ENV))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
