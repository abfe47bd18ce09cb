"""`haop init`: a project folder from the templates. Never overwrites."""

import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from haop import rendering
from haop.clock import SYSTEM_CLOCK
from haop.errors import Refused
from haop.model.containers import RedisSpec
from haop.model.spec import ClusterSpec, Durability, LocalSpec, NodeSpec
from haop.model.table import SpecError
from haop.operations import render
from haop.operations.choosing import choose_runtime, free_ports, newest_image
from haop.operations.cluster import Cluster
from haop.postgres.binaries import installations
from haop.project import CONFIG, STATE, Project, load
from haop.runtimes.preflight import check_length


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the operator asked for; None: haop chooses."""

    name: str | None = None
    nodes: int = 2
    postgres: int | None = None
    runtime: str | None = None
    engine: str = "streaming"
    durability: str = "async"
    database: str = "app"
    first_port: int | None = None
    bindir: str | None = None


@dataclass(frozen=True, slots=True)
class Initialised:
    """The project, and whether this call made it."""

    project: Project
    made: bool
    why: str | None = None  # this runtime, where haop chose it


def initialise(folder: Path, wishes: Wishes) -> Initialised:
    """Write the files of a new project into `folder`.

    Raises:
        Refused: the folder cannot be written, holds files that would be overwritten, or a wish cannot be met.
    """
    try:
        folder = folder.resolve()
        present = (folder / CONFIG).exists()
    except OSError as error:
        raise Refused(f"cannot look into {folder}: {error.strerror}", hint="choose another folder") from error
    if present:
        return Initialised(load(folder), made=False)
    if wishes.bindir and wishes.runtime == "compose":
        raise Refused("--pg-bindir is for the local runtime; containers have their own programs", hint="leave one out")
    wanted = wishes.runtime or ("local" if wishes.bindir else None)
    chosen = None if wanted else choose_runtime()
    spec = specification(folder, wishes, wanted or (chosen.runtime if chosen else "local"))
    project = write_project(folder, rendering.project(spec))
    project.record("init", "done", at=SYSTEM_CLOCK.now(), detail=f"PostgreSQL {spec.postgres}, {len(spec.nodes)} nodes")
    render.refresh(Cluster.of(project))
    return Initialised(project, made=True, why=chosen.why if chosen else None)


def write_project(folder: Path, files: dict[str, str]) -> Project:
    """Write a new project's own files, whole or not at all.

    Raises:
        Refused: what they say cannot be used, the folder cannot be written, or it holds files of their names.
    """
    check(files[CONFIG])
    check_length(folder / STATE)
    if taken := [name for name in (*files, "stack") if (folder / name).exists() and name != ".gitignore"]:
        hint = "move it away, or choose another folder; haop overwrites nothing"
        raise Refused(f"{folder} has a {taken[0]} already, but no {CONFIG}", hint=hint)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(folder, files)
    except OSError as error:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise Refused(f"cannot write to {folder}: {error.strerror}", hint="choose a folder that is yours") from error
    return load(folder)


def specification(folder: Path, wishes: Wishes, runtime: str) -> ClusterSpec:
    """What was wished for, completed: names, the newest PostgreSQL that is here, ports that are free.

    Raises:
        Refused: that PostgreSQL is not here.
    """
    major = newest_image(wishes.postgres) if runtime == "compose" else _installed(wishes)
    first = wishes.first_port or free_ports(wishes.nodes, 5432)
    return ClusterSpec(
        name=wishes.name or name_from(folder),
        postgres=major,
        nodes=tuple(NodeSpec(f"db{i + 1}", first + i) for i in range(wishes.nodes)),
        runtime=runtime,
        engine=wishes.engine,
        durability=Durability(wishes.durability),
        database=wishes.database,
        owner=wishes.database,
        parameters={},
        local=LocalSpec(bindir=wishes.bindir),
        redis=RedisSpec(port=free_ports(1, 6379)) if runtime == "compose" else None,
    )


def _installed(wishes: Wishes) -> int:
    """The major version that was wished for, or the newest that this machine has."""
    here = sorted({found.major for found in installations(wishes.bindir)}, reverse=True)
    if not here:
        hint = "Debian: apt-get install postgresql; or pip install 'haop[local]'; or --pg-bindir"
        raise Refused("no PostgreSQL on this machine", hint=hint)
    if wishes.postgres and wishes.postgres not in here:
        raise Refused(
            f"PostgreSQL {wishes.postgres} is not on this machine; here: {', '.join(map(str, here))}",
            hint=f"--postgres {here[0]}, or install it, or --pg-bindir",
        )
    return wishes.postgres or here[0]


def check(config: str) -> None:
    """Hold what was wished for against the loader's rules before anything is written.

    Raises:
        Refused: a wish makes a haop.toml that would not load.
    """
    try:
        ClusterSpec.from_toml(tomllib.loads(config))
    except (SpecError, tomllib.TOMLDecodeError) as error:
        raise Refused(str(error), hint="the command's --help says what can be chosen") from error


def _write_new(folder: Path, files: dict[str, str]) -> None:
    """haop.toml comes last: a folder without it is no project, so that an interrupted init can be seen.

    What was made is removed again when the disk is full.
    """
    made: list[Path] = []
    try:
        for name in sorted(files, key=lambda name: name == CONFIG):
            if name == ".gitignore" and (folder / name).exists():
                continue
            mode = 0o600 if name == ".env" else 0o644
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(folder / name)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(files[name])
    except OSError:
        for path in made:
            path.unlink()
        raise


def name_from(folder: Path) -> str:
    """A cluster's name from the folder's: what is not allowed in it becomes a hyphen."""
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name.lower()).strip("-")
    return letters[:31] if letters and letters[0].isalpha() else "cluster"
