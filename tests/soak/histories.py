"""Which histories there are: a seed gives the cluster, what happens to it, and when. Pure."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What can happen. The comment says where the runtimes differ."""

    KILL = "kill"
    STOP = "stop"  # by somebody else than haop: SIGINT, `docker stop`
    FREEZE = "freeze"
    THAW = "thaw"  # of everything that is frozen or cut off, the guard too
    PARTITION = "partition"  # Compose: processes of one machine have no network between them
    FULL_DISK = "full-disk"  # root alone makes file systems
    DAMAGE = "damage"  # within the WAL that no standby has; valid pages follow
    HAND_RESTART = "hand-restart"  # `pg_ctl restart`, `docker restart`
    HAND_START = "hand-start"  # of a data directory that is fenced: `pg_ctl start`, `docker run` of its volume
    GUARD_KILL = "guard-kill"
    GUARD_FREEZE = "guard-freeze"
    FAILOVER = "failover"
    UP = "up"
    SWITCHOVER = "switchover"
    RESTART = "restart"
    HOLD = "hold"  # a report on a standby holds replay, for as long as it likes
    DOUBLE = "double"  # the primary is killed, and within two seconds the one that replaced it


_PRIMARY, _STANDBY = "primary", "standby"
_TARGETS = {
    Kind.KILL: (_PRIMARY, _PRIMARY, _STANDBY),
    Kind.STOP: (_PRIMARY, _STANDBY),
    Kind.FREEZE: (_PRIMARY, _PRIMARY, _STANDBY),
    Kind.PARTITION: (_PRIMARY, _STANDBY),
    Kind.FULL_DISK: (_PRIMARY, _STANDBY),
    Kind.DAMAGE: (_PRIMARY,),
    Kind.HAND_RESTART: (_PRIMARY, _PRIMARY, _STANDBY),
    Kind.HAND_START: (_PRIMARY,),
    Kind.RESTART: (_PRIMARY, _STANDBY),
    Kind.HOLD: (_STANDBY,),
    Kind.DOUBLE: (_PRIMARY,),
}
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_MAJORS = (15, 18)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to whichever node has that role then; and how long it is until the next."""

    kind: Kind
    on: str  # "primary", "standby", or "" where no node is meant
    pause: float  # seconds; of a double failover, until the second

    def __str__(self) -> str:
        return f"{self.kind}{f' {self.on}' if self.on else ''} +{self.pause:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A cluster and what happens to it."""

    seed: int
    runtime: str
    nodes: int
    durability: str
    major: int
    events: tuple[Event, ...]
    kept: tuple[int, ...]  # which of the seed's events these are

    @property
    def name(self) -> str:
        """What `HAOP_SOAK_HISTORY` takes to repeat it."""
        return f"{self.seed}:{','.join(map(str, self.kept))}"

    def has(self, kind: Kind) -> bool:
        """Whether such a thing happens in it."""
        return any(event.kind is kind for event in self.events)


def drawn(seed: int, kinds: Sequence[Kind] = tuple(Kind), longest: int = 6) -> History:
    """The history of a seed: every second one on Compose.

    Args:
        seed: any number.
        kinds: what may happen in it.
        longest: the most events.
    """
    runtime = ("local", "compose")[seed % 2]
    dice = random.Random(seed)
    possible = [kind for kind in kinds if runtime == "compose" or kind is not Kind.PARTITION]
    nodes, durability, major = dice.choice((2, 3)), dice.choice(("async", "sync")), dice.choice(_MAJORS)
    events = tuple(_event(dice, possible) for _ in range(dice.randint(3, longest)))
    return History(
        seed=seed, runtime=runtime, nodes=nodes, durability=durability, major=major, events=events,
        kept=tuple(range(len(events))),
    )  # fmt: skip


def named(text: str) -> History:
    """The history that `History.name` names.

    >>> named("17:0,2").kept
    (0, 2)
    """
    seed, _, kept = text.partition(":")
    whole = drawn(int(seed))
    return only(whole, tuple(int(number) for number in kept.split(",")) if kept else whole.kept)


def only(whole: History, kept: tuple[int, ...]) -> History:
    """That history with some of its events alone; the numbers are those of the seed's."""
    events = tuple(event for number, event in zip(whole.kept, whole.events, strict=True) if number in kept)
    return replace(whole, events=events, kept=kept)


def shorter(history: History) -> Iterator[History]:
    """The same without one of its events, each in turn."""
    for gone in history.kept:
        if rest := tuple(number for number in history.kept if number != gone):
            yield only(history, rest)


def _event(dice: random.Random, possible: Sequence[Kind]) -> Event:
    kind = dice.choice(possible)
    return Event(kind, dice.choice(_TARGETS.get(kind, ("",))), dice.choice(_PAUSES))
