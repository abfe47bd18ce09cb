"""`haop adopt`: an existing container's database becomes the first node of a cluster, its data where they are.

Until the old container is stopped nothing is lost by turning back: the project's folder is new, and the old server has
a few roles more. From then on what is left to do is written down in `.haop/adopt.json`, and the same command goes on.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from haop import rendering
from haop.errors import HaopError, Refused
from haop.model import adoption_problems as problems
from haop.model import adoption_rules as rules
from haop.model.adoption import Adoption, OldContainer, OldServer, Remark, Taken
from haop.operations import lock, status, up
from haop.operations.audit import audited
from haop.operations.choosing import free_ports
from haop.operations.cluster import Cluster
from haop.operations.initialise import check, name_from, write_project
from haop.operations.progress import Progress
from haop.postgres import scram
from haop.postgres.queries import query
from haop.project import CONFIG, STATE, Project, load
from haop.runtimes.processes import port_holder

_RECORD = "adopt.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the operator asked for; None: haop chooses."""

    name: str | None = None
    nodes: int = 2
    first_port: int | None = None
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An adoption that this folder has begun: its record."""

    project: Project
    container: str
    taken: Taken
    done: bool
    undo: tuple[str, ...]


def plan(word: str, base: Path, directory: Path | None, wishes: Wishes) -> tuple[Path, Adoption | Begun]:
    """The project's folder, below `base`, and what will be done there. Changes nothing.

    Raises:
        Refused: this container cannot be adopted; with every reason.
    """
    from haop.docker.foreign import foreign  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

    with foreign() as engine:
        old = engine.find(word)
        name = wishes.name or name_from(directory.resolve() if directory else Path(f"{old.stack or old.name}-ha"))
        folder = (base / (directory or name)).resolve()
        if (folder / CONFIG).exists():
            return folder, _begun(folder, old)
        _refuse(old, problems.of_container(old))
        server = engine.ask(old, query("adopt"))
    found = problems.of_server(old, server, wishes.nodes)
    database = problems.application(old, server, wishes.database)
    if isinstance(database, Remark):
        found.append(database)
    if name == old.stack:
        found.append(Remark(code="name", message=f"the Compose project {name} exists: its own", hint="--name"))
    _refuse(old, found)
    assert not isinstance(database, Remark)
    wanted = rules.Wanted(name=name, ports=_ports(old, server, wishes), database=wishes.database)
    role = server.role(old.login)
    known = bool(old.password and role and role.verifier and scram.matches(role.verifier, old.login, old.password))
    decided = rules.decide(old, server, wanted, database, known=known)
    _check_project(folder, decided)
    return folder, decided


def execute(folder: Path, decided: Adoption | Begun, progress: Progress) -> status.Assessment:
    """Take over, and bring the cluster up; what an interrupted call has done already is not done again.

    Raises:
        HaopError: a step failed; the same command goes on from there.
    """
    if isinstance(decided, Adoption):
        _forget_unwritten(folder)
        _write(folder, decided)  # before haop.toml, with which the folder becomes a project
        write_project(folder, _files(decided))
        begun = _begun(folder, decided.container)
    else:
        begun = decided
    cluster = Cluster.of(begun.project)
    with lock.held(begun.project, "adopt"), audited(begun.project, "adopt", node="db1") as outcome, _resumable(begun):
        outcome.detail = f"{begun.container}, volume {begun.taken.volume}"
        _take(cluster, begun, progress)
        assessment = up.up(cluster, progress)
        _update(begun.project.root, done=True)
    return assessment


def _take(cluster: Cluster, begun: Begun, progress: Progress) -> None:
    """From a running container to data that the first node starts on."""
    from haop.docker.foreign import foreign  # noqa: PLC0415 - see above

    record = _record(begun.project.root)
    if record["moved"]:
        return
    with foreign() as engine:
        old = engine.find(begun.container)
        if not record["prepared"]:
            if not old.running:
                raise HaopError(f"{old.name} does not run", hint=f"docker start {old.name}, then run haop adopt again")
            with progress.step("settings, images and names: would the cluster start?"):
                _rehearse(cluster)
            with progress.step(f"passwords of {', '.join(a['name'] for a in record['accounts'])}"):
                engine.give_passwords(old, _passwords(cluster, record))
            _update(begun.project.root, prepared=True)
        with progress.step(f"stop {old.name}"):
            engine.stop(old)
        with progress.step(f"take over {begun.taken.volume}: {begun.taken.before} becomes {begun.taken.after}"):
            engine.move(old, begun.taken, cluster.project.spec.name)
        _update(begun.project.root, moved=True)


def _rehearse(cluster: Cluster) -> None:
    """Refuse settings that PostgreSQL rejects while the old server still runs."""
    from haop.docker.containers import Containers  # noqa: PLC0415 - see above
    from haop.model.spec import node_image  # noqa: PLC0415 - see above
    from haop.runtimes.container_checks import check_settings  # noqa: PLC0415 - see above

    spec = cluster.project.spec
    check_settings(Containers(spec.name, cluster.secrets.cluster_id), node_image(spec), cluster.settings())


def _passwords(cluster: Cluster, record: Mapping[str, Any]) -> list[tuple[str, bool, str]]:
    secrets = cluster.secrets
    kept = {"POSTGRES_PASSWORD": secrets.postgres_password, "DATABASE_PASSWORD": secrets.database_password}
    return [(a["name"], a["made"], scram.verifier(kept[a["password_key"]])) for a in record["accounts"]]


def _ports(old: OldContainer, server: OldServer, wishes: Wishes) -> tuple[int, ...]:
    """Of each node: the old published port first, then what is free."""
    published = server.port if old.host_network else old.published.get(server.port, ("", 0))[1]
    first = wishes.first_port or published or free_ports(1, 5432)
    if first != published and (holder := port_holder(first)):
        raise Refused(f"port {first} is in use by {holder}", hint="choose another: --first-port")
    ports = [first]
    while len(ports) < wishes.nodes:
        ports.append(free_ports(1, ports[-1] + 1))
    return tuple(ports)


def _check_project(folder: Path, decided: Adoption) -> None:
    """Refuse what would stop the project from being written, or the cluster from having its name."""
    from haop.docker.containers import Containers  # noqa: PLC0415 - see above

    spec, files = decided.spec, _files(decided)
    check(files[CONFIG])
    there = [name for name in (*files, "stack") if (folder / name).exists() and name != ".gitignore"]
    if there and not (folder / STATE / _RECORD).exists():
        raise Refused(f"{folder} has a {there[0]} already", hint="give an empty or a new folder: haop adopt NAME DIR")
    containers = Containers(spec.name, "not made yet")
    containers.check_all()
    for name in (*(node.name for node in spec.nodes), "cluster"):
        containers.volume_exists(name)


def _refuse(old: OldContainer, found: list[Remark]) -> None:
    if found:
        hints = "; ".join(dict.fromkeys(p.hint for p in found if p.hint))
        raise Refused(f"{old.name} cannot be adopted: {'; '.join(p.message for p in found)}", hint=hints)


def _files(decided: Adoption) -> dict[str, str]:
    files = rendering.project(decided.spec)
    return {**files, ".env": rules.replaced(files[".env"], decided.environment)}


def _begun(folder: Path, old: OldContainer) -> Begun:
    """What this folder has begun.

    Raises:
        Refused: it is the project of something else.
    """
    project = load(folder)
    try:
        record = _record(folder)
    except (OSError, ValueError) as error:
        raise Refused(f"{folder} is a project already", hint="give a new folder: haop adopt NAME DIR") from error
    if record["id"] != old.id:
        raise Refused(f"{folder} has adopted {record['container']}, not {old.name}", hint="give a new folder")
    return Begun(project, old.name, Taken(**record["taken"]), record["done"], tuple(record["undo"]))


def _forget_unwritten(folder: Path) -> None:
    """Files of a call that ended before haop.toml was there: their passwords are nobody's yet."""
    if (folder / STATE / _RECORD).exists():
        for name in (".env", ".env.example"):
            (folder / name).unlink(missing_ok=True)


