"""drill list, history, show: what can be broken, and what was."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import JsonOption, folder, opened

if TYPE_CHECKING:
    from haop.drills.past import History
    from haop.drills.report import Report


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_faults)
    app.command()(history)
    app.command()(show)


def list_faults(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """What can be broken here, what each fault rehearses, and what a drill with it shows.

    Every drill measures how long writes and reads failed, when redundancy was back, and which acknowledged writes are
    lost.

    \b
    Columns:
      Fault      for --fault
      Does       what it does to the primary
      Rehearses  what happens like this in real life
      Shows      what to look for in the report, beside the figures of every drill

    \b
    Examples:
      haop drill list
    """
    from dataclasses import asdict

    from haop.cli import console, drill_report
    from haop.drills import faults

    cluster = opened(ctx)
    reasons = {fault: faults.obstacle(cluster, fault) for fault in faults.Fault}
    if as_json:
        listed = [
            {"drill": "failover", "fault": str(fault), **asdict(faults.CATALOG[fault]), "available": not reason,
             "reason": reason}
            for fault, reason in reasons.items()
        ]  # fmt: skip
        console.print_json({"schema": "haop.drill.list/1", "faults": listed})
    else:
        console.OUT.print(drill_report.faults(reasons))


def history(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """The drills that were run to their end, newest first. A file that holds no report is named, and passed over.

    \b
    Columns:
      Id               for: haop drill show ID; it begins with the time in UTC
      When             in local time
      Fault            what the primary failed by, and which node that was
      Verdict          passed, missed (an objective), inconclusive (could not be measured)
      Writes failed    from the fault to the first write that lasted
      Pages failed     the same for pages of the application that write, else that read; where a drill asked for some
      Lost             acknowledged writes that are gone, of how many

    \b
    Examples:
      haop drill history
      haop drill history --json | jq '.drills[].write_recovery_seconds'
    """
    from haop import project
    from haop.cli import console, drill_report
    from haop.drills import past

    found = past.history(project.load(folder(ctx)))
    if as_json:
        console.print_json(_document(found))
        return
    console.OUT.print(drill_report.history(found.reports) if found.reports else "no drill was run to its end here")
    for path, reason in found.damaged.items():
        console.ERR.print(f"passed over: {path}: {reason}", style="yellow", markup=False, soft_wrap=True)


def show(
    ctx: typer.Context,
    drill: Annotated[str, typer.Argument(metavar="ID", help="The id, its beginning, or: last.")],
    as_json: JsonOption = False,
) -> None:
    """Show the report of a past drill as it was shown then.

    \b
    Exit codes: 0 shown, whatever the verdict was; 1 the file is damaged; 2 there is no such drill.

    \b
    Examples:
      haop drill show last
      haop drill show 20260131T0915 --json
    """
    import json

    from haop import project
    from haop.cli import console, drill_report
    from haop.drills import past

    path = past.find(project.load(folder(ctx)), drill)
    report = past.load(path)
    if as_json:
        console.print_json(json.loads(path.read_text(encoding="utf-8")))
    else:
        console.OUT.print(drill_report.report(report))


def _document(found: "History") -> dict[str, object]:
    return {
        "schema": "haop.drill.history/1",
        "drills": [_row(report) for report in found.reports],
        "damaged": [{"file": str(path), "reason": reason} for path, reason in found.damaged.items()],
    }


def _row(report: "Report") -> dict[str, object]:
    seen = report.application
    return {
        "id": report.id,
        "at": report.at.isoformat(timespec="milliseconds"),
        "fault": report.fault,
        "old_primary": report.old_primary,
        "new_primary": report.new_primary,
        "verdict": str(report.verdict.word),
        "write_recovery_seconds": report.measured.write_recovery_seconds,
        "application_write_recovery_seconds": seen.write_recovery_seconds if seen else None,
        "application_read_recovery_seconds": seen.read_recovery_seconds if seen else None,
        "acknowledged_writes": report.measured.acknowledged_writes,
        "lost_writes": len(report.measured.lost),
    }
