"""The word between commands and the guard: who may move the primary now, and pauses.

The right to move the primary is a lock of the kernel (`.haop/guard/acting`): a command that may stop a primary on
purpose holds it, and the guard takes it for each thing that it does. It ends with whoever holds it.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from haop.clock import SYSTEM_CLOCK, Moment, moment
from haop.operations import kernel_lock
from haop.project import Project, actor
from haop.waiting import wait_until

DOWN = "haop down"
_WAIT_SECONDS = 120.0
_GUARD = "guard"
_held: dict[Path, ExitStack] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Until when the guard does nothing; both clocks tell, because one of them may be set and the other restart."""

    why: str
    actor: str
    at: str  # ISO 8601, UTC
    until: str | None = None  # the same; None: until somebody ends it
    boot: str = ""
    seconds: float = 0.0  # of that boot, when it ends

    @property
    def told(self) -> str:
        """Until when, by whom and why."""
        end = (
            f"until {datetime.fromisoformat(self.until).astimezone():%Y-%m-%d %H:%M:%S}"
            if self.until
            else "without end"
        )
        return f"{end} by {self.actor}: {self.why}"


def prepare(project: Project) -> None:
    """Make the file of the lock, which a full disk would have no room for.

    Raises:
        OSError: there is none.
    """
    path = _acting(project)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.touch(mode=0o644)


@contextmanager
def acting(project: Project) -> Iterator[bool]:
    """For the guard: whether it may act now; while this is open no command moves the primary."""
    with kernel_lock.locked(project.root, _acting(project), {"command": _GUARD}, stays=True) as mine:
        yield mine is not None


@contextmanager
def told(project: Project, command: str) -> Iterator[None]:
    """For a command: the guard does nothing while this is open; what it is in the middle of, it ends first.

    Within one process it may be opened again.

    Raises:
        DeadlineExceeded: it does not end.
    """
    path = _acting(project)
    if path in _held:
        yield
        return
    _held[path] = _taken(project, command)
    try:
        yield
    finally:
        _held.pop(path).close()


@contextmanager
def lifted(project: Project, command: str) -> Iterator[None]:
    """For a command that waits long: meanwhile the guard may act."""
    path = _acting(project)
    if path not in _held:
        yield
        return
    _held.pop(path).close()
    try:
        yield
    finally:
        _held[path] = _taken(project, command)


def _taken(project: Project, command: str) -> ExitStack:
    who = {"command": command, "actor": actor(), "since": SYSTEM_CLOCK.now().isoformat()}

    def attempt() -> ExitStack | None:
        with ExitStack() as opened:
            mine = opened.enter_context(kernel_lock.locked(project.root, _acting(project), who, stays=True))
            return opened.pop_all() if mine else None

    return wait_until(
        attempt, deadline=_WAIT_SECONDS, pause=0.05, waiting_for="the guard to finish what it does",
        hint="haop guard status",
    )  # fmt: skip


def reason(project: Project) -> str | None:
    """Why the guard may not act now; None where it may."""
    if pause := paused(project):
        return f"paused {pause.told}"
    found = kernel_lock.holder(_acting(project))
    return f"haop {found.get('command')} has the word" if found and found.get("command") != _GUARD else None


def pause(project: Project, seconds: float | None, why: str) -> Pause:
    """Let the guard do nothing for so long; None: until somebody ends it."""
    now = moment()
    made = Pause(
        why=why, actor=actor(), at=now.wall.isoformat(timespec="seconds"), boot=now.boot,
        until=None if seconds is None else (now.wall + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        seconds=now.seconds + (seconds or 0.0),
    )  # fmt: skip
    path = _path(project)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    making = path.with_suffix(".new")
    making.write_text(json.dumps(asdict(made)), encoding="utf-8")
    making.replace(path)
    return made


def resume(project: Project) -> Pause | None:
    """End a pause; returns the one that was ended."""
    found = paused(project)
    _path(project).unlink(missing_ok=True)
    return found


def paused(project: Project, now: Moment | None = None) -> Pause | None:
    """The pause, unless it is over. Setting the wall clock neither ends nor prolongs it; over a reboot it counts."""
    try:
        found = Pause(**json.loads(_path(project).read_text(encoding="utf-8")))
        until = datetime.fromisoformat(found.until) if found.until else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Pause(why="its record cannot be read", actor="somebody", at="an unknown time")
    if until is None:
        return found
    now = now or moment()
    over = now.seconds >= found.seconds if now.boot and now.boot == found.boot else now.wall >= until
    return None if over else found


def _acting(project: Project) -> Path:
    return project.state / "guard" / "acting"


def _path(project: Project) -> Path:
    return project.state / "guard" / "pause.json"
