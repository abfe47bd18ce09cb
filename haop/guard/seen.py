"""What the guard has seen of each node: observations, and the fold of them. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from haop.model.probe import NoAnswer
from haop.model.service import Exit, State
from haop.model.status import Role

# A guard that was not running for so long itself (a machine that slept, a frozen VM) cannot say who was silent.
STALL_SECONDS = 0.8
CRASH_LOOP_SECONDS = 60.0
# A node that has streamed for so long after it was brought back is no longer flapping.
SETTLED_SECONDS = 60.0
# A session may outlive its postmaster by a moment, and answer.
_OUTLIVES_SECONDS = 0.5
_KEPT = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """A server answered a probe on a connection that is kept."""

    node: str
    at: float
    role: Role
    timeline: int
    streaming: bool = False  # a standby's: its receiver is connected


@dataclass(frozen=True, slots=True)
class Welcome:
    """A server let a new client in, and answered it."""

    node: str
    at: float


@dataclass(frozen=True, slots=True)
class Miss:
    """A probe without an answer: of the kept connection, or (`fresh`) of a new client."""

    node: str
    at: float
    kind: NoAnswer
    why: str
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What the runtime says of a node, without asking its server."""

    node: str
    at: float
    state: State
    fenced: bool
    primarys: bool  # its data would start as a primary
    on_its_way: bool = False  # it runs to become a standby again


@dataclass(frozen=True, slots=True)
class Tick:
    """The guard itself is alive."""

    at: float


@dataclass(frozen=True, slots=True)
class Tried:
    """The guard has begun to bring a node back."""

    node: str
    at: float


@dataclass(frozen=True, slots=True)
class FailedOver:
    """A failover has ended: a node was promoted (that one's name), or it failed (None)."""

    at: float
    promoted: str | None


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a promotion leaves behind is cleared on that primary."""

    node: str
    timeline: int


Seen: TypeAlias = Answer | Welcome | Miss | Look | Exit | Tick | Tried | FailedOver | Tidied


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, as far as it was seen."""

    name: str
    role: Role | None = None  # as it answered last; None where nothing is known any more
    timeline: int = 0
    answered: float = -math.inf
    streamed: float = -math.inf
    misses: tuple[Miss, ...] = ()  # since its last answer
    turned_away: tuple[Miss, ...] = ()  # new clients, since the last that was let in
    exit: Exit | None = None  # since its last answer
    look: Look | None = None
    crashes: tuple[float, ...] = ()
    tried: tuple[float, ...] = ()

    @property
    def down(self) -> bool:
        """Whether the runtime says that no process of it runs."""
        if self.exit:
            return self.look is None or self.look.at < self.exit.at or self.look.state in {State.STOPPED, State.ABSENT}
        return bool(self.look and self.look.at > self.answered and self.look.state in {State.STOPPED, State.ABSENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The cluster as the guard sees it."""

    nodes: Mapping[str, Node]
    began: float
    ticked: float
    failures: tuple[float, ...] = ()  # failovers that did not succeed since the last that did
    tidied: tuple[str, int] | None = None
    busy: str | None = None  # why the guard may not act: maintenance, a pause
    watched_since: float = field(default=-math.inf)  # nothing before that says that a node was silent

    @classmethod
    def of(cls, names: Iterable[str], now: float) -> "View":
        """Nothing seen yet."""
        return cls(nodes={name: Node(name=name) for name in names}, began=now, ticked=now, watched_since=now)

    def but(self, busy: str | None, now: float) -> "View":
        """The same, in maintenance or not. What was not heard meanwhile is no evidence afterwards."""
        over = self.busy is not None and busy is None
        return replace(self, busy=busy, watched_since=now if over else self.watched_since)


def see(view: View, seen: Seen) -> View:
    """The view with one observation more. What is older than what is known already changes nothing."""
    match seen:
        case Tick(at):
            stalled = at - view.ticked > STALL_SECONDS
            return replace(view, ticked=at, watched_since=at if stalled else view.watched_since)
        case FailedOver(at, promoted):
            return replace(view, failures=() if promoted else (*view.failures, at)[-_KEPT:])
        case Tidied(name, timeline):
            return replace(view, tidied=(name, timeline))
        case Exit(name, _, _):
            pass
        case _:
            name = seen.node
    if name not in view.nodes:
        return view
    return replace(view, nodes={**view.nodes, name: _node(view.nodes[name], seen)})


def _node(node: Node, seen: Answer | Welcome | Miss | Look | Exit | Tried) -> Node:
    match seen:
        case Answer():
            return _answered(node, seen)
        case Welcome():
            return replace(node, turned_away=())
        case Miss():
            return _missed(node, seen)
        case Look():
            forgotten = seen.fenced and seen.at > node.answered
            return replace(node, look=seen, role=None if forgotten else node.role)
        case Exit():
            return (
                replace(node, exit=seen, crashes=_recent(node.crashes, seen.at)) if seen.at >= node.answered else node
            )
        case Tried():
            return replace(node, tried=(*node.tried, seen.at)[-_KEPT:])


def _missed(node: Node, miss: Miss) -> Node:
    if miss.kind is NoAnswer.DENIED:  # it has no place left, or a role was changed: that is a life sign
        return replace(node, misses=(), turned_away=())
    if miss.fresh:
        return replace(node, turned_away=(*node.turned_away, miss)[-_KEPT:])
    if miss.at < node.answered:
        return node
    crashed = miss.kind is NoAnswer.LOST and not node.exit
    crashes = _recent(node.crashes, miss.at) if crashed else node.crashes
    return replace(node, misses=(*node.misses, miss)[-_KEPT:], crashes=crashes)


def _answered(node: Node, answer: Answer) -> Node:
    if answer.at < node.answered or (node.exit and answer.at < node.exit.at + _OUTLIVES_SECONDS):
        return node
    streamed = answer.at if answer.streaming else node.streamed
    settled = node.tried and streamed - node.tried[-1] > SETTLED_SECONDS
    return replace(
        node, role=answer.role, timeline=answer.timeline, answered=answer.at, streamed=streamed, misses=(), exit=None,
        tried=() if settled else node.tried,
    )  # fmt: skip


def _recent(crashes: tuple[float, ...], at: float) -> tuple[float, ...]:
    """One crash shows as a lost connection and as an exit: within a second they are one."""
    kept = tuple(crash for crash in crashes if at - crash <= CRASH_LOOP_SECONDS)
    return kept if kept and at - kept[-1] < 1.0 else (*kept, at)
