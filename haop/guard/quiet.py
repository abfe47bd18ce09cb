"""Since when a standby has confirmed nothing of what its primary has written. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from haop.model.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Flushes:
    """What a primary said of who receives from it."""

    at: float  # monotonic seconds
    flushed: Lsn  # by the primary
    reached: Mapping[str, Lsn] = field(default_factory=dict)  # flushed by each standby
    well: Mapping[str, float] = field(default_factory=dict)  # when each was found to keep up last

    @property
    def quiet(self) -> Mapping[str, float]:
        """For how many seconds each standby has not kept up, as far as the primary was asked."""
        return {name: self.at - well for name, well in self.well.items()}


def after(before: Flushes | None, at: float, flushed: Lsn, reached: Mapping[str, Lsn]) -> Flushes:
    """The next.

    A standby keeps up where it has what the primary had the last time, or more than it had itself then: a sender that
    is stopped, or a network that is cut, looks like a stream for a while, and gives neither.

    >>> begun = after(None, 0.0, Lsn(10), {"db2": Lsn(10), "db3": Lsn(5)})
    >>> later = after(begun, 0.5, Lsn(20), {"db2": Lsn(10), "db3": Lsn(6)})
    >>> later.quiet, after(later, 1.0, Lsn(20), {"db2": Lsn(10)}).quiet
    ({'db2': 0.0, 'db3': 0.0}, {'db2': 0.5, 'db3': 0.5})
    """
    if before is None or flushed < before.flushed:  # it was restarted
        return Flushes(at, flushed, reached, dict.fromkeys(reached, at))
    well = dict(before.well)
    for name, lsn in reached.items():
        if name not in well or lsn >= before.flushed or lsn > before.reached.get(name, lsn):
            well[name] = at
    return Flushes(at, flushed, reached, well)
