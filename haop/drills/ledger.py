"""What the clients saw. History first, judgement later."""

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """Acknowledged: the client was told so. Refused: it cannot have happened. Indeterminate: nobody told."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt to insert one row. Times are seconds of the monotonic clock."""

    id: int
    begun: float
    ended: float
    outcome: Outcome
    node: str | None  # which server answered
    client: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """One attempt to read."""

    begun: float
    ended: float
    answered: bool
    node: str | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to the cluster while the clients worked."""

    at: float
    event: str
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page that a user of the application asked for. Times are seconds of the monotonic clock."""

    begun: float
    ended: float
    write: bool
    status: int | None  # None: no answer
    said: str = ""  # how a page that failed begins

    @property
    def served(self) -> bool:
        """It was answered as it should be."""
        return self.status is not None and 200 <= self.status < 400


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where the application says that it writes to."""

    at: float
    place: str  # host and port, as the application has them


@dataclass(slots=True)
class Ledger:
    """The history of one drill; appending to a list is safe from any thread."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    pinned: list[Pinned] = field(default_factory=list)
