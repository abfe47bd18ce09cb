"""What a guard may decide to do."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class FailOver:
    """Fence every node that could be primary, salvage, promote the most advanced standby."""

    what: ClassVar[str] = "failover"  # what the audit trail calls it, here and below
    old: str | None  # the primary that failed; None: it is fenced already, and nobody was promoted
    why: str
    sure: bool  # whether a standby streamed until it failed; else promote only what salvage makes whole


@dataclass(frozen=True, slots=True)
class BringBack:
    """Start a node: as what it was where nobody else is primary, else as a standby."""

    what: ClassVar[str] = "bring back"
    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Tidy:
    """Clear what a promotion has left on that primary, and let standbys that follow another follow it."""

    what: ClassVar[str] = "tidy"
    primary: str
    timeline: int


@dataclass(frozen=True, slots=True)
class Reinstate:
    """The primary is fenced and nobody can be promoted: let it be primary again, if it is certain that nobody is."""

    what: ClassVar[str] = "reinstate"
    why: str


@dataclass(frozen=True, slots=True)
class EndIntruder:
    """A node is fenced, and something serves its data all the same: end that."""

    what: ClassVar[str] = "end intruder"

    node: str
    why: str


Decision: TypeAlias = EndIntruder | FailOver | BringBack | Tidy | Reinstate
