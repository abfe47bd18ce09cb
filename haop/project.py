"""The project folder: finds it, reads `haop.toml` and `.env`, keeps the audit trail. Writes only below `.haop/`."""

import getpass
import os
import shlex
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from haop import trail
from haop.errors import BadConfiguration, Refused
from haop.model.spec import ClusterSpec
from haop.model.table import SpecError, nearest

CONFIG, ENV, STATE, STACK = "haop.toml", ".env", ".haop", "stack"
_UNUSABLE = {"\n": "a line break", "\r": "a line break", "\0": "a zero byte"}
_UNUSABLE_IN_NAMES = {**_UNUSABLE, "\\": "a backslash", ":": "a colon"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What `.env` holds. Names of roles are no secret; passwords never show in a repr."""

    replication_user: str
    rewind_user: str
    monitor_user: str
    postgres_password: str = field(repr=False)
    database_password: str = field(repr=False)
    replication_password: str = field(repr=False)
    rewind_password: str = field(repr=False)
    monitor_password: str = field(repr=False)
    redis_password: str = field(repr=False, default="")
    given: frozenset[str] = frozenset()  # every key of the file
    cluster_id: str = ""  # no secret, but kept beside them: what a copy of the project takes along

    @classmethod
    def from_environment(cls, values: Mapping[str, str | None], source: Path, unused: Collection[str] = ()) -> Self:
        """Take each field from the key of its name in capitals, but for those that are unused.

        Raises:
            BadConfiguration: a key is missing or empty.
        """
        keys = [f.name.upper() for f in fields(cls) if f.name not in {"given", *unused}]
        for key in keys:
            if not values.get(key):
                hint = f"add {key}=... to {source}{nearest(key, [k for k in values if k not in keys])}"
                raise BadConfiguration(f"{source}: {key} is missing or empty", hint=hint)
            unusable = _UNUSABLE_IN_NAMES if key.endswith("_USER") else _UNUSABLE
            if found := [told for letter, told in unusable.items() if letter in str(values[key])]:
                raise BadConfiguration(f"{source}: {key} has {found[0]}", hint="choose a value without it")
        return cls(**{key.lower(): str(values[key]) for key in keys}, given=frozenset(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the audit trail: who ran what, when, how it ended, how long it took."""

    at: datetime
    actor: str
    action: str
    outcome: str
    node: str | None = None
    duration_seconds: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder, read and validated."""

    root: Path
    spec: ClusterSpec

    @property
    def state(self) -> Path:
        """The folder of haop's own state: audit trail, drills, logs, local data."""
        return self.root / STATE

    @property
    def stack(self) -> Path:
        """The folder of the rendered files."""
        return self.root / STACK

    @property
    def repository(self) -> Path | None:
        """The git work tree that the folder lies in; None where there is none."""
        return next((folder for folder in (self.root, *self.root.parents) if (folder / ".git").exists()), None)

    def secrets(self, *, exposed: bool = False) -> Secrets:
        """Read `.env`; with `exposed`, though others can read it, too.

        Raises:
            BadConfiguration: it is missing, readable by others, or lacks a key.
        """
        import dotenv  # noqa: PLC0415 - only commands that talk to servers pay for it

        path = self.root / ENV
        try:
            mode = path.stat().st_mode
        except OSError as error:
            hint = "restore it from your backup: the passwords in it are those of the running cluster"
            raise BadConfiguration(f"{path}: cannot be read ({error.strerror})", hint=hint) from error
        if mode & 0o077 and not exposed:
            raise BadConfiguration(
                f"{path}: readable by others (mode {mode & 0o777:o})", hint=f"chmod 600 {shlex.quote(str(path))}"
            )
        try:
            values = dotenv.dotenv_values(path, interpolate=False, encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise BadConfiguration(f"{path}: cannot be read ({error})") from error
        unused = {"redis_password"} if not self.spec.redis else set()
        unused |= {"cluster_id"} if self.spec.runtime != "compose" else set()
        return Secrets.from_environment(values, path, unused)

    def record(
        self,
        action: str,
        outcome: str,
        *,
        at: datetime,
        node: str | None = None,
        duration_seconds: float | None = None,
        detail: str | None = None,
    ) -> Event:
        """Append to the audit trail."""
        event = Event(
            at=at, actor=actor(), action=action, outcome=outcome, node=node,
            duration_seconds=None if duration_seconds is None else round(duration_seconds, 3), detail=detail,
        )  # fmt: skip
        trail.append(self.state, {**asdict(event), "at": event.at.isoformat(timespec="milliseconds")})
        return event

    def events(self, since: datetime | None = None) -> Iterator[Event]:
        """The audit trail, or what is not older than that, the oldest first."""
        return _events(trail.oldest_first(self.state, since))

    def newest_events(self) -> Iterator[Event]:
        """The audit trail, the newest first; what nobody asks for is not read."""
        return _events(trail.newest_first(self.state))


def _events(lines: Iterable[Mapping[str, Any]]) -> Iterator[Event]:
    for values in lines:
        with suppress(TypeError):  # it is none of ours
            yield Event(**values)


def actor() -> str:
    """Who runs haop: the login behind sudo, else the user."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def find(start: Path) -> Path:
    """The project folder that `start` lies in: the nearest one upwards that holds a `haop.toml`.

    Raises:
        Refused: there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / CONFIG).is_file():
            return folder
    raise Refused(f"no {CONFIG} in {start} or above it", hint="go to the project's folder, or make one: haop init shop")


def load(start: Path) -> Project:
    """Find the project around `start` and read its `haop.toml`.

    Raises:
        BadConfiguration: the file is not TOML, or a key in it cannot be used.
    """
    root = find(start)
    path = root / CONFIG
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"{path} is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} cannot be read: {error}") from error
    try:
        return Project(root, ClusterSpec.from_toml(document))
    except SpecError as error:
        raise BadConfiguration(f"{path}: {error}", hint=f"each key is explained in {CONFIG} itself") from error
