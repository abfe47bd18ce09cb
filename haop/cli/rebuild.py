"""rebuild: discard a node's data and clone again."""

from typing import Annotated

import typer

from haop.cli.options import DryRunOption, JsonOption, YesOption, confirm, node_argument, opened


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    ctx: typer.Context,
    node: Annotated[str, node_argument("A standby, or a former primary. Not the primary.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Discard a node's data and clone the primary again. Asks.

    For a standby whose WAL the primary no longer has, for data that an interrupted rewind or a bad disk left unusable.
    Its data stay until the clone beside them is whole: where it fails, the node is as it was before. That needs room
    for both. WAL that only this node has is kept in .haop/salvage/.

    \b
    Exit codes: 0 it streams, 1 it failed, 2 refused (the primary; not confirmed), 4 no primary to clone.

    \b
    Examples:
      haop rebuild db2 --dry-run
      haop rebuild db2 --yes
    """
    from haop.cli.console import OUT, print_json
    from haop.cli.steps import Steps
    from haop.operations import rebuild as operation

    cluster = opened(ctx, changing=None if dry_run else f"rebuild {node}", guarded=True)
    plan = operation.plan(cluster, node)
    decision = None
    if not dry_run:
        confirm(f"{plan[0].upper()}{plan[1:]}. Go on?", assume=yes)
        decision = operation.execute(cluster, node, Steps())
    if as_json:
        print_json({
            "schema": "haop.rebuild/1", "done": not dry_run, "node": node, "plan": plan, "decision": decision,
        })  # fmt: skip
    else:
        OUT.print(f"would: {plan}" if dry_run else f"{node}: {decision}", soft_wrap=True)
