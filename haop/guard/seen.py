"""What the guard has seen of each node: observations, and the fold of them. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from haop.model.lsn import Lsn
from haop.model.probe import NoAnswer
from haop.model.service import Exit, State
from haop.model.status import Role

# A guard that waited for so long, and meant to for a fraction of that, was not running itself (a machine that slept, a
# frozen VM), and cannot say who was silent.
STALL_SECONDS = 0.8
CRASH_LOOP_SECONDS = 60.0
# A node that streams, or is primary, so long after it was brought back is not flapping.
SETTLED_SECONDS = 5.0
# A session may outlive its postmaster by a moment, and answer.
_OUTLIVES_SECONDS = 0.5
# An end that is heard of so soon after the guard could not watch, or might not act, may be an older one.
_LATE_SECONDS = 1.0
# What two nodes say of one stream belongs together where there is no more between it.
_FRESH_SECONDS = 1.5
_CRASHED = {NoAnswer.LOST, NoAnswer.STARTING}
_KEPT = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """A server answered a probe on a connection that is kept."""

    node: str
    at: float
    role: Role
    timeline: int
    receiving: bool = False  # a standby's: its receiver is connected, to whomever
    receivers: frozenset[str] = frozenset()  # a primary's: who receives from it
    flushed: Lsn | None = None  # a primary's: how far it has written


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
    ended: str | None = None  # how, where it does not run and the runtime can tell
    intruder: str | None = None  # what serves its data, though they are fenced
    follows: str | None = None  # whom, where it runs as a standby and lets nobody in
    lacks: bool = False  # that is the primary, and seems to have lost the WAL that it waits for


@dataclass(frozen=True, slots=True)
class Tick:
    """The guard itself is alive: it has waited for news since then."""

    at: float
    since: float


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
    sure: bool = False  # as it was decided


@dataclass(frozen=True, slots=True)
class Tidying:
    """The guard has begun to clear what a promotion leaves behind."""

    at: float


@dataclass(frozen=True, slots=True)
class Tidied:
    """What a promotion leaves behind is cleared on that primary."""

    node: str
    timeline: int


Seen: TypeAlias = Answer | Welcome | Miss | Look | Exit | Tick | Tried | FailedOver | Tidying | Tidied


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node, as far as it was seen."""

    name: str
    role: Role | None = None  # as it answered last; None where nothing is known any more
    timeline: int = 0
    answered: float = -math.inf
    lived: float = -math.inf  # it answered, or said no
    received: float = -math.inf  # a standby's receiver was connected
    receivers: frozenset[str] = frozenset()  # as a primary said last
    streamed: float = -math.inf  # it received from a node that was primary: both said so
    source: str | None = None  # that node
    lacking: float | None = None  # since when it was seen to wait for what the primary has lost
    misses: tuple[Miss, ...] = ()  # since its last answer
    turned_away: tuple[Miss, ...] = ()  # new clients, since the last that was let in
    exit: Exit | None = None  # since its last answer
    look: Look | None = None
    crashes: tuple[float, ...] = ()  # as primary
    tried: tuple[float, ...] = ()

    @property
    def fenced(self) -> bool:
        """Whether it is for nobody to follow, whatever it answers."""
        return bool(self.look and self.look.fenced and not self.look.on_its_way)

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
    failures: tuple[float, ...] = ()  # failovers that did not succeed since the last that did
    sure: bool = False  # the last of them was; one that is completed by another guard was not, as far as that knows
    tidied: tuple[str, int] | None = None
    untidy: tuple[float, ...] = ()  # attempts to tidy since the last that succeeded
    busy: str | None = None  # why the guard may not act: maintenance, a pause
    watched_since: float = field(default=-math.inf)  # nothing before that says that a node was silent

    @classmethod
    def of(cls, names: Iterable[str], now: float) -> "View":
        """Nothing seen yet."""
        return cls(nodes={name: Node(name=name) for name in names}, began=now, watched_since=now)

    def but(self, busy: str | None, now: float) -> "View":
        """The same, in maintenance or not. What was seen meanwhile, and what was not, is no evidence afterwards."""
        over = self.busy is not None and busy is None
        return replace(_anew(self, now) if over else self, busy=busy)


def see(view: View, seen: Seen) -> View:
    """The view with one observation more. What is older than what is known already changes nothing."""
    match seen:
        case Tick(at, since):
            return _anew(view, at) if at - since > STALL_SECONDS else view
        case FailedOver():
            return _failed_over(view, seen)
        case Tidying() | Tidied():
            return _tidied(view, seen)
        case Exit(name, _, _):
            pass
        case _:
            name = seen.node
    if name not in view.nodes:
        return view
    node = view.nodes[name]
    if isinstance(seen, Exit) and seen.at < view.watched_since + _LATE_SECONDS:  # it may have been started since then
        return replace(view, nodes={**view.nodes, name: replace(node, look=None)})
    nodes = {**view.nodes, name: _node(node, seen)}
    return replace(view, nodes=_joined(nodes, seen.at) if isinstance(seen, Answer) else nodes)


