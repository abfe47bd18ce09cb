"""What engines say of what they do and are going to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

# Told what has just happened ("fenced", "promoted", ...) and to which node, at the moment it has.
Note: TypeAlias = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a standby may be promoted."""

    salvage: bool = True  # replay first what the dead primary has and the standby lacks
    behind: frozenset[str] = frozenset()  # standbys without whose confirmation the primary has acknowledged writes
    accept_loss: bool = False  # an operator's word: promote, though acknowledged writes may be missing


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a failover is going to do: these nodes are fenced, then that one is promoted."""

    node: str
    fence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rejoining:
    """What a rejoin is going to do, in a sentence, and whether it discards what only that node has written."""

    told: str
    rewinds: bool = False

    def __str__(self) -> str:
        return self.told
