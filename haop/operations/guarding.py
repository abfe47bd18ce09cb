"""The process of the guard: at most one a project, in the background, in a session of its own."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from haop import __version__, state_file
from haop.clock import moment
from haop.errors import HaopError, Refused
from haop.operations import kernel_lock
from haop.process import spawn
from haop.project import CONFIG, ENV, Project
from haop.runtimes import processes
from haop.waiting import wait_until

# What a guard does while nothing is to be done. It says so every five seconds; one that acts may be long in it.
WATCHES = "watches"
STALLED_SECONDS = 20.0
_START_SECONDS, _END_SECONDS = 30.0, 60.0
_LOG_LIMIT = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """A guard that lives."""

    pid: int
    process: str | None  # tells it from all that ever had its number
    since: str  # ISO 8601, UTC
    runs_with: str  # a digest of haop, haop.toml and .env
    boot: str = ""  # which boot the seconds are of, at which it began
    began: float = 0.0


class Post:
    """The place of the guard, held by this process. The file of the lock is its identity: who removes it ends it."""

    def __init__(self, project: Project, told: Mapping[str, Any]) -> None:
        self._project = project
        self._told = told
        self._opened = ExitStack()
        self._lock: kernel_lock.Held | None = None

    def take(self) -> bool:
        """Whether it is ours, from now on."""
        with ExitStack() as opened:
            lock = kernel_lock.locked(self._project.root, _lock(self._project), self._told, stays=True)
            if (mine := opened.enter_context(lock)) is None:
                return False
            self._opened.close()
            self._opened, self._lock = opened.pop_all(), mine
        return True

    def keep(self) -> bool:
        """Whether it is ours still. Where somebody has removed the file it is taken again, if nobody else was quicker.

        Raises:
            OSError: the file cannot be made again; nobody else can make it, either.
        """
        return (self._lock is not None and self._lock.counts()) or self.take()

    def leave(self) -> None:
        """It is free."""
        self._opened.close()


@contextmanager
def held(project: Project) -> Iterator[Post]:
    """This process is the guard while this is open.

    Raises:
        Refused: another one is.
    """
    now = moment()
    told = {
        "since": now.wall.isoformat(timespec="seconds"), "runs_with": _digest(project),
        "boot": now.boot, "began": now.seconds,
    }  # fmt: skip
    post = Post(project, told)
    if not post.take():
        other = found(project)
        who = f"process {other.pid} since {other.since}" if other else "another process"
        raise Refused(f"a guard watches this cluster already: {who}", hint="haop guard status; haop guard stop")
    try:
        yield post
    finally:
        post.leave()


def found(project: Project) -> Guarding | None:
    """The guard that lives; None where there is none."""
    record = kernel_lock.holder(_lock(project))
    if not record or "since" not in record:
        return None
    return Guarding(
        pid=record["pid"], process=record.get("process"), since=str(record["since"]),
        runs_with=str(record.get("runs_with")), boot=str(record.get("boot")), began=float(record.get("began") or 0.0),
    )  # fmt: skip


def tell(project: Project, told: Mapping[str, Any]) -> None:
    """For the guard: what it does now, and that it lives.

    Raises:
        OSError: it cannot be written.
    """
    now = moment()
    document = {
        "at": now.wall.isoformat(timespec="milliseconds"), "pid": os.getpid(), "boot": now.boot, "beat": now.seconds,
        **told,
    }  # fmt: skip
    state_file.write(_told(project), json.dumps(document), durable=False)


def told(project: Project, there: Guarding) -> Mapping[str, Any]:
    """What that guard told last; nothing where it has told nothing yet."""
    document = told_last(project)
    return document if document.get("pid") == there.pid else {}


def told_last(project: Project) -> Mapping[str, Any]:
    """What a guard told last, whether it lives or not; nothing where none has."""
    try:
        document = json.loads(_told(project).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def stalled(project: Project, there: Guarding) -> str | None:
    """Why a guard that lives does nothing; None where it works."""
    if processes.is_stopped(there.pid):
        return f"its process {there.pid} is stopped by a signal"
    said, now = told(project, there), moment()
    boot, beat = (said["boot"], said["beat"]) if "beat" in said else (there.boot, there.began)
    silent = now.seconds - float(beat)
    if boot == now.boot and silent > STALLED_SECONDS and said.get("doing", WATCHES) == WATCHES:
        return f"its process {there.pid} has said nothing for {silent:.0f} s"
    return None


def ensure(project: Project) -> Guarding | None:
    """One runs, with haop.toml and .env as they are now; or none does, where haop.toml says so.

    Raises:
        HaopError: it did not start.
    """
    there = found(project)
    if there and not (project.spec.guard.enabled and is_current(project, there) and not stalled(project, there)):
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
    pid = spawn(_argv(project), log=path, cwd=project.root)
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

    One whose lock somebody has removed is found in the process table, and ended as well.

    Raises:
        DeadlineExceeded: it goes on.
    """
    there = found(project)
    ending = {there.pid: there.process} if there else {}
    for pid in processes.running(_argv(project)[1:], project.root):
        ending.setdefault(pid, processes.identity(pid))
    for pid, process in ending.items():
        processes.signal_to(pid, process, signal.SIGTERM)
        processes.signal_to(pid, process, signal.SIGCONT)  # who was stopped by a signal hears of it only then
        wait_until(
            partial(processes.is_over, pid, process), deadline=_END_SECONDS, pause=0.02,
            waiting_for=f"the guard (process {pid}) to end", hint=f"see {log(project)}; kill -9 {pid}",
        )  # fmt: skip
    return there


def log(project: Project) -> Path:
    """What a guard in the background prints."""
    return project.state / "guard" / "log"


def _argv(project: Project) -> tuple[str, ...]:
    return (sys.executable, "-m", "haop", "-C", str(project.root), "guard", "run")


def _told(project: Project) -> Path:
    return project.state / "guard" / "state.json"


def _lock(project: Project) -> Path:
    return project.state / "guard" / "lock"


def _digest(project: Project) -> str:
    parts = [__version__.encode(), *((project.root / name).read_bytes() for name in (CONFIG, ENV))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
