"""What `haop check` found, as a table or as JSON. Pure."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from haop.cli.fitting import Column, Fitting
from haop.cli.tables import findings_document
from haop.cli.text import seconds
from haop.model.checking import Checked, Contents, Outcome, Reading
from haop.model.spec import ClusterSpec
from haop.operations.status import Assessment

_STYLES = {Outcome.OK: "green", Outcome.DIFFERENT: "bold red", Outcome.NOT_COMPARED: "yellow", Outcome.SKIPPED: "cyan"}


def check(spec: ClusterSpec, checked: Checked) -> RenderableType:
    """A row for each check of each node, and what follows from all of them."""
    table = Fitting([
        Column("Check"), Column("Node"), Column("Outcome"), Column("Time", figures=True, left_out=1),
        Column("Evidence", folds=True),
    ])  # fmt: skip
    for row in checked.checks:
        time = (
            "" if row.seconds is None else f"{row.seconds * 1000:.0f} ms" if row.seconds < 1 else seconds(row.seconds)
        )
        table.add_row(row.check, row.node, Text(row.outcome, _STYLES[row.outcome]), time, Text(row.evidence))
    return Group(table, *_verdict(spec, checked))


def check_document(spec: ClusterSpec, checked: Checked) -> dict[str, Any]:
    """`haop check --json`: raw numbers; absent where unknown."""
    return {
        "schema": "haop.check/1",
        "cluster": spec.name,
        "at": checked.at.isoformat(timespec="milliseconds"),
        "outcome": str(checked.outcome),
        "primary": checked.primary,
        "findings": findings_document(checked.findings),
        "checks": [asdict(row) for row in checked.checks],
        "tables": [_table_document(reading) for reading in checked.readings],
    }


def unproved_document(spec: ClusterSpec, assessment: Assessment) -> dict[str, Any]:
    """The same where there is no primary to ask: what is wrong, and that nothing was proved."""
    return {
        "schema": "haop.check/1",
        "cluster": spec.name,
        "at": assessment.status.at.isoformat(timespec="milliseconds"),
        "outcome": str(Outcome.NOT_COMPARED),
        "primary": None,
        "findings": findings_document(assessment.findings),
        "checks": [],
        "tables": [],
    }


def _verdict(spec: ClusterSpec, checked: Checked) -> Iterator[Text]:
    counts = {outcome: sum(row.outcome is outcome for row in checked.checks) for outcome in Outcome}
    told = f"{counts[Outcome.DIFFERENT]} different, {counts[Outcome.NOT_COMPARED]} not compared"
    match checked.outcome:
        case Outcome.DIFFERENT:
            yield Text.assemble((spec.name, "bold"), ": ", ("differences found", "bold red"), f" ({told})")
        case Outcome.NOT_COMPARED:
            yield Text.assemble((spec.name, "bold"), ": ", ("not everything could be compared", "yellow"), f" ({told})")
        case _:
            yield Text.assemble((spec.name, "bold"), ": ", ("nothing differs", "bold green"))
    for hint in dict.fromkeys(row.hint for row in checked.checks if row.hint):
        yield Text(f"  hint: {hint}", "dim")


def _table_document(reading: Reading) -> dict[str, Any]:
    nodes = {
        node: {"rows": answer.rows, "checksum": answer.checksum}
        if isinstance(answer, Contents)
        else {"rows": None, "reason": answer.reason}
        for node, answer in reading.answers.items()
    }
    return {
        "database": reading.database,
        "schema": reading.table.schema,
        "table": reading.table.name,
        "lsn": str(reading.lsn) if reading.lsn else None,
        "nodes": nodes,
    }
