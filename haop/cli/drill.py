"""drill: break something on purpose, and measure what the clients saw."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from haop.cli import drill_past, healing
from haop.cli.options import JsonOption, YesOption, confirm, opened

if TYPE_CHECKING:
    from haop.drills.drill import FailoverDrill
    from haop.drills.faults import Fault
    from haop.drills.report import Report
    from haop.drills.verdict import Word
    from haop.operations.cluster import Cluster

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Break something on purpose, and measure what the clients saw.",
    epilog="\b\nExamples:\n  haop drill failover --yes\n  haop drill show last\n",
)


@app.callback()
def group() -> None:
    """Break something on purpose, and measure what the clients saw."""


@app.command()
def failover(
    ctx: typer.Context,
    fault: Annotated[
        Literal["kill", "stop", "pause", "partition"],
        typer.Option(help="How the primary fails; haop drill list tells of each."),
    ] = "kill",
    repeat: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many drills in a row: p50, p95 and max of their figures.")
    ] = 1,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Break the primary under load; fence it, promote a standby, rejoin; report what the clients saw.

    Clients write and read through multi-host connection strings, each every 5 ms, into a schema of their own
    (haop_drill), which is dropped afterwards. Applications lose their connections to the old primary. Every
    acknowledged write is looked for on the new primary; the verdict holds the figures against [objectives].

    With --repeat the primaries alternate. It stops at the first drill that cannot run because the cluster is not steady
    within a minute; after that, and after Ctrl-C, it shows what was measured. The worst verdict decides the exit code.

    Interrupted before anything was broken, a drill leaves nothing; later, it says so, and haop drill heal brings
    everything back. One that is open is healed first, after asking (--yes: without).

    \b
    Exit codes: 0 passed, 3 an objective missed, 4 not run (the cluster is not steady), 5 inconclusive.

    \b
    Examples:
      haop drill failover
      haop drill failover --fault pause --yes --json
      haop drill failover --repeat 20 --yes
    """
    from haop.drills.faults import Fault

    cluster = opened(ctx, changing="drill failover", guarded=True)
    healing.heal_first(cluster, assume=yes)
    drill = _confirmed(cluster, Fault(fault), repeat, assume=yes)
    try:
        if repeat > 1:
            _repeat(cluster, Fault(fault), repeat, as_json=as_json)
        else:
            show(drill.run(), as_json=as_json)
    finally:
        healing.remind(cluster)


def _confirmed(cluster: "Cluster", fault: "Fault", repeat: int, *, assume: bool) -> "FailoverDrill":
    """The drill that is going to be run, once the cluster is steady and the operator has agreed."""
    from haop.cli.steps import Steps
    from haop.drills.drill import FailoverDrill

    drill = FailoverDrill(cluster, fault, Steps())
    drill.require_steady_state()
    told = f", {repeat} drills in a row" if repeat > 1 else ""
    name = cluster.project.spec.name
    confirm(f"{fault.capitalize()} {drill.old_primary}, the primary of '{name}'{told}?", assume=assume)
    return drill


@app.command()
def heal(ctx: typer.Context, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Bring everything back after a drill that was interrupted: Ctrl-C, a closed terminal, SIGKILL, at any moment.

    Networks mended, processes resumed, one primary (the old one, unless a standby was promoted already, so that no row
    is lost), every standby streams, the drill's schema dropped on every node. It is what haop up does where something
    is open. Interrupted itself, it is run again.

    \b
    Exit codes: 0 healed, or nothing was open; 1 failed on the way; 2 not confirmed; 4 no node may be primary.

    \b
    Examples:
      haop drill heal
      haop drill heal --yes --json
    """
    from haop.cli import console
    from haop.operations import heal as operation

    cluster, primary = opened(ctx, changing="drill heal"), None
    if record := operation.read(cluster.project):
        confirm(f"Interrupted: {record.told}. Bring everything back?", assume=yes)
        primary = healing.run(cluster)
    if as_json:
        found = {"action": record.action, "node": record.node, "at": record.at} if record else None
        console.print_json({"schema": "haop.drill.heal/1", "healed": found, "primary": primary})
    elif record:
        console.OUT.print(f"healed: {record.told}; {primary} is primary, every standby streams", markup=False)
    else:
        console.OUT.print("nothing is open")


drill_past.register(app)


def show(report: "Report", *, as_json: bool) -> None:
    """Print a report; exit as its verdict says."""
    from haop.cli import console, drill_report

    if as_json:
        console.print_json(report.document())
    else:
        console.OUT.print(drill_report.report(report))
    _exit(report.verdict.word)


def _repeat(cluster: "Cluster", fault: "Fault", times: int, *, as_json: bool) -> None:
    from haop.cli.steps import Steps
    from haop.drills.repeat import drills
    from haop.errors import HaopError

    reports: list[Report] = []
    try:
        reports.extend(drills(cluster, fault, times, Steps()))
    except (HaopError, KeyboardInterrupt) as error:
        stopped = error.message if isinstance(error, HaopError) else "interrupted"
        _show_series(fault, times, reports, as_json=as_json, stopped=stopped)
        raise
    _exit(_show_series(fault, times, reports, as_json=as_json))


def _show_series(
    fault: "Fault", times: int, reports: "list[Report]", *, as_json: bool, stopped: str | None = None
) -> "Word":
    from haop.cli import console, drill_report
    from haop.drills.repeat import Series

    series = Series(fault=str(fault), wanted=times, reports=tuple(reports), stopped=stopped)
    if as_json:
        console.print_json(series.document())
    elif reports:
        console.OUT.print(drill_report.series(series))
    return series.worst


def _exit(word: "Word") -> None:
    from haop.drills.verdict import Word

    if code := {Word.PASSED: 0, Word.MISSED: 3, Word.INCONCLUSIVE: 5}[word]:
        raise typer.Exit(code)
