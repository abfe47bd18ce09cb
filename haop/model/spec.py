"""The cluster as it is asked for: `haop.toml`, validated.

`ClusterSpec.from_toml` takes what `tomllib` read and either returns a whole, frozen specification or raises
`SpecError`, which names the key and what was expected. Nothing here reads a file.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

POSTGRES_VERSIONS = (15, 16, 17, 18)
NODES_AT_LEAST, NODES_AT_MOST = 2, 9
RUNTIMES = ("local",)
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
_PARAMETER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


class SpecError(ValueError):
    """A key of `haop.toml` that cannot be used."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class Durability(StrEnum):
    """When a write is acknowledged: once the primary has it, or once a standby has it too."""

    ASYNC = "async"
    SYNC = "sync"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One node: a name that never says a role, and the port its clients use."""

    name: str
    port: int

    @property
    def slot(self) -> str:
        """The name of its physical replication slot (slots allow no hyphen)."""
        return self.name.replace("-", "_")


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
    local: LocalSpec = LocalSpec()

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
        top = _Table("", document)
        cluster, database = top.table("cluster"), top.table("database")
        objectives, local = top.table("objectives", required=False), top.table("local", required=False)
        postgres = top.table("postgres", required=False)
        spec = cls(
            name=cluster.name("name", _NODE_NAME, "a-z, 0-9 and hyphens, starting with a letter, at most 31"),
            postgres=cluster.choice("postgres", POSTGRES_VERSIONS),
            runtime=cluster.choice("runtime", RUNTIMES, "local"),
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
            local=LocalSpec(local.text("user", None), local.text("bindir", None)),
        )
        for table in (cluster, database, objectives, local, postgres, top):
            table.close()
        return spec


def parse_duration(text: str) -> float:
    """Seconds of a text such as `500ms`, `5s`, `10min`, `2h`.

    Raises:
        ValueError: it is none of these.

    >>> parse_duration("250ms")
    0.25
    """
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f"expected a duration such as 500ms, 5s, 10min or 2h, not {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def nearest(word: str, known: Collection[str]) -> str:
    """A remark that names the known word nearest to a mistyped one, or nothing.

    >>> nearest("durabilty", ["durability", "engine"])
    "; did you mean 'durability'?"
    """
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _nodes(top: "_Table") -> tuple[NodeSpec, ...]:
    tables = top.tables("nodes")
    if not NODES_AT_LEAST <= len(tables) <= NODES_AT_MOST:
        raise SpecError("nodes", f"expected {NODES_AT_LEAST} to {NODES_AT_MOST} [[nodes]] tables, found {len(tables)}")
    nodes: list[NodeSpec] = []
    for table in tables:
        node = NodeSpec(
            table.name("name", _NODE_NAME, "a-z, 0-9 and hyphens, starting with a letter, at most 31"),
            table.whole("port", at_least=1, at_most=65535),
        )
        if (twin := next((i for i, n in enumerate(nodes) if n.name == node.name), None)) is not None:
            raise SpecError(table.key("name"), f"'{node.name}' is the name of nodes[{twin}] already")
        if twin_node := next((n for n in nodes if n.port == node.port), None):
            raise SpecError(table.key("port"), f"{node.port} is the port of node '{twin_node.name}' already")
        table.close()
        nodes.append(node)
    return tuple(nodes)


def _parameters(table: "_Table") -> dict[str, str]:
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


class _Table:
    """A TOML table that knows its own key and notes which of its keys were read."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = dict(values)
        self._known: list[str] = []

    def key(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def close(self) -> None:
        """Complain about the first key that nobody asked for."""
        for name in self.values:
            if name not in self._known:
                raise SpecError(self.key(name), f"unknown key{nearest(name, self._known)}")

    def table(self, name: str, *, required: bool = True) -> "_Table":
        value = self._take(name, {} if not required else None, "a table")
        if not isinstance(value, dict):
            raise SpecError(self.key(name), "expected a table")
        return _Table(self.key(name), value)

    def tables(self, name: str) -> list["_Table"]:
        value = self._take(name, None, "[[nodes]] tables")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise SpecError(self.key(name), f"expected [[{name}]] tables")
        return [_Table(f"{name}[{index}]", item) for index, item in enumerate(value)]

    def name(self, name: str, shape: re.Pattern[str], expected: str) -> str:
        value = self._take(name, None, "a name")
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise SpecError(self.key(name), f"expected a name ({expected}), not {value!r}")
        taken = {"owner": {"postgres", "public", "none"}, "name": {"postgres", "template0", "template1"}}
        if self.path == "database" and (value in taken[name] or (name == "owner" and value.startswith("pg_"))):
            raise SpecError(self.key(name), f"'{value}' is PostgreSQL's own; choose another")
        return value

    def text(self, name: str, default: str | None) -> str | None:
        value = self._take(name, default, "a string", optional=True)
        if value is not None and (not isinstance(value, str) or not value):
            raise SpecError(self.key(name), f"expected a string that is not empty, not {value!r}")
        return value

    def choice(self, name: str, choices: tuple[Any, ...], default: Any = None) -> Any:
        value = self._take(name, default, "one of " + ", ".join(map(str, choices)))
        if value not in choices or isinstance(value, bool):
            raise SpecError(self.key(name), f"expected {_one_of(choices)}, not {value!r}")
        return value

    def whole(self, name: str, *, at_least: int, at_most: int | None = None, default: int | None = None) -> int:
        value = self._take(name, default, "a whole number")
        in_range = type(value) is int and at_least <= value and (at_most is None or value <= at_most)
        if not in_range:
            limits = f"from {at_least}" + (f" to {at_most}" if at_most is not None else "")
            raise SpecError(self.key(name), f"expected a whole number {limits}, not {value!r}")
        return int(value)

    def duration(self, name: str, default: float) -> float:
        value = self._take(name, default, "a duration")
        if value is default:
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise SpecError(self.key(name), str(error)) from error

    def _take(self, name: str, default: Any, expected: str, *, optional: bool = False) -> Any:
        self._known.append(name)
        value = self.values.get(name, default)
        if value is None and not optional:
            raise SpecError(self.key(name), f"missing; expected {expected}")
        return value


def _one_of(choices: tuple[Any, ...]) -> str:
    words = [str(choice) for choice in choices]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _raise(error: Exception) -> Any:
    raise error
