"""drill: break something on purpose, and measure what the clients saw."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from haop.cli.options import JsonOption, YesOption, confirm, opened

if TYPE_CHECKING:
    from haop.drills.report import Report

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Break something on purpose, and measure what the clients saw.",
    epilog="\b\nExamples:\n  haop drill failover --yes\n",
)


@app.callback()
def group() -> None:
    """Break something on purpose, and measure what the clients saw."""


@app.command()
def failover(
    ctx: typer.Context,
    fault: Annotated[
        Literal["kill", "stop", "pause", "partition"],
        typer.Option(
            help="kill: a crash of the whole node; stop: a clean stop; pause: a hang; "
            "partition: cut off from clients and standbys (compose)."
        ),
    ] = "kill",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Break the primary under load; fence it, promote a standby, rejoin; report what the clients saw.

    Clients write and read through multi-host connection strings, each every 5 ms, into a schema of their own
    (haop_drill), which is dropped afterwards. Applications lose their connections to the old primary. Every
    acknowledged write is looked for on the new primary; the verdict holds the figures against [objectives].

    \b
    Exit codes: 0 passed, 3 an objective missed, 4 not run (the cluster is not healthy), 5 inconclusive.

    \b
    Examples:
      haop drill failover
      haop drill failover --fault pause --yes --json
    """
    from haop.cli.console import ERR
    from haop.cli.steps import Steps
    from haop.drills.drill import FailoverDrill
    from haop.drills.faults import Fault
    from haop.operations import heal

    cluster = opened(ctx, changing="drill failover")
    drill = FailoverDrill(cluster, Fault(fault), Steps())
    drill.require_steady_state()
    confirm(f"{fault.capitalize()} {drill.old_primary}, the primary of '{cluster.project.spec.name}'?", assume=yes)
    try:
        report = drill.run()
    except KeyboardInterrupt:
        if heal.read(cluster.project):
            ERR.print("\n[yellow]the drill had begun to break things; bring everything back: haop up[/yellow]")
        raise
    show(report, as_json=as_json)


def show(report: "Report", *, as_json: bool) -> None:
    """Print a report; exit as its verdict says."""
    from haop.cli import console, drill_report
    from haop.drills.verdict import Word

    if as_json:
        console.print_json(report.document())
    else:
        console.OUT.print(drill_report.report(report))
    code = {Word.PASSED: 0, Word.MISSED: 3, Word.INCONCLUSIVE: 5}[report.verdict.word]
    if code:
        raise typer.Exit(code)