def _write(folder: Path, decided: Adoption) -> None:
    _save(folder, {
        "container": decided.container.name, "id": decided.container.id, "taken": asdict(decided.taken),
        "accounts": [asdict(account) for account in decided.accounts], "undo": decided.undo,
        "prepared": False, "moved": False, "done": False,
    })  # fmt: skip


def _update(folder: Path, **values: bool) -> None:
    _save(folder, {**_record(folder), **values})


def _record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / STATE / _RECORD).read_text(encoding="utf-8"))
    return found


def _save(folder: Path, record: Mapping[str, Any]) -> None:
    (folder / STATE).mkdir(mode=0o755, parents=True, exist_ok=True)
    making = folder / STATE / f"{_RECORD}.new"
    making.write_text(json.dumps(record, indent=2), encoding="utf-8")
    making.replace(folder / STATE / _RECORD)


@contextmanager
def _resumable(begun: Begun) -> Iterator[None]:
    """Something has been changed by now: no error is a refusal any more, and each says how to go on."""
    try:
        yield
    except HaopError as error:
        again = f"run it again, it goes on from there: haop adopt {begun.container} {begun.project.root}"
        hint = f"{error.hint}; then {again}" if error.hint and "haop adopt" not in error.hint else again
        kind = HaopError if isinstance(error, Refused) else type(error)
        raise kind(error.message, hint=hint) from error
