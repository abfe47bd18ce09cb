"""up, down, status: the cluster as a whole."""

from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli import healing
from haop.cli.options import JsonOption, YesOption, confirm, opened

if TYPE_CHECKING:
    from haop.operations.cluster import Cluster
    from haop.operations.status import Assessment


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Start the cluster, or bring back what is stopped, and verify its replication.

    From an empty folder: initialises the first node, makes roles and database, clones the others. On a running cluster
    it changes nothing. What a drill or a switchover that was interrupted left is healed first; on a terminal it asks
    before. At the end a token written on the primary has been replayed by every standby.

    \b
    Examples:
      haop up
    """
    from haop.cli.console import ERR, OUT
    from haop.cli.steps import Steps
    from haop.operations.up import up as operation

    cluster = opened(ctx)
    healing.ask(cluster)
    if remark := cluster.runtime.remark:
        ERR.print(remark, style="dim", soft_wrap=True)
    assessment = operation(cluster, Steps())
    show(cluster, assessment, as_json=as_json)
    if not as_json:
        spec = cluster.project.spec
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in spec.nodes)
        OUT.print("connect (the password is DATABASE_PASSWORD in .env):", style="dim")
        OUT.print(
            f"  postgresql://{spec.owner}@{hosts}/{spec.database}?target_session_attrs=read-write",
            soft_wrap=True,
        )


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

    cluster = opened(ctx)
    if volumes:
        confirm(f"Delete all data of cluster '{cluster.project.spec.name}'?", assume=yes)
    stopped = operation(cluster, Steps(), volumes=volumes, say=lambda path: ERR.print(f"deleting {path}", style="dim"))
    OUT.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


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
      State     running, streaming, not streaming, paused, stopped, fenced, unreachable, absent
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

    cluster = opened(ctx)
    if watch and not as_json:
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
