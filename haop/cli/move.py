"""switchover, failover, rejoin: move the primary by hand."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from haop.cli.options import DryRunOption, JsonOption, ToOption, YesOption, confirm, node_argument, opened

if TYPE_CHECKING:
    from haop.engines.base import Note, Promotion, Salvage


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(switchover)
    app.command()(failover)
    app.command()(rejoin)


def switchover(
    ctx: typer.Context,
    to: ToOption = None,
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
        operation.execute(cluster, plan, Steps(), lambda *_: None)
    if as_json:
        print_json({
            "schema": "haop.switchover/1", "done": not dry_run, "old_primary": plan.old, "new_primary": plan.new,
        })  # fmt: skip
    else:
        OUT.print(f"would {told}" if dry_run else f"{plan.new} is primary, {plan.old} follows it")


def failover(
    ctx: typer.Context,
    to: ToOption = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Promote, though acknowledged writes may be missing afterwards.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """The primary is gone: fence it, salvage what only it has, then promote the most advanced standby.

    Refused while a primary answers. What the dead primary has in its WAL and the standby lacks is replayed first, where
    its disk can be read; a standby that this makes as advanced is promoted where it is primary much sooner. A node that
    is fenced does not start again until: haop rejoin NODE. Where it alone has data that are left, --to NODE
    --accept-loss makes it primary again, without what others had since.

    \b
    Exit codes: 0 promoted, 1 fenced but nothing promoted (the message says why), 2 a primary answers or writes may be
    lost, 3 promoted and WAL is missing (it says from where to where), 4 no standby answers.

    \b
    Examples:
      haop failover --dry-run
      haop failover --to db2 --yes
    """
    from haop.cli.console import OUT, print_json
    from haop.operations import failover as operation

    cluster = opened(ctx, changing=None if dry_run else "failover")
    plan = operation.plan(cluster, to, accept_loss=accept_loss)
    told = _planned(plan)
    if not dry_run:
        confirm(f"{told[0].upper()}{told[1:]}?", assume=yes)
        plan = operation.execute(cluster, to, _teller(), accept_loss=accept_loss)
    if as_json:
        print_json({
            "schema": "haop.failover/1", "done": not dry_run, "new_primary": plan.node, "fence": plan.fence,
            "old_primary": plan.fence[0] if len(plan.fence) == 1 else None,
            "salvaged": [_salvage(each) for each in plan.salvaged],
        })  # fmt: skip
    else:
        lines = [each.told for each in plan.salvaged] + [f"bring {n} back: haop rejoin {n}" for n in plan.fence]
        for line in [f"would {told}"] if dry_run else [f"{plan.node} is primary", *lines]:
            OUT.print(line, soft_wrap=True)
    if not all(each.complete for each in plan.salvaged):
        raise typer.Exit(3)


def _planned(plan: "Promotion") -> str:
    if plan.again:
        return f"make {plan.node} primary again, without what others had since"
    whom = f"{plan.rather}, or {plan.node} where salvage leaves that one behind" if plan.rather else plan.node
    return f"fence {', '.join(plan.fence) or 'nothing'}, then promote {whom}"


def _salvage(found: "Salvage") -> dict[str, object]:
    return {
        "node": found.node, "from_lsn": str(found.begin), "to_lsn": str(found.reached), "bytes": found.bytes,
        "seconds": found.seconds, "complete": found.complete, "missing_bytes": found.missing_bytes,
        "missing_from_lsn": None if found.complete else str(found.reached),
        "missing_to_lsn": None if found.complete or not found.end else str(found.end), "trouble": found.trouble,
    }  # fmt: skip


def rejoin(
    ctx: typer.Context,
    node: Annotated[str, node_argument("A former primary, or a standby that cannot follow.")],
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
        if plan.rewinds:
            confirm(f"{plan}. Go on?", assume=yes)
        decision = operation.execute(cluster, node, _teller())
    if as_json:
        print_json({
            "schema": "haop.rejoin/1", "done": not dry_run, "node": node, "plan": str(plan), "decision": decision,
        })  # fmt: skip
    else:
        OUT.print(f"would: {plan}" if dry_run else f"{node}: {decision}", soft_wrap=True)


def _teller() -> "Note":
    """Tells on standard error what has just happened, and how long after the beginning."""
    from haop.cli.console import ERR

    begun = time.monotonic()

    def tell(event: str, node: str) -> None:
        ERR.print(f"[dim]+{time.monotonic() - begun:.2f}[/dim] {node} {event}")

    return tell
