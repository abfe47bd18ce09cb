"""How an old database becomes a cluster: what is refused, what is carried over. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from haop.model import adoption_remarks
from haop.model.adoption import (
    SQL_NAME,
    Account,
    Adoption,
    OldContainer,
    OldDatabase,
    OldServer,
    Taken,
)
from haop.model.containers import ComposeSpec
from haop.model.spec import OWN_PARAMETERS, ClusterSpec, NodeSpec

# Beside haop's own: what would undo a promise of haop's, or says where a server of one container keeps its logs.
_LEFT_BEHIND = OWN_PARAMETERS | {"password_encryption", "dynamic_shared_memory_type", "log_directory", "log_filename"}
_SENDERS = {"max_wal_senders", "max_replication_slots"}
_HAOP_ROLES = {"REPLICATION_USER": "replicator", "REWIND_USER": "rewinder", "MONITOR_USER": "monitor"}
# What .env can hold for python-dotenv and for Compose alike.
_KEEPABLE = re.compile(r"[^'\\\x00-\x1f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the operator asked for, completed."""

    name: str
    ports: tuple[int, ...]  # of db1, db2, ...
    database: str | None = None


def decide(old: OldContainer, server: OldServer, wanted: Wanted, database: OldDatabase, *, known: bool) -> Adoption:
    """What to do with a database that has no problems.

    Args:
        old: its container.
        server: what the server said.
        wanted: what was asked for.
        database: the application's.
        known: whether the password that the container was made with is still that of its login.
    """
    taken = Taken.of(old.mounts, server.data, server.major)
    assert taken
    known = known and bool(_KEEPABLE.fullmatch(old.password))
    owner = _owner(database, server)
    parameters, dropped = carried(server, nodes=len(wanted.ports))
    first, *more = wanted.ports
    nodes = (NodeSpec("db1", first, taken.volume), *(NodeSpec(f"db{i}", port) for i, port in enumerate(more, start=2)))
    spec = ClusterSpec(
        name=wanted.name, postgres=server.major, nodes=nodes, runtime="compose", database=database.name, owner=owner,
        parameters=parameters, compose=ComposeSpec(image=old.image, shm_size="256m"),
    )  # fmt: skip
    keys = {old.login: _password_key(old.login, owner)} if known else {}
    accounts = []
    if not (known and old.login == "postgres" and _is_scram(server, "postgres")):
        accounts.append(Account(name="postgres", made=not server.role("postgres"), password_key="POSTGRES_PASSWORD"))  # noqa: S106 - a key
    if server.role(owner) and not (known and old.login == owner and _is_scram(server, owner)):
        accounts.append(Account(name=owner, made=False, password_key="DATABASE_PASSWORD"))  # noqa: S106 - a key
    return Adoption(
        container=old,
        taken=taken,
        spec=spec,
        environment=_haop_roles(server, owner) | {key: old.password for key in keys.values() if key},
        accounts=tuple(accounts),
        remarks=(
            *adoption_remarks.of_access(old, server, spec, database, known=known),
            *adoption_remarks.of_place(old, server, spec),
            *adoption_remarks.of_container(old, spec),
            *adoption_remarks.of_data(server, spec, dropped),
        ),
    )


def carried(server: OldServer, nodes: int) -> tuple[dict[str, str], list[str]]:
    """Settings for `[postgres.parameters]`, and the names of those that stay behind."""
    kept, dropped = {}, []
    for name, value in server.settings.items():
        key = name.lower()
        small = key in _SENDERS and value.isdigit() and int(value) < 2 * nodes + 4
        if key in _LEFT_BEHIND or small or "\n" in value:
            if key not in {"listen_addresses", "log_timezone", "dynamic_shared_memory_type"}:
                dropped.append(key)
        else:
            kept[key] = value
    if not server.checksums:
        kept["wal_log_hints"] = "on"
    return kept, dropped


def _owner(database: OldDatabase, server: OldServer) -> str:
    """The database's owner; where that is postgres, which haop keeps for itself, a new role."""
    if database.owner != "postgres" and SQL_NAME.fullmatch(database.owner):
        return database.owner
    return database.name if not server.role(database.name) else f"{database.name[:50]}_application"


def _password_key(login: str, owner: str) -> str:
    return "POSTGRES_PASSWORD" if login == "postgres" else "DATABASE_PASSWORD" if login == owner else ""


def _is_scram(server: OldServer, name: str) -> bool:
    role = server.role(name)
    return bool(role and role.login and role.verifier and role.verifier.startswith("SCRAM"))


def _haop_roles(server: OldServer, owner: str) -> dict[str, str]:
    """Names of haop's own roles, where one that exists already has the usual name."""
    taken = {owner, *(role.name for role in server.roles)}
    found = {}
    for key, usual in _HAOP_ROLES.items():
        if usual in taken:
            others = (f"haop{number or ''}_{usual}" for number in (0, *range(2, 1000)))
            found[key] = next(name for name in others if name not in taken)
    return found


def replaced(text: str, values: Mapping[str, str]) -> str:
    r"""A `.env` with other values for some keys.

    >>> replaced("A=1\nB=2\n", {"B": "x y"})
    "A=1\nB='x y'\n"
    """
    lines = []
    for line in text.splitlines(keepends=True):
        key = line.partition("=")[0]
        plain = re.fullmatch(r"[A-Za-z0-9_-]+", values.get(key, "-"))
        lines.append(
            f"{key}={values[key]}\n"
            if key in values and plain
            else f"{key}='{values[key]}'\n"
            if key in values
            else line
        )
    return "".join(lines)
