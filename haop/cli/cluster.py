"""up, restart, down, status: the cluster as a whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli import healing
from haop.cli.options import JsonOption, YesOption, confirm, node_argument, opened
from haop.cli.setup import warn_of_git
from haop.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from haop.operations.cluster import Cluster
    from haop.operations.status import Assessment


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(restart)
    app.command()(down)
    app.command()(status)


def up(
    ctx: typer.Context,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what haop.toml no longer names, its data included. Asks.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the cluster to what haop.toml and .env say, whatever is there, and verify its replication.

    From an empty folder: initialises the first node, makes roles and database, clones the others. Of a running cluster
    it changes what is not as asked for: settings, passwords, roles, the database, slots, nodes. What needs a restart is
    shown and asked for first; without a terminal and without --yes it is only named. What a drill or a switchover that
    was interrupted left is healed before anything else. At the end a token written on the primary has been replayed by
    every standby. Killed at any moment, the next one completes.

    \b
    Exit codes: 0 healthy, 1 failed on the way, 2 refused, 3 degraded, 4 no primary or two.

    \b
    Examples:
      haop up
      haop up --yes           restart, one node after the other, where a setting needs it
      haop up --prune         a node was taken out of haop.toml
    """
    from haop.cli.console import ERR, OUT
    from haop.cli.steps import Steps
    from haop.operations import dsn
    from haop.operations.up import up as operation

    cluster = opened(ctx, changing="up")
    if cluster.project.repository and not any(event.action == "up" for event in cluster.project.events()):
        warn_of_git(cluster.project)
    if not yes:
        healing.ask(cluster)
    if remark := cluster.runtime.remark:
        ERR.print(remark, style="dim", soft_wrap=True)
    assessment = operation(cluster, Steps(), _consent(yes=yes), prune=prune)
    show(cluster, assessment, as_json=as_json)
    if not as_json:
        target = dsn.target(cluster, read=False, network=False, show_password=False)
        OUT.print("connect (the password is DATABASE_PASSWORD in .env):", style="dim")
        OUT.print(f"  {dsn.libpq(target)}", soft_wrap=True, markup=False)


def _consent(*, yes: bool) -> "Callable[[Sequence[str]], bool]":
    """Shows what would be restarted or removed, and asks where there is somebody to ask."""
    import sys

    from haop.cli.console import ERR

    def consent(plan: "Sequence[str]") -> bool:
        asks = not yes and sys.stdin.isatty()
        for line in plan:
            if asks:  # what a question is about belongs to it: -q is not asked blindly
                typer.echo(f"  {line}", err=True)
            else:
                ERR.print(f"  {line}", markup=False, soft_wrap=True)
        return yes or (asks and typer.confirm("Do it now?", err=True))

    return consent


def restart(
    ctx: typer.Context,
    node: Annotated[str | None, node_argument("Only this one; default: all.", optional=True)] = None,
    rolling: Annotated[
        bool,
        typer.Option("--rolling", help="The standbys, a switchover, the old primary: no outage beyond a switchover's."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Restart a node, or all of them, as haop.toml says now.

    In place, a primary is away for as long as its stop and start take, and asks first. With --rolling another node is
    primary afterwards; settings that the primary must lower first are then lowered in place.

    \b
    Exit codes: 0 restarted, 1 a node did not come back, 2 refused, 4 the cluster is not steady.

    \b
    Examples:
      haop restart db2
      haop restart --rolling --yes
    """
    from haop.cli.steps import Steps
    from haop.operations import restart as operation
    from haop.operations.status import observe

    cluster = opened(ctx, changing="restart")
    if node and rolling:
        raise Refused("--rolling is for all nodes", hint="leave out either of them")
    if rolling:
        confirm("Restart the standbys, switch over, restart the old primary?", assume=yes)
        operation.rolling(cluster, Steps(), operation.prepare(cluster, Steps()))
    elif node:
        if operation.is_primary(cluster, node):
            confirm(f"Restart {node}, the primary, in its place? Clients lose it meanwhile.", assume=yes)
        operation.prepare(cluster, Steps())
        operation.one(cluster, node, Steps())
    else:
        confirm("Restart all nodes in their places? Clients lose them meanwhile.", assume=yes)
        operation.prepare(cluster, Steps())
        operation.everything(cluster, Steps())
    show(cluster, observe(cluster), as_json=as_json)


def down(
    ctx: typer.Context,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete all data as well. Asks.")] = False,
    yes: YesOption = False,
) -> None:
    """Stop the cluster cleanly: the primary first, the standbys, which receive its last WAL, last.

    \b
    Examples:
      haop down
      haop down --volumes --yes
    """
    from haop.cli.console import ERR, OUT
    from haop.cli.steps import Steps
    from haop.operations.down import down as operation

    cluster = opened(ctx, changing="down")
    kept = ", ".join(cluster.project.spec.adopted.values())
    if volumes:
        but = f", but not what was adopted ({kept})" if kept else ""
        confirm(f"Delete all data of cluster '{cluster.project.spec.name}'{but}?", assume=yes)
    stopped = operation(cluster, Steps(), volumes=volumes, say=lambda path: ERR.print(f"deleting {path}", style="dim"))
    OUT.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    if volumes and kept:
        OUT.print(f"kept, because haop did not make it: {kept}", soft_wrap=True)


def status(
    ctx: typer.Context,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew each second, until Ctrl-C.")] = False,
) -> None:
    """Show the cluster, its nodes, and what is wrong with them.

    \b
    Columns:
      Endpoint  where clients reach the node
      Role      what the server itself says: primary or standby
      State     running, streaming, not streaming, paused, stopped, fenced, fence broken, unreachable, absent
      TL, LSN   timeline; position written (primary) or replayed (standby)
      Lag       WAL not yet replayed, in bytes, and seconds behind; 0 s where all that was received is replayed
      Sync      async, or quorum: its confirmation counts for sync durability
      Slot      the node's replication slot on the primary, and the WAL that it retains

    \b
    Exit codes: 0 healthy, 3 degraded, 4 no primary or two.

    \b
    Examples:
      haop status --watch
      haop status --json | jq .primary
    """
    from haop.cli import console, tables
    from haop.operations.status import observe

    if watch and as_json:
        raise Refused("--watch is for people, --json is one answer", hint="leave out either of them")
    cluster = opened(ctx)
    if watch:
        from time import sleep

        from rich.live import Live

        with Live(console=console.OUT, auto_refresh=False) as live:
            while True:
                live.update(tables.status(cluster.project.spec, observe(cluster)), refresh=True)
                sleep(1)
    show(cluster, observe(cluster), as_json=as_json)


def show(cluster: "Cluster", assessment: "Assessment", *, as_json: bool) -> None:
    """Print an assessment; exit as its health says."""
    from haop.cli import console, tables
    from haop.model.health import Health

    spec = cluster.project.spec
    if as_json:
        console.print_json(tables.status_document(spec, assessment))
    else:
        console.OUT.print(tables.status(spec, assessment))
    code = {Health.HEALTHY: 0, Health.DEGRADED: 3}.get(assessment.health, 4)
    if code:
        raise typer.Exit(code)
