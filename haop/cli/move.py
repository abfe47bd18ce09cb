"""switchover, failover, rejoin: move the primary by hand."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import DryRunOption, JsonOption, YesOption, confirm, node_names, opened

if TYPE_CHECKING:
    from haop.engines.base import Note


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(switchover)
    app.command()(failover)
    app.command()(rejoin)


def switchover(
    ctx: typer.Context,
    to: Annotated[
        str | None, typer.Option(metavar="NODE", help="Promote this one; default: the most advanced.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move the primary on purpose, losing nothing: a standby catches up, the primary stops cleanly and follows it.

    Clients lose their connections to the old primary, and writes fail for about as long as its clean stop takes. Where
    the standby does not make it, the old primary is put back.

    \b
    Exit codes: 0 done, 1 put back (the message says why), 2 refused, 4 the cluster is not steady.

    \b
    Examples:
      haop switchover --dry-run
      haop switchover --to db2 --yes
    """
    from haop.cli.console import OUT, print_json
    from haop.cli.steps import Steps
    from haop.operations import switchover as operation

    cluster = opened(ctx, changing=None if dry_run else "switchover")
    plan = operation.plan(cluster, to)
    told = f"stop {plan.old}, promote {plan.new}, let {plan.old} follow it"
    if not dry_run:
        confirm(f"{told[0].upper()}{told[1:]}?", assume=yes)
        operation.execute(cluster, plan, Steps(), _teller(show=False))
    if as_json:
        print_json({"schema": "haop.switchover/1", "from": plan.old, "to": plan.new, "done": not dry_run})
    else:
        OUT.print(f"would {told}" if dry_run else f"{plan.new} is primary, {plan.old} follows it")


def failover(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="Promote this one; default: the most advanced.", autocompletion=node_names),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """The primary is gone: fence it, then promote the most advanced standby.

    Refused while a primary answers. A node that is fenced does not start again until: haop rejoin NODE.

    \b
    Exit codes: 0 promoted, 2 a primary answers, 4 no standby does.

    \b
    Examples:
      haop failover --dry-run
      haop failover --to db2 --yes
    """
    from haop.cli.console import OUT, print_json
    from haop.operations import failover as operation

    cluster = opened(ctx, changing=None if dry_run else "failover")
    plan = operation.plan(cluster, to)
    told = f"fence {', '.join(plan.fence) or 'nothing'}, then promote {plan.node}"
    if not dry_run:
        confirm(f"{told[0].upper()}{told[1:]}?", assume=yes)
        plan = operation.execute(cluster, plan.node, _teller(show=not as_json))
    if as_json:
        print_json({"schema": "haop.failover/1", "fence": plan.fence, "promote": plan.node, "done": not dry_run})
    elif dry_run:
        OUT.print(f"would {told}")
    else:
        OUT.print(f"{plan.node} is primary; bring the others back: haop rejoin {' '.join(plan.fence)}".rstrip())


def rejoin(
    ctx: typer.Context,
    node: Annotated[
        str,
        typer.Argument(
            metavar="NODE", help="A former primary, or a standby that cannot follow.", autocompletion=node_names
        ),
    ],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a node a standby of the primary: it follows where it can, else what only it has written is rewound.

    The WAL that a rewind discards is kept in .haop/salvage/. Where neither can help, it says that a rebuild is needed:
    haop rebuild NODE.

    \b
    Exit codes: 0 it streams, 2 it is the primary, 4 there is nothing to follow.

    \b
    Examples:
      haop rejoin db1
    """
    from haop.cli.console import OUT, print_json
    from haop.operations import rejoin as operation

    cluster = opened(ctx, changing=None if dry_run else f"rejoin {node}")
    plan = operation.plan(cluster, node)
    decision = None
    if not dry_run:
        if "rewound" in plan:
            confirm(f"{plan}. Go on?", assume=yes)
        decision = operation.execute(cluster, node, _teller(show=not as_json))
    if as_json:
        print_json({"schema": "haop.rejoin/1", "node": node, "plan": plan, "decision": decision})
    else:
        OUT.print(f"would: {plan}" if dry_run else f"{node}: {decision}", soft_wrap=True)


def _teller(*, show: bool) -> "Note":
    from haop.cli.console import ERR

    begun = time.monotonic()

    def tell(event: str, node: str) -> None:
        if show:
            ERR.print(f"[dim]+{time.monotonic() - begun:.2f}[/dim] {node} {event}")

    return tell
