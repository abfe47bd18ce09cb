"""An examination becomes what rich draws, or JSON. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from haop.cli.tables import STYLES, findings_document
from haop.model.diagnosis import Diagnosis, Gap, Outcome
from haop.model.health import Finding, Health, Severity
from haop.operations.doctor.examination import Examination
from haop.operations.doctor.treatment import Treated


def exit_code(examination: Examination) -> int:
    """4 without exactly one primary, 3 with errors, else 0."""
    if examination.health in {Health.NO_PRIMARY, Health.TWO_PRIMARIES}:
        return 4
    return 3 if examination.count(Severity.ERROR) else 0


def report(examination: Examination) -> RenderableType:
    """Findings, the worst first; the count; why something was not examined."""
    why = {diagnosis.code: diagnosis.why for diagnosis in examination.diagnoses}
    width = max((len(finding.code) for finding in examination.findings), default=0)
    table = Table.grid(padding=(0, 1))
    for finding in examination.findings:
        told = _finding(finding, why.pop(finding.code, None), width)
        table.add_row(Text(str(finding.severity), STYLES[finding.severity]), told)
    found = [table] if examination.findings else []
    return Group(*found, _summary(examination), *_gaps(examination))


def treated(done: Treated) -> Text:
    """A line for each fix."""
    style = {"done": "green", "declined": "yellow"}.get(done.outcome, "red")
    why_not = " (asks, and nobody is there: --yes)" if done.outcome == "declined" else ""
    return Text.assemble("fix  ", done.fix.title, ": ", (f"{done.outcome}{why_not}", style))


def document(examination: Examination, done: Sequence[Treated]) -> dict[str, Any]:
    """`haop doctor --json`: what haop status finds, then every check, whatever its outcome."""
    assessment = examination.facts.assessment
    return {
        "schema": "haop.doctor/1",
        "cluster": examination.facts.spec.name,
        "health": str(examination.health) if examination.health else None,
        "errors": examination.count(Severity.ERROR),
        "warnings": examination.count(Severity.WARNING),
        "passed": len(examination.ended(Outcome.PASSED)),
        "not_examined": len(examination.ended(Outcome.NOT_EXAMINED)),
        "fixes": [{"code": t.fix.code, "node": t.fix.node, "did": t.fix.title, "outcome": t.outcome} for t in done],
        "findings": [] if isinstance(assessment, Gap) else findings_document(assessment.findings),
        "checks": [_check(diagnosis) for diagnosis in examination.diagnoses],
    }


def _check(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "code": diagnosis.code,
        "group": str(diagnosis.group),
        "title": diagnosis.title,
        "outcome": str(diagnosis.outcome),
        "why": diagnosis.why,
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "not_examined": list(diagnosis.gaps),
    }


def _finding(finding: Finding, why: str | None, width: int) -> Text:
    """The reason is told once for each code."""
    text = Text.assemble((f"{finding.code:{width}}  ", "bold"), finding.message)
    if why:
        text.append(f"\nwhy  {why}", "dim")
    if finding.hint:
        text.append("\nfix  ", "bold").append(finding.hint, "")
    return text


def _gaps(examination: Examination) -> Iterator[RenderableType]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for diagnosis in examination.diagnoses:
        for gap in diagnosis.gaps:
            reasons[gap].append(diagnosis.code)
    for reason, codes in reasons.items():
        which = ", ".join(codes) if len(codes) <= 4 else _counted(len(codes), "check")
        yield Text.assemble(f"  {reason} ", (f"({which})", "dim"))


def _summary(examination: Examination) -> Text:
    errors, warnings = examination.count(Severity.ERROR), examination.count(Severity.WARNING)
    skipped = examination.ended(Outcome.NOT_EXAMINED)
    gaps = any(diagnosis.gaps for diagnosis in examination.diagnoses)
    told = f"; {len(skipped)} not examined{' because' if skipped else ' at all; but not everywhere'}:" if gaps else ""
    style = "bold red" if errors else "bold yellow" if warnings or skipped else "bold green"
    return Text.assemble(
        (f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}", style),
        f"; {_counted(len(examination.ended(Outcome.PASSED)), 'check')} passed{told}",
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