def _joined(nodes: Mapping[str, Node], at: float) -> Mapping[str, Node]:
    """Who streams: a primary says that it sends to a standby, and that one says that it receives.

    A receiver alone may be connected to another standby, or be refused again and again.
    """
    joined = dict(nodes)
    for primary in nodes.values():
        if primary.role is not Role.PRIMARY or at - primary.answered > _FRESH_SECONDS:
            continue
        for name in primary.receivers & nodes.keys():
            if at - nodes[name].received <= _FRESH_SECONDS and nodes[name].role is Role.STANDBY:
                joined[name] = replace(nodes[name], streamed=at, source=primary.name)
    return joined


def _tidied(view: View, seen: Tidying | Tidied) -> View:
    if isinstance(seen, Tidying):
        return replace(view, untidy=(*view.untidy, seen.at)[-_KEPT:])
    return replace(view, tidied=(seen.node, seen.timeline), untidy=())


def _anew(view: View, now: float) -> View:
    """Who was silent, or has ended, until now is to be found out again."""
    nodes = {
        name: replace(node, misses=(), turned_away=(), exit=None, look=None, crashes=())
        for name, node in view.nodes.items()
    }
    return replace(view, nodes=nodes, watched_since=now)


def _failed_over(view: View, seen: FailedOver) -> View:
    if not seen.promoted:  # what it has begun is cleared away, though the primary may be the same again
        return replace(view, failures=(*view.failures, seen.at)[-_KEPT:], sure=seen.sure, tidied=None)
    # Until it answers: what it said before it was promoted is history.
    node, newest = view.nodes[seen.promoted], max(node.timeline for node in view.nodes.values())
    primary = replace(
        node, role=Role.PRIMARY, timeline=newest, answered=seen.at, lived=seen.at, misses=(), turned_away=(), exit=None
    )
    known = {**view.nodes, seen.promoted: primary}
    nodes = {name: replace(each, crashes=()) for name, each in known.items()}
    return replace(view, failures=(), sure=False, nodes=nodes)


def _node(node: Node, seen: Answer | Welcome | Miss | Look | Exit | Tried) -> Node:
    match seen:
        case Answer():
            return _answered(node, seen)
        case Welcome():
            return replace(node, turned_away=())
        case Miss():
            return _missed(node, seen)
        case Look():
            lacking = (seen.at if node.lacking is None else node.lacking) if seen.lacks else None
            looked = replace(node, look=seen, lacking=lacking)
            forgotten = seen.fenced and seen.at > node.answered
            return replace(looked, role=None, crashes=()) if forgotten else looked
        case Exit():
            old = seen.at + _OUTLIVES_SECONDS < node.answered
            return node if old else replace(node, exit=seen, crashes=_crashes(node, seen.at))
        case Tried():
            return replace(node, tried=(*node.tried, seen.at)[-_KEPT:])


def _missed(node: Node, miss: Miss) -> Node:
    if miss.kind is NoAnswer.DENIED:  # it has no place left, or a role was changed: that is a life sign
        return replace(node, misses=(), turned_away=(), lived=max(node.lived, miss.at))
    if miss.fresh:
        return replace(node, turned_away=(*node.turned_away, miss)[-_KEPT:])
    if miss.at < node.answered:
        return node
    # A crash restart may be over before it is seen: then the lost connection alone tells of it.
    again = any(before.kind in _CRASHED for before in node.misses)
    crashed = miss.kind in _CRASHED and not again and not node.exit
    crashes = _crashes(node, miss.at) if crashed else node.crashes
    return replace(node, misses=(*node.misses, miss)[-_KEPT:], crashes=crashes)


def _answered(node: Node, answer: Answer) -> Node:
    if answer.at < node.answered or (node.exit and answer.at < node.exit.at + _OUTLIVES_SECONDS):
        return node
    received = answer.at if answer.receiving else node.received
    well = answer.at if answer.role is Role.PRIMARY else node.streamed
    # Whoever was silent and answers now has let a new client in, or may: what was before says nothing.
    away = () if node.exit or node.misses else node.turned_away
    settled = node.tried and well - node.tried[-1] > SETTLED_SECONDS
    return replace(
        node, role=answer.role, timeline=answer.timeline, answered=answer.at, lived=max(node.lived, answer.at),
        received=received, receivers=answer.receivers, misses=(), turned_away=away, exit=None,
        tried=() if settled else node.tried,
    )  # fmt: skip


def _crashes(node: Node, at: float) -> tuple[float, ...]:
    """A primary's. One crash shows as an exit and as a server that starts up: within a second they are one."""
    if node.role is not Role.PRIMARY:
        return node.crashes
    kept = tuple(crash for crash in node.crashes if at - crash <= CRASH_LOOP_SECONDS)
    return kept if kept and at - kept[-1] < 1.0 else (*kept, at)
