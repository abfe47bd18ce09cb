"""The cluster as it is asked for: `haop.toml`, validated.

`ClusterSpec.from_toml` takes what `tomllib` read and either returns a whole, frozen specification or raises
`SpecError`, which names the key and what was expected. Nothing here reads a file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from haop.model.containers import ComposeSpec, RedisSpec, WebSpec
from haop.model.pages import PagesSpec
from haop.model.table import SpecError, Table

POSTGRES_VERSIONS = (15, 16, 17, 18)
NODES_AT_LEAST, NODES_AT_MOST = 2, 9
RUNTIMES = ("compose", "local")
ENGINES = ("streaming",)

# haop decides these: they follow from the node, its place and its role.
OWN_PARAMETERS = frozenset({
    "cluster_name", "config_file", "data_directory", "external_pid_file", "hba_file", "hot_standby", "ident_file",
    "listen_addresses", "log_destination", "log_line_prefix", "log_timezone", "logging_collector", "port",
    "primary_conninfo", "primary_slot_name", "recovery_target_timeline", "restore_command", "ssl", "ssl_ca_file",
    "ssl_cert_file", "ssl_key_file", "synchronous_standby_names", "unix_socket_directories", "wal_level",
})  # fmt: skip

_NODE_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SQL_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_VOLUME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*|/[^\n:]+")
_PARAMETER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")


class Durability(StrEnum):
    """When a write is acknowledged: once the primary has it, or once a standby has it too."""

    ASYNC = "async"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: a name that never says a role, and the port its clients use."""

    name: str
    port: int
    volume: str | None = None  # that haop did not make: the name of a volume, or a folder of this machine

    @property
    def slot(self) -> str:
        """The name of its physical replication slot (slots allow no hyphen)."""
        return slot_of(self.name)


