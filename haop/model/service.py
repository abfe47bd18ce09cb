"""Something a runtime can run, and what a runtime says about it. This is where engines and runtimes meet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something a runtime can run, told without saying where.

    Paths are relative: `command` to the rendered stack, secrets to the service's own folder of secrets.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]  # never a secret
    # Contents; they arrive as files that nobody else can read.
    secrets: Mapping[PurePosixPath, str] = field(repr=False)
    port: int


class State(StrEnum):
    """What the runtime knows of a service without asking the server in it."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    ABSENT = "absent"  # it has no data yet


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of one service, whether its fence marker is set, and what else the runtime knows of it."""

    state: State
    fenced: bool = False
    remark: str | None = None  # how it ended, or what is wrong with it though it runs
    image: str | None = None  # name and digest, of a container
    origin: str | None = None  # the project's folder that it was started from, where it runs
    lost: bool = False  # what it was started with is there no more: it cannot be started from there again
    intruder: str | None = None  # what serves its data, though they are fenced
    needs_rebuild: bool = False  # it is fenced, and nothing less makes it a standby


@dataclass(frozen=True, slots=True)
class Ending:
    """How a service ended last, where that was not asked for."""

    at: datetime
    service: str
    how: str


@dataclass(frozen=True, slots=True)
class Exit:
    """A service's process has ended, told by the runtime the moment that it knew."""

    service: str
    at: float  # monotonic clock, seconds
    how: str  # "exit code 137, out of memory"; "its process ended" where the runtime knows no more


@dataclass(frozen=True, slots=True, order=True)
class LogLine:
    """One entry of a node's log; continuation lines belong to the entry that they continue."""

    at: datetime
    node: str
    level: str
    message: str
    code: str | None = None  # SQLSTATE, where it is an error's
