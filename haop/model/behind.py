"""Which standbys may lack writes that were acknowledged, and whose silence still matters. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from haop.model.lsn import Lsn


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A standby without whose confirmation the primary has acknowledged writes, or may have."""

    since: str | None = None  # ISO 8601, UTC; None: nobody knows
    # Whoever has got as far as this has all that only that standby may have confirmed; None: nobody knows how far.
    timeline: int | None = None
    lsn: Lsn | None = None


def dispensable(behind: Mapping[str, Behind], timeline: int, reach: Lsn) -> frozenset[str]:
    """The standbys without whose answer another one, that is so far, can be promoted and nothing is lost.

    A standby that may confirm writes alone must answer and be no further. One that is no longer asked has confirmed
    nothing past the position that the primary had then.

    >>> gone = {"db2": Behind(timeline=1, lsn=Lsn(5)), "db3": Behind()}
    >>> sorted(dispensable(gone, 1, Lsn(5))), sorted(dispensable(gone, 1, Lsn(4)))
    (['db2'], [])
    """
    return frozenset(
        name
        for name, each in behind.items()
        if each.timeline is not None and each.lsn is not None and timeline >= each.timeline and reach >= each.lsn
    )
