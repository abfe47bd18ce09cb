"""What the doctor gathered of one server, one data directory, one container, this machine. Values, no judgement."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from haop.model.hba import Rule
from haop.model.settings import Pending
from haop.model.status import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """What a server says of itself beyond what `haop status` asks."""

    in_recovery: bool
    settings: Mapping[str, str]  # as pg_settings has them, sizes in bytes
    pending: tuple[Pending, ...] = ()  # in force after a restart
    overridden: tuple[str, ...] = ()  # set by ALTER SYSTEM, and not by haop
    rules: tuple[Rule, ...] = ()
    verifiers: Mapping[str, str] = field(default_factory=dict, repr=False)  # role to what pg_authid holds
    databases: Mapping[str, str] = field(default_factory=dict)  # name to owner
    collations: tuple[str, ...] = ()  # what was made with another version of its collation
    slots: tuple[Slot, ...] = ()
    replay: str = "not paused"
    leftovers: tuple[str, ...] = ()  # folders beside the data directory that an interrupted clone left
    wal_bytes: int = 0  # size of pg_wal
    skew_seconds: float = 0.0  # its clock minus haop's
    skew_within_seconds: float = 0.0  # half of the time that asking took: how wrong the skew may be


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSeen:
    """Where a node's data lie."""

    filesystem: str  # the same word for nodes that share a disk
    free_bytes: int
    mode: int
    owned: bool  # by the user that its server runs as


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSeen:
    """A mount of a container."""

    kind: str  # volume, bind, tmpfs
    source: str  # a volume's name, a folder
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSeen:
    """What the engine says of a container."""

    running: bool  # and not paused
    restart: str
    fence: str  # the word of the marker beside its data; "" where there is none
    stop_signal: str
    stop_seconds: int
    health: tuple[str, ...]  # the command of its health check
    mounts: tuple[MountSeen, ...]
    published: tuple[str, ...]  # "0.0.0.0:5432"
    leaking: tuple[str, ...]  # variables that hold a password of `.env`
    outdated: bool | None  # made of another configuration than that of stack/compose.yaml; None: it cannot be read
    memory_bytes: int  # the limit; 0: none


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSeen:
    """This machine, and what haop needs of it."""

    system: str  # "linux", "darwin"
    memory_bytes: int
    problems: tuple[tuple[str, str], ...] = ()  # what is missing or too old, and the mend
