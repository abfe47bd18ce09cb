"""How far a primary had written: one that recovers with less has lost what was committed there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from haop.model.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Written:
    """What a primary said of its WAL, when it was asked last."""

    node: str
    system: str  # PostgreSQL's identifier of the cluster; "": nobody could tell
    timeline: int
    lsn: Lsn  # flushed

    @classmethod
    def parse(cls, document: Any) -> Self | None:
        """From `document`; None where it is nothing of the kind.

        >>> Written.parse(Written("db1", "7", 2, Lsn(16)).document)
        Written(node='db1', system='7', timeline=2, lsn=Lsn(position=16))
        >>> Written.parse({"node": "db1"}), Written.parse(None)
        (None, None)
        """
        try:
            return cls(
                str(document["node"]), str(document["system"]), int(document["timeline"]), Lsn.parse(document["lsn"])
            )
        except (TypeError, KeyError, ValueError):
            return None

    @property
    def document(self) -> Mapping[str, Any]:
        """For JSON."""
        return {"node": self.node, "system": self.system, "timeline": self.timeline, "lsn": str(self.lsn)}

    def lost_since(self, before: "Written | None") -> str | None:
        """What a primary lacks that it had; None where that is nothing. A promotion begins another timeline.

        >>> before = Written("db1", "7", 2, Lsn(48))
        >>> Written("db1", "7", 2, Lsn(16)).lost_since(before)
        'it had written up to 0/30 of timeline 2 and came back at 0/10: 32 bytes of WAL, and their commits, are lost'
        >>> Written("db1", "7", 2, Lsn(48)).lost_since(before), Written("db1", "7", 3, Lsn(16)).lost_since(before)
        (None, None)
        """
        if (
            before is None
            or not self.system
            or (self.node, self.system, self.timeline) != (before.node, before.system, before.timeline)
        ):
            return None
        if self.lsn >= before.lsn:
            return None
        return (
            f"it had written up to {before.lsn} of timeline {self.timeline} and came back at {self.lsn}: "
            f"{before.lsn - self.lsn} bytes of WAL, and their commits, are lost"
        )
