"""What `haop.toml` says of the Compose runtime, and of the services beside the database: Redis, the web application."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from haop.model.pages import PagesSpec
from haop.model.table import SpecError, Table

_SIZE = re.compile(r"\d+[kmg]b?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_FOLDER = re.compile(r"[^/~].*")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*")
_DEMO = {"read": "/", "write": "/api/beat/"}  # compose/web/inventory/urls.py


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeSpec:
    """Settings of the Compose runtime, the same for each node."""

    image: str | None = None  # None: postgres:<major>
    memory: str | None = None  # the limit; None: the machine's
    cpus: float | None = None
    shm_size: str = "256m"
    init_scripts: str | None = None  # a folder, relative to the project's

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Validate `[compose]`."""
        spec = cls(
            image=table.shaped("image", _IMAGE, "the name of an image such as postgres:17"),
            memory=table.shaped("memory", _SIZE, "a size such as 512m or 2g"),
            cpus=table.number("cpus"),
            shm_size=table.shaped("shm_size", _SIZE, "a size such as 512m or 2g") or "256m",
            init_scripts=table.shaped("init_scripts", _FOLDER, "a folder relative to that of haop.toml"),
        )
        table.close()
        return spec


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisSpec:
    """A Redis beside the database."""

    image: str = "redis:7"
    port: int = 6379

    @classmethod
    def from_table(cls, table: Table) -> Self | None:
        """Validate `[redis]`; None where it is not enabled."""
        enabled = table.flag("enabled", default=True)
        spec = cls(
            image=table.shaped("image", _IMAGE, "the name of an image such as postgres:17") or "redis:7",
            port=table.whole("port", at_least=1, at_most=65535, default=6379),
        )
        table.close()
        return spec if enabled else None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where PostgreSQL's official image keeps its data: the mount of the volume, and the data directory below it.

    Never the mount itself: beside the data directory lie the fence marker and what is being cloned.
    """

    mount: str
    data: str


def layout(postgres: int, *, adopted: bool = False) -> Layout:
    """Of a major version; 18 moved the volume up (docker-library/postgres, pull request 1259).

    An adopted cluster has its data where the service that they come from does not look: somebody will start that
    again, and two servers in one data directory destroy it.
    """
    if postgres >= 18:
        return Layout("/var/lib/postgresql", f"/var/lib/postgresql/{postgres}/{'haop' if adopted else 'docker'}")
    return Layout("/var/lib/postgresql/data", f"/var/lib/postgresql/data/{'haop' if adopted else 'pgdata'}")


class WebSecrets(StrEnum):
    """How the application receives its URLs: as files that variables name, or whole in variables."""

    FILES = "files"
    ENV = "env"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSpec:
    """The user's own application; with neither image nor build, haop's demo."""

    image: str | None
    build: str | None  # a folder, relative to the project's
    port: int = 8000
    listens_on: int = 8000
    command: tuple[str, ...] = ()
    secrets: WebSecrets = WebSecrets.FILES
    environment: Mapping[str, str] = field(default_factory=dict)
    pages: PagesSpec | None = None  # that a drill asks for

    @property
    def wanted(self) -> set[str]:
        """Names that the environment takes from `.env`, and has no default for: `${NAME}`, `$NAME`."""
        return {a or b for value in self.environment.values() for a, b in _PLACEHOLDER.findall(value.replace("$$", ""))}

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Validate `[web]`."""
        environment = table.table("environment", required=False)
        port = table.whole("port", at_least=1, at_most=65535, default=8000)
        image = table.shaped("image", _IMAGE, "the name of an image such as postgres:17")
        build = table.shaped("build", _FOLDER, "a folder relative to that of haop.toml")
        known = _DEMO if not (image or build) else {}
        spec = cls(
            image=image,
            build=build,
            port=port,
            listens_on=table.whole("listens_on", at_least=1, at_most=65535, default=port),
            command=table.texts("command"),
            secrets=WebSecrets(table.choice("secrets", tuple(map(str, WebSecrets)), "files")),
            environment=_environment(environment),
            pages=PagesSpec.from_table(table, f"http://127.0.0.1:{port}", **known),
        )
        if spec.image and spec.build:
            raise SpecError(table.key("image"), "expected either image or build, the folder of a Dockerfile")
        table.close()
        return spec


def _environment(table: Table) -> dict[str, str]:
    for key, value in table.values.items():
        if not _VARIABLE.fullmatch(key) or not isinstance(value, str | int | float):
            raise SpecError(table.key(key), "expected a variable with a string, a number, true or false")
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in table.values.items()}
