"""What `haop adopt` finds, and what it decides to do about it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from haop.model.containers import layout
from haop.model.spec import ClusterSpec


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume (its name) or a folder of the machine (its path), and where the container has it."""

    source: str
    at: str
    anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OldContainer:
    """The container that runs the database now."""

    id: str
    name: str
    image: str  # exactly this one: by digest where a registry gave it one
    service: str | None  # of Compose
    stack: str | None
    running: bool
    restart: str
    removed_when_stopped: bool
    ours: bool
    user: str
    environment: Mapping[str, str] = field(repr=False)
    password: str = field(repr=False, default="")  # that the database was made with
    mounts: tuple[Mount, ...] = ()
    published: Mapping[int, tuple[str, int]] = field(default_factory=dict)  # inside -> address, port
    host_network: bool = False
    limits: str = ""
    neighbours: tuple[str, ...] = ()  # running containers that reach it by its name
    sharers: tuple[str, ...] = ()  # other containers that run with its volume

    @property
    def login(self) -> str:
        """The superuser that the image made."""
        return self.environment.get("POSTGRES_USER") or "postgres"


@dataclass(frozen=True, slots=True)
class OldRole:
    """A role, and how PostgreSQL keeps its password."""

    name: str
    login: bool
    superuser: bool
    verifier: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OldDatabase:
    """One database."""

    name: str
    owner: str
    sorts_alike: bool  # its collation is of the version that the image has


@dataclass(frozen=True, slots=True, kw_only=True)
class OldServer:
    """What the server says: the columns of adopt.sql, and what only its disk knows."""

    major: int
    data: str
    port: int
    in_recovery: bool
    checksums: bool
    tls: bool
    bytes: int
    databases: tuple[OldDatabase, ...]
    roles: tuple[OldRole, ...]
    tablespaces: tuple[str, ...]
    slots: tuple[str, ...]
    receivers: int
    settings: Mapping[str, str]
    rules: tuple[str, ...]
    lax: bool  # a client of another machine may get in with no password, or with an old one
    links: tuple[str, ...] = ()  # symbolic links in the data directory
    free_bytes: int = 0  # where volumes of standbys will be

    @classmethod
    def from_rows(cls, told: Mapping[str, Any], links: Sequence[str], free_bytes: int) -> Self:
        """Of the answer to adopt.sql."""
        parts = {
            "databases": tuple(OldDatabase(**row) for row in told["databases"]),
            "roles": tuple(OldRole(**row) for row in told["roles"]),
        } | {name: tuple(told[name]) for name in ("tablespaces", "slots", "rules")}
        return cls(**{**told, **parts}, links=tuple(links), free_bytes=free_bytes)

    def role(self, name: str) -> OldRole | None:
        """The role of that name."""
        return next((role for role in self.roles if role.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all databases."""
        return tuple(database.name for database in self.databases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The volume, and where in it the data directory is and will be."""

    volume: str
    mount: str
    before: str  # relative to the volume's root; "." for the root itself
    after: str

    @classmethod
    def of(cls, mounts: Sequence[Mount], data: str, major: int) -> Self | None:
        """The mount that the data directory lies in; None where it lies in none: then it ends with its container."""
        inside = [m for m in mounts if PurePosixPath(data).is_relative_to(m.at)]
        if not inside:
            return None
        nearest = max(inside, key=lambda m: len(m.at))
        new = layout(major, adopted=True)
        return cls(
            volume=nearest.source,
            mount=nearest.at,
            before=str(PurePosixPath(data).relative_to(nearest.at)),
            after=str(PurePosixPath(new.data).relative_to(new.mount)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What an operator should know before saying yes; where it is a problem, there is nothing to say yes to."""

    code: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A role that gets a password that `.env` holds: made a superuser where it is missing."""

    name: str
    made: bool
    password_key: str  # of .env


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What will be done."""

    container: OldContainer
    taken: Taken
    spec: ClusterSpec
    environment: Mapping[str, str] = field(repr=False)  # of .env, where it is not random
    accounts: tuple[Account, ...]
    remarks: tuple[Remark, ...]

    @property
    def undo(self) -> tuple[str, ...]:
        """Commands that bring the old container back, while the adopted node is the primary."""
        old, after, before = self.container, self.taken.after, self.taken.before
        conf = f"{after}.adopted.conf"
        back = f"cp {conf} {after}/postgresql.auto.conf && rm -f {conf} {after}.lock && "
        if before == ".":
            back += f"mv {after}/* . && rmdir {after} && rm {NOTE}"
        else:
            back += f"rm {before}/{NOTE} && rmdir {before} && mv {after} {before}"
        slots = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        return (
            f"docker run --rm --entrypoint sh -v {self.taken.volume}:/volume -w /volume {old.image} -ec '{back}'",
            f"docker update --restart={old.restart} {old.name} && docker start {old.name}",
            f'docker exec --user postgres {old.name} psql -U {old.login} -d template1 -c "{slots}"',
        )


NOTE = "MOVED-BY-HAOP.txt"
SQL_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
