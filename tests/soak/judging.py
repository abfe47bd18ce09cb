"""What clients saw, judged: nothing here knows what haop did, but for what it said is missing. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from haop.model.lsn import Lsn

# Two nodes may not be out of recovery together for longer.
OVERLAP_SECONDS = 1.0
# A row's commit comes a little after the position that the server told with it: others write in between.
_SLACK_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A row that a server acknowledged. Times are of the machine's monotonic clock."""

    number: int
    node: str  # as the server itself says
    timeline: int
    lsn: Lsn  # where its WAL was, before the commit
    sent: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A server said that it is out of recovery, at some moment between these two."""

    node: str
    started: str  # when its postmaster did: out of recovery, it stays so until it ends
    begun: float
    ended: float


@dataclass(frozen=True, slots=True)
class Gap:
    """WAL that is missing, as haop says; to a position that nobody can tell where `end` is None."""

    begin: Lsn
    end: Lsn | None


@dataclass(frozen=True, slots=True)
class Problem:
    """A promise that was not kept."""

    kind: str
    message: str


_LSN = r"[0-9A-F]{1,8}/[0-9A-F]{1,8}"
_TOLD = re.compile(
    rf"WAL(?:, (?P<begin>{_LSN}) to (?P<end>{_LSN}), (?:is|are)| after (?P<after>{_LSN}) (?:is|are|may be)) missing"
)


def told(text: str) -> tuple[Gap, ...]:
    """The WAL that a message says is missing.

    >>> [gap] = told("4096 bytes of WAL, 0/5000148 to 0/5001148, are missing on db2, and lie in pg_wal of db1")
    >>> str(gap.begin), str(gap.end)
    ('0/5000148', '0/5001148')
    """
    return tuple(
        Gap(Lsn.parse(match["begin"] or match["after"]), Lsn.parse(match["end"]) if match["end"] else None)
        for match in _TOLD.finditer(text)
    )


def lost(acks: Iterable[Ack], rows: Set[int]) -> list[Ack]:
    """What was acknowledged, and is not there."""
    return [ack for ack in acks if ack.number not in rows]


def judge_loss(missing: Sequence[Ack], gaps: Sequence[Gap]) -> list[Problem]:
    """Nothing acknowledged is lost but where the missing WAL was told."""
    untold = [ack for ack in missing if not any(_covers(gap, ack.lsn) for gap in gaps)]
    if not untold:
        return []
    first = min(untold, key=lambda ack: ack.at)
    return [
        Problem("lost", f"{len(untold)} acknowledged rows are gone and nothing says so; the first: {first.number} "
        f"of {first.node}, timeline {first.timeline}, {first.lsn}")
    ]  # fmt: skip


def judge_split(acks: Sequence[Ack]) -> list[Problem]:
    """No server takes a write after one of a later timeline has; and a timeline has one server."""
    found: list[Problem] = []
    first: dict[int, Ack] = {}
    for ack in sorted(acks, key=lambda ack: ack.at):
        first.setdefault(ack.timeline, ack)
    for timeline, earliest in first.items():
        late = [ack for ack in acks if ack.timeline < timeline and ack.sent > earliest.at]
        if late:
            whose = ", ".join(sorted({f"{ack.node} (timeline {ack.timeline})" for ack in late}))
            seconds = max(ack.at for ack in late) - earliest.at
            found.append(Problem("split", f"{whose} acknowledged {len(late)} writes after {earliest.node} "
                                          f"(timeline {timeline}) had, for {seconds:.2f} s"))  # fmt: skip
    owners: dict[int, set[str]] = {}
    for ack in acks:
        owners.setdefault(ack.timeline, set()).add(ack.node)
    found += [
        Problem("timeline", f"{' and '.join(sorted(nodes))} both acknowledged writes on timeline {timeline}")
        for timeline, nodes in owners.items() if len(nodes) > 1
    ]  # fmt: skip
    return found


def judge_overlap(sightings: Iterable[Sighting]) -> list[Problem]:
    """No two servers are out of recovery together for long. Only what is certain counts: a busy machine proves none."""
    certain: dict[tuple[str, str], tuple[float, float]] = {}
    for seen in sightings:
        begin, end = certain.get((seen.node, seen.started), (seen.ended, seen.begun))
        certain[seen.node, seen.started] = (min(begin, seen.ended), max(end, seen.begun))
    found = []
    for ((one, _), (begin, end)), ((other, _), (start, stop)) in combinations(certain.items(), 2):
        together = min(end, stop) - max(begin, start)
        if one != other and together > OVERLAP_SECONDS:
            found.append(Problem("overlap", f"{one} and {other} were both out of recovery for {together:.2f} s"))
    return found


def judge_copies(rows: Mapping[str, Set[int]], primary: str) -> list[Problem]:
    """Every standby has what the primary has, and nothing else."""
    return [
        Problem("diverged", f"{node} has {len(theirs - rows[primary])} rows that {primary} has not, "
                            f"and lacks {len(rows[primary] - theirs)}")
        for node, theirs in rows.items() if theirs != rows[primary]
    ]  # fmt: skip


def _covers(gap: Gap, lsn: Lsn) -> bool:
    """Whether a row whose server was there then can be within the gap."""
    return gap.begin.position <= lsn.position + _SLACK_BYTES and (gap.end is None or lsn <= gap.end)
