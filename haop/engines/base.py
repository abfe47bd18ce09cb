"""What engines say of what they do and are going to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from haop.model.lsn import Lsn

# Told what has just happened ("fenced", "promoted", ...) and to which node, at the moment it has.
Note: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a standby may be promoted."""

    salvage: bool = True  # replay first what the dead primary has and the standby lacks
    behind: frozenset[str] = frozenset()  # standbys without whose confirmation the primary has acknowledged writes
    last: frozenset[str] = frozenset()  # nodes that are known to have been primary last, or may have been
    accept_loss: bool = False  # an operator's word: promote, though acknowledged writes may be missing


AS_USUAL = Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvage:
    """What a standby lacked of the WAL of a dead primary, and how much of that it has replayed."""

    node: str | None  # whose WAL; None: no node has the data of a primary
    standby: str
    begin: Lsn  # how far the standby was
    end: Lsn | None  # where that WAL ends; None where nobody can tell
    reached: Lsn  # how far the standby is now
    seconds: float
    trouble: str | None = None  # why it is not complete

    @property
    def complete(self) -> bool:
        """Whether the standby has everything that the dead primary had."""
        return self.trouble is None

    @property
    def bytes(self) -> int:
        """WAL that was replayed from the dead primary's."""
        return max(0, self.reached - self.begin)

    @property
    def missing_bytes(self) -> int | None:
        """WAL that the standby still lacks; None where nobody can tell."""
        if self.complete:
            return 0
        return max(0, self.end - self.reached) if self.end else None

    @property
    def told(self) -> str:
        """All this in a sentence."""
        if self.complete and not self.bytes:
            return f"{self.standby} lacked nothing of {self.node}'s WAL"
        got = (
            f"{self.bytes} bytes of {self.node}'s WAL, {self.begin} to {self.reached}, salvaged in {self.seconds:.2f} s"
        )
        if self.complete:
            return got
        where = f"in pg_wal of {self.node}" if self.node else "in the data of a primary, which are gone"
        if self.missing_bytes is None:
            lacks = f"WAL after {self.reached} may be missing on {self.standby}, and would lie {where}: {self.trouble}"
        else:
            lacks = (
                f"{self.missing_bytes} bytes of WAL, {self.reached} to {self.end}, are missing on {self.standby}, and "
                f"lie {where}: {self.trouble}"
            )
        return f"{got}; {lacks}" if self.bytes else lacks


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a failover is going to do, or has done: these nodes are fenced, then that one is promoted."""

    node: str
    fence: tuple[str, ...]
    salvaged: tuple[Salvage, ...] = ()  # what it had to get from dead primaries first
    rather: str | None = None  # primary sooner, and promoted instead where salvage gives it all that the other has
    again: bool = False  # it was primary before, and becomes so without what others had since

    @property
    def salvaged_bytes(self) -> int:
        """WAL that only a dead primary had."""
        return sum(each.bytes for each in self.salvaged)


@dataclass(frozen=True, slots=True)
class Rejoining:
    """What a rejoin is going to do, in a sentence, and whether it discards what only that node has written."""

    told: str
    rewinds: bool = False

    def __str__(self) -> str:
        return self.told
