"""What every engine can do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from haop.model.service import Service
from haop.model.status import ClusterStatus

# Told what has just happened ("fenced", "promoted", ...) and to which node, at the moment it has.
Note: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a failover is going to do: these nodes are fenced, then that one is promoted."""

    node: str
    fence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejoining:
    """What a rejoin is going to do, in a sentence, and whether it discards what only that node has written."""

    told: str
    rewinds: bool = False

    def __str__(self) -> str:
        return self.told


class Engine(Protocol):
    """Makes services into a replicated cluster, and moves the primary."""

    def services(self) -> Mapping[str, Service]:
        """The services of the cluster by name, with their secrets."""

    def observe(self) -> ClusterStatus:
        """Ask every node, all at once."""

    def plan_failover(self, status: ClusterStatus, to: str | None) -> Promotion:
        """Which node would be promoted, and which must be fenced before that; changes nothing."""

    def failover(self, to: str | None, note: Note) -> Promotion:
        """Fence, then promote; the other standbys follow the new primary."""

    def rejoin(self, node: str, note: Note) -> None:
        """Make a node a standby of the primary and wait until it streams."""

    def await_streaming(self, names: frozenset[str], deadline: float) -> ClusterStatus:
        """Wait until these nodes stream from the primary; it then waits for their confirmation where that is asked."""
