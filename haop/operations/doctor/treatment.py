"""`haop doctor --fix`: examine, mend what may be mended, examine again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from haop.errors import HaopError
from haop.operations.doctor import fixes
from haop.operations.doctor.examination import Examination, examine
from haop.operations.doctor.fixes import Fix
from haop.project import Project


@dataclass(frozen=True, slots=True)
class Treated:
    """A fix, and how it ended: "done", "declined", or why it failed."""

    fix: Fix
    outcome: str


def treat(
    project: Project, examination: Examination, *, may: Callable[[Fix], bool], tell: Callable[[Treated], None]
) -> tuple[Examination, Sequence[Treated]]:
    """Apply every fix that `may` allows; returns what is left, and what was done. One that fails stops no other."""
    treated = []
    for fix in fixes.plan(project, examination.facts):
        treated.append(Treated(fix, _outcome(project, fix, may)))
        tell(treated[-1])
    return (examine(project) if treated else examination), treated


def _outcome(project: Project, fix: Fix, may: Callable[[Fix], bool]) -> str:
    if not may(fix):
        return "declined"
    try:
        fixes.apply(project, fix)
    except (HaopError, OSError) as problem:
        return f"failed: {problem}"
    return "done"