def slot_of(node: str) -> str:
    """The slot of a node of that name, whether haop.toml still names it or not.

    >>> slot_of("db-3")
    'db_3'
    """
    return node.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a drill is judged by."""

    write_recovery_seconds: float = 5.0
    read_recovery_seconds: float = 1.0
    lost_writes: int = 0


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """Settings of the local runtime; None: haop finds out."""

    user: str | None = None
    bindir: str | None = None
    log_bytes: int = 10 * 2**20  # of a node's log; then it is rotated
    log_files: int = 5  # of a node, the one that is written among them

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """From `[local]`."""
        made = cls(
            user=table.text("user", None),
            bindir=table.text("bindir", None),
            log_bytes=table.size("log_size", 10 * 2**20, at_least=2**16),
            log_files=table.whole("log_files", at_least=2, at_most=1000, default=5),
        )
        table.close()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSpec:
    """Whether a guard watches the primary and replaces it by itself, and what it may do."""

    enabled: bool = True
    salvage: bool = True  # replay what the dead primary has and the standby lacks, before it is promoted
    rebuild: bool = False  # clone a node anew where nothing less brings it back

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """From `[guard]`."""
        made = cls(
            enabled=table.flag("enabled", default=True),
            salvage=table.flag("salvage", default=True),
            rebuild=table.flag("rebuild", default=False),
        )
        table.close()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """A cluster as it is asked for."""

    name: str
    postgres: int
    nodes: tuple[NodeSpec, ...]
    runtime: str = "local"
    engine: str = "streaming"
    durability: Durability = Durability.ASYNC
    database: str = "app"
    owner: str = "app"
    objectives: Objectives = Objectives()
    parameters: Mapping[str, str]
    guard: GuardSpec = GuardSpec()
    local: LocalSpec = LocalSpec()
    compose: ComposeSpec = field(default_factory=ComposeSpec)
    redis: RedisSpec | None = None
    web: WebSpec | None = None
    outside: PagesSpec | None = None  # of an application that haop does not run

    @property
    def pages(self) -> PagesSpec | None:
        """Pages that a drill asks for."""
        return self.web.pages if self.web else self.outside

    @property
    def addons(self) -> Mapping[str, RedisSpec | WebSpec]:
        """The services beside the nodes, in the order in which they start."""
        return {name: addon for name, addon in (("redis", self.redis), ("web", self.web)) if addon}

    @property
    def adopted(self) -> Mapping[str, str]:
        """Nodes whose data lie in a volume that haop did not make and never deletes; each with that volume."""
        return {node.name: node.volume for node in self.nodes if node.volume}

    def node(self, name: str) -> NodeSpec:
        """The node of that name.

        Raises:
            KeyError: there is none.
        """
        return next((node for node in self.nodes if node.name == name), None) or _raise(KeyError(name))

    @classmethod
    def from_toml(cls, document: Mapping[str, Any]) -> Self:
        """Validate a parsed `haop.toml`.

        Raises:
            SpecError: a key is missing, unknown, or has a value that cannot be used.
        """
        top = Table("", document)
        cluster, database = top.table("cluster"), top.table("database")
        objectives = top.table("objectives", required=False)
        postgres = top.table("postgres", required=False)
        redis, web = top.table("redis", required=False), top.table("web", required=False)
        runtime = cluster.choice("runtime", RUNTIMES, "local")
        spec = cls(
            name=cluster.name("name", _NODE_NAME, "a-z, 0-9 and hyphens, starting with a letter, at most 31"),
            postgres=cluster.choice("postgres", POSTGRES_VERSIONS),
            runtime=runtime,
            engine=cluster.choice("engine", ENGINES, "streaming"),
            durability=Durability(cluster.choice("durability", tuple(map(str, Durability)), "async")),
            database=database.name("name", _SQL_NAME, "a-z, 0-9 and _, starting with a letter, at most 63"),
            owner=database.name("owner", _SQL_NAME, "a-z, 0-9 and _, starting with a letter, at most 63"),
            nodes=_nodes(top),
            objectives=Objectives(
                write_recovery_seconds=objectives.duration("write_recovery", 5.0),
                read_recovery_seconds=objectives.duration("read_recovery", 1.0),
                lost_writes=objectives.whole("lost_writes", at_least=0, default=0),
            ),
            parameters=_parameters(postgres.table("parameters", required=False)),
            guard=GuardSpec.from_table(top.table("guard", required=False)),
            local=LocalSpec.from_table(top.table("local", required=False)),
            compose=ComposeSpec.from_table(top.table("compose", required=False)),
            redis=RedisSpec.from_table(redis) if runtime == "compose" else None,
            web=WebSpec.from_table(web) if "web" in document and runtime == "compose" else None,
            outside=PagesSpec.outside(web) if "web" in document and runtime != "compose" else None,
        )
        _addons_fit(spec, document)
        _room(spec)
        for table in (cluster, database, objectives, postgres, top):
            table.close()
        return spec


def node_image(spec: ClusterSpec) -> str:
    """The image of the nodes: the official one, unless told otherwise."""
    return spec.compose.image or f"postgres:{spec.postgres}"


def quorum(names: Iterable[str]) -> str:
    """The value of `synchronous_standby_names` that lets a commit wait for any one of these standbys.

    >>> quorum(["db3", "db2"])
    'ANY 1 ("db2", "db3")'
    >>> quorum([])
    ''
    """
    quoted = [f'"{name}"' for name in sorted(names)]
    return f"ANY 1 ({', '.join(quoted)})" if quoted else ""


def _nodes(top: Table) -> tuple[NodeSpec, ...]:
    tables = top.tables("nodes")
    if not NODES_AT_LEAST <= len(tables) <= NODES_AT_MOST:
        raise SpecError("nodes", f"expected {NODES_AT_LEAST} to {NODES_AT_MOST} [[nodes]] tables, found {len(tables)}")
    nodes: list[NodeSpec] = []
    for table in tables:
        node = NodeSpec(
            table.name("name", _NODE_NAME, "a-z, 0-9 and hyphens, starting with a letter, at most 31"),
            table.whole("port", at_least=1, at_most=65535),
            table.shaped("volume", _VOLUME, "the name of a volume, or an absolute path"),
        )
        if (twin := next((i for i, n in enumerate(nodes) if n.name == node.name), None)) is not None:
            raise SpecError(table.key("name"), f"'{node.name}' is the name of nodes[{twin}] already")
        if twin_node := next((n for n in nodes if n.port == node.port), None):
            raise SpecError(table.key("port"), f"{node.port} is the port of node '{twin_node.name}' already")
        if node.volume and (other := next((n.name for n in nodes if n.volume == node.volume), None)):
            raise SpecError(table.key("volume"), f"{node.volume} is the volume of node '{other}' already")
        table.close()
        nodes.append(node)
    return tuple(nodes)


def _addons_fit(spec: ClusterSpec, document: Mapping[str, Any]) -> None:
    """Services beside the database need containers, names and ports of their own."""
    if spec.runtime != "compose":
        if alone := next((name for name in ("redis", "compose") if name in document), None):
            raise SpecError(alone, f'only with runtime = "compose", not {spec.runtime!r}')
        if spec.adopted:
            raise SpecError("nodes", f'volume: only with runtime = "compose", not {spec.runtime!r}')
        return
    taken = {node.port: f"node '{node.name}'" for node in spec.nodes}
    for name, addon in spec.addons.items():
        if addon.port in taken:
            raise SpecError(f"{name}.port", f"{addon.port} is the port of {taken[addon.port]} already")
        taken[addon.port] = f"[{name}]"
    for index, node in enumerate(spec.nodes):
        if node.name in {"redis", "web", "cluster"}:
            raise SpecError(f"nodes[{index}].name", f"'{node.name}' is the name of a service beside the nodes")


def _parameters(table: Table) -> dict[str, str]:
    parameters = {}
    for key, value in table.values.items():
        if not _PARAMETER.fullmatch(key):
            raise SpecError(table.key(key), "expected the name of a PostgreSQL setting")
        if key.lower() in OWN_PARAMETERS:
            raise SpecError(table.key(key), "haop decides this setting itself; leave it out")
        if not isinstance(value, bool | int | float | str) or (isinstance(value, str) and "\n" in value):
            raise SpecError(table.key(key), "expected a string of one line, a number, true or false")
        parameters[key.lower()] = ("on" if value else "off") if isinstance(value, bool) else str(value)
    table.values = {}
    return parameters


def _room(spec: ClusterSpec) -> None:
    """PostgreSQL accepts these values when it reads them, and then does not start, or nobody can follow it."""

    def number(name: str, default: int) -> int:
        return int(value) if (value := spec.parameters.get(name, "")).isdecimal() else default

    reserved = number("superuser_reserved_connections", 3) + number("reserved_connections", 0)
    for name, least, why in (
        ("max_connections", reserved + 1, f"{reserved} of them are reserved"),
        ("max_wal_senders", len(spec.nodes) + 1, "each other node streams, and a clone takes two"),
        ("max_replication_slots", len(spec.nodes), "one for each node"),
    ):
        if number(name, least) < least:
            raise SpecError(f"postgres.parameters.{name}", f"expected at least {least}: {why}")


def _raise(error: Exception) -> Any:
    raise error
