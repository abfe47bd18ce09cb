"""One drill after another, and what they have in common."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault
from haop.drills.report import Report
from haop.drills.verdict import Word
from haop.errors import DeadlineExceeded
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.waiting import wait_until

SCHEMA = "haop.drill.repeat/1"
STEADY_SECONDS = 60.0
FIGURES = ("write_recovery_seconds", "read_recovery_seconds", "redundancy_seconds")


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of several drills, by nearest rank. None is what was never measured, and counts as the worst."""

    p50: float | None
    p95: float | None
    max: float | None


def spread(figures: Sequence[float | None]) -> Spread:
    """The median, the 95th percentile, the greatest.

    >>> spread([0.3, 0.1, 0.2])
    Spread(p50=0.2, p95=0.3, max=0.3)
    >>> spread([0.1, 0.2, None])
    Spread(p50=0.2, p95=None, max=None)
    """
    measured = sorted(figure for figure in figures if figure is not None)
    ordered = [*measured, *(None for figure in figures if figure is None)]

    def rank(share: float) -> float | None:
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None

    return Spread(rank(0.5), rank(0.95), rank(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Drills in a row."""

    fault: str
    wanted: int
    reports: tuple[Report, ...]
    stopped: str | None = None  # why there are fewer than wanted

    @property
    def lost(self) -> int:
        """Acknowledged writes that are lost, of all drills."""
        return sum(len(report.measured.lost) for report in self.reports)

    @property
    def worst(self) -> Word:
        """An objective that was missed is certain; what could not be measured may have been."""
        words = {report.verdict.word for report in self.reports}
        return next((word for word in (Word.MISSED, Word.INCONCLUSIVE) if word in words), Word.PASSED)

    def spread(self, figure: str) -> Spread:
        """Of one of `FIGURES`."""
        return spread([getattr(report.measured, figure) for report in self.reports])

    def document(self) -> dict[str, Any]:
        """As JSON has it; the whole report of each drill is `haop drill show ID --json`."""
        spreads = {figure: self.spread(figure) for figure in FIGURES}
        return {
            "schema": SCHEMA,
            "fault": self.fault,
            "wanted": self.wanted,
            "verdict": str(self.worst) if self.reports else None,
            "stopped": self.stopped,
            **{figure: {"p50": s.p50, "p95": s.p95, "max": s.max} for figure, s in spreads.items()},
            "lost_writes": self.lost,
            "drills": [_summary(report) for report in self.reports],
        }


def drills(cluster: Cluster, fault: Fault, times: int, progress: Progress) -> Iterator[Report]:
    """Run so many drills; each begins when the cluster is steady again.

    Raises:
        NoPrimary: it did not become so within a minute; that drill was not run.
    """
    for number in range(1, times + 1):
        if number > 1:
            with suppress(DeadlineExceeded):  # the drill's own gate says why
                wait_until(lambda: _steady(cluster), deadline=STEADY_SECONDS, pause=0.1, waiting_for="a steady state")
        with progress.step(f"drill {number} of {times}") as say:
            report = FailoverDrill(cluster, fault, _Within(say)).run()
        yield report


def _steady(cluster: Cluster) -> bool:
    return status.disturbance(cluster, status.observe(cluster)) is None


def _summary(report: Report) -> dict[str, Any]:
    measured = report.measured
    return {
        "id": report.id,
        "verdict": str(report.verdict.word),
        "reasons": list(report.verdict.reasons),
        "old_primary": report.old_primary,
        "new_primary": report.new_primary,
        **{figure: getattr(measured, figure) for figure in FIGURES},
        "lost_writes": len(measured.lost),
    }


class _Within:
    """A drill's steps as the details of one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """Tell that it begins."""
        self._say(title)
        return nullcontext(self._say)
