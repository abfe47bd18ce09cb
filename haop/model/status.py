"""The cluster as it is observed. A node that does not answer is a value, not an exception."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.probe import NoAnswer
from haop.model.service import ServiceState


class Role(StrEnum):
    """What a server itself says it is."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A row of `pg_stat_replication` on the node that sends."""

    application_name: str
    state: str
    sync_state: str
    flush_lsn: Lsn | None = None  # how far that standby has said that it has flushed


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A row of `pg_replication_slots`."""

    name: str
    physical: bool = True
    active: bool
    wal_status: str | None
    retained_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Where a timeline ended: a line of the timeline's history file."""

    timeline: int
    at: Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiving:
    """How a primary fares that copies its WAL into an archive."""

    failing: bool  # its last attempt failed
    waiting: int  # files that are to be copied
    waiting_seconds: float  # how long the oldest of them has waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Something of a server's that lies at an absolute path."""

    kind: str  # tablespace, setting
    name: str
    path: str  # "": its folder is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What a PostgreSQL server said about itself, at one moment."""

    role: Role
    timeline: int
    lsn: Lsn  # a primary: written; a standby: replayed
    received_lsn: Lsn | None  # of a standby: the furthest it could be promoted to
    lag_seconds: float | None  # of a standby; 0 where everything received is replayed
    receiver: str | None  # state of the WAL receiver, where one runs
    primary_since: datetime | None
    synchronous_standby_names: str
    version_num: int
    system_identifier: str
    checksums: bool
    tls: bool
    started_at: datetime
    senders: tuple[Sender, ...] = ()
    slots: tuple[Slot, ...] = ()
    replay_paused: bool = False  # of a standby that does not stream: it cannot, before it replays again
    forks: tuple[Fork, ...] = ()
    inserted: Lsn | None = None  # of a primary: the end of its WAL, of which the last may be in memory only
    archiving: Archiving | None = None  # of a primary with an archive
    upstream: Endpoint | None = None  # of a standby: whom it is told to follow
    data_directory: str = ""
    places: tuple[Place, ...] = ()

    @property
    def reach(self) -> Lsn:
        """The last position that this server has: nothing before it would be lost with the others."""
        return max(self.lsn, self.received_lsn or self.lsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """A node whose server answered."""

    name: str
    endpoint: Endpoint
    service: ServiceState
    server: Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A node whose server did not answer, and why."""

    name: str
    endpoint: Endpoint
    service: ServiceState
    reason: str
    kind: NoAnswer | None = None  # of its server's silence, where that was asked
    code: str | None = None  # SQLSTATE, where it gave one
    primarys: bool = False  # its server lives, and its data are a primary's

    @property
    def refuses(self) -> bool:
        """Whether its server lives and says no: no place left, another password. That is no failure of it."""
        return self.kind is NoAnswer.DENIED


NodeStatus: TypeAlias = Reachable | Unreachable


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """All nodes as they were seen at one moment, in the order of `haop.toml`."""

    nodes: tuple[NodeStatus, ...]
    at: datetime

    def node(self, name: str) -> NodeStatus:
        """The node of that name (every node of the specification is here)."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def reachable(self) -> Iterator[Reachable]:
        """The nodes that answered."""
        return (node for node in self.nodes if isinstance(node, Reachable))

    @property
    def primaries(self) -> tuple[Reachable, ...]:
        """The nodes that accept writes, and may: none that is fenced. More than one is a split brain."""
        return self._of(Role.PRIMARY)

    @property
    def standbys(self) -> tuple[Reachable, ...]:
        """The nodes that follow; none that is fenced."""
        return self._of(Role.STANDBY)

    @property
    def breached(self) -> tuple[NodeStatus, ...]:
        """The nodes that are fenced, and whose data something serves all the same."""
        return tuple(node for node in self.nodes if node.service.intruder)

    def _of(self, role: Role) -> tuple[Reachable, ...]:
        return tuple(node for node in self.reachable if node.server.role is role and not node.service.intruder)

    @property
    def primary(self) -> Reachable | None:
        """The one primary; None where there is none, or more than one."""
        return self.primaries[0] if len(self.primaries) == 1 else None

    @property
    def refusing_primary(self) -> Unreachable | None:
        """A node that lives, does not let haop in, and would be primary; None where a primary answers."""
        if self.primaries:
            return None
        return next((n for n in self.nodes if isinstance(n, Unreachable) and n.refuses and n.primarys), None)

    def sender(self, name: str) -> Sender | None:
        """How the primary sees the stream to that node; None where there is no such stream."""
        if not self.primary:
            return None
        return next((s for s in self.primary.server.senders if s.application_name == name), None)

    def slot(self, name: str) -> Slot | None:
        """That slot on the primary."""
        if not self.primary:
            return None
        return next((s for s in self.primary.server.slots if s.name == name), None)

    def streams(self, name: str) -> bool:
        """Whether that standby receives from the primary: both ends say so, on one timeline."""
        node, sender = self.node(name), self.sender(name)
        return (
            isinstance(node, Reachable)
            and self.primary is not None
            and node.server.role is Role.STANDBY
            and node.server.receiver == "streaming"
            and node.server.timeline == self.primary.server.timeline
            and not self._has_anothers(node.server)
            and sender is not None
            and sender.state == "streaming"
        )

    def _has_anothers(self, server: Server) -> bool:
        """Whether it has a timeline of which the primary's has the number, and nothing more: both know their forks."""
        primary = self.primary
        if (
            primary is None
            or server.timeline != primary.server.timeline
            or not server.forks
            or not primary.server.forks
        ):
            return False
        return server.forks != primary.server.forks

    def lag_bytes(self, node: Reachable) -> int | None:
        """WAL that the primary has written and that standby has not replayed, in bytes."""
        if self.primary is None or node.server.role is Role.PRIMARY:
            return None
        return max(0, self.primary.server.lsn - node.server.lsn)

    def lost_by_primary(self, node: Reachable) -> int:
        """Bytes of one timeline's WAL that a standby has, and that the primary, which had sent them, has no more."""
        primary = self.primary
        if primary is None or node is primary or node.server.receiver == "streaming":
            return 0
        ahead = node.server.reach - primary.server.lsn
        return max(0, ahead) if node.server.timeline == primary.server.timeline else 0

    def has_lost(self, at: Lsn, timeline: int) -> bool:
        """Whether the primary's WAL does not lead to that position of that timeline; see `leads_to`."""
        if self.primary is None:
            return False
        server = self.primary.server
        return not leads_to(at, timeline, server.timeline, server.inserted or server.lsn, server.forks)

    def diverged(self, node: Reachable) -> str | None:
        """Why that standby cannot follow the primary: they went down different timelines; None where they did not."""
        if not self.primary or node is self.primary or self.streams(node.name):
            return None
        primary = self.primary.server
        if self._has_anothers(node.server):
            return f"its timeline {node.server.timeline} is not the one that {self.primary.name} has under that number"
        if lost := self.lost_by_primary(node):
            return (
                f"it has {lost} bytes of WAL, {primary.lsn} to {node.server.reach}, that {self.primary.name} had sent, "
                "and has lost"
            )
        if node.server.timeline > primary.timeline:
            return f"it is on timeline {node.server.timeline}, {self.primary.name} on {primary.timeline}"
        fork = next((fork for fork in primary.forks if fork.timeline == node.server.timeline), None)
        if fork is None or node.server.reach <= fork.at:
            return None
        return (
            f"it has {node.server.reach - fork.at} bytes of timeline {fork.timeline} beyond {fork.at}, where "
            f"{self.primary.name}'s timeline {primary.timeline} began"
        )


def leads_to(at: Lsn, timeline: int, current: int, end: Lsn, forks: Iterable[Fork]) -> bool:
    """Whether the WAL of a primary has that position of that timeline, or nobody can tell.

    On one timeline only positions can be compared: what it has lost there is known until it has written as far again.

    Args:
        at: the position.
        timeline: of which it is.
        current: the primary's timeline.
        end: how far the primary is.
        forks: where its earlier timelines ended.

    >>> forks = [Fork(timeline=1, at=Lsn(10))]
    >>> [leads_to(Lsn(at), 1, 2, Lsn(20), forks) for at in (10, 11)]
    [True, False]
    >>> [leads_to(Lsn(at), timeline, 2, Lsn(20), forks) for at, timeline in ((20, 2), (21, 2), (5, 3))]
    [True, False, False]
    """
    if timeline >= current:
        return timeline == current and at <= end
    return not any(fork.timeline == timeline and at > fork.at for fork in forks)


def version(number: int) -> str:
    """PostgreSQL's version number as people write it.

    >>> version(150018)
    '15.18'
    """
    return f"{number // 10000}.{number % 10000}"
