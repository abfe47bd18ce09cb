"""adopt: from a database that runs already to a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haop.cli.options import DryRunOption, JsonOption, YesOption, confirm, folder

if TYPE_CHECKING:
    from haop.model.adoption import Adoption
    from haop.operations.adopt import Begun


_BACK = "to go back, while db1 is the primary (else: haop switchover --to db1): haop down, then"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(adopt)


def adopt(
    ctx: typer.Context,
    container: Annotated[
        str, typer.Argument(metavar="CONTAINER", help="The container, its service in Compose, or its volume.")
    ],
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="The project's folder; default: a new one, NAME-ha.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The cluster's name; default: the folder's.")] = None,
    nodes: Annotated[int, typer.Option(min=2, max=9, help="How many nodes.")] = 2,
    first_port: Annotated[
        int | None, typer.Option(min=1024, max=65500, help="Port of db1; default: the one that clients use now.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The application's database; default: POSTGRES_DB, or the only one.")
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a running container with the official postgres image the first node of a cluster, its data where they are.

    Nothing is copied, nothing is deleted: the old container is stopped and kept, its volume becomes db1's. Shows the
    plan and asks first. Interrupted, the same command goes on. Exits 2 where it cannot, with every reason.

    \b
    Examples:
      haop adopt shop-db-1 --dry-run
      haop adopt db ha --nodes 3
      haop adopt shop_pgdata --yes --json
    """
    from haop.cli.console import ERR, OUT, print_json
    from haop.cli.steps import Steps
    from haop.model.adoption import Adoption
    from haop.operations import adopt as operation

    wishes = operation.Wishes(name=name, nodes=nodes, first_port=first_port, database=database)
    where, plan = operation.plan(container, folder(ctx), directory, wishes)
    if not as_json:
        for line in _described(plan) if isinstance(plan, Adoption) else _resumed(plan):
            OUT.print(line, soft_wrap=True, markup=False)
    finished = not isinstance(plan, Adoption) and plan.done
    if not (dry_run or finished):
        confirm(f"Stop {_name(plan)} and make it db1 of a cluster in {where}?", assume=yes)
        operation.execute(where, plan, Steps())
        finished = True
        ERR.print(f"adopted; from now on: cd {where} && haop status", soft_wrap=True)
    if as_json:
        print_json(_document(where, plan, done=finished))


def _name(plan: "Adoption | Begun") -> str:
    return plan.container if isinstance(plan.container, str) else plan.container.name


def _described(plan: "Adoption") -> list[str]:
    """The plan for people."""
    old, spec, taken = plan.container, plan.spec, plan.taken
    place = "a volume" if not taken.volume.startswith("/") else "a folder"
    where = f"{taken.before} becomes {taken.after} in it, a rename"
    nodes = ", ".join(f"{node.name} on 127.0.0.1:{node.port}" for node in spec.nodes)
    lines = [
        f"{old.name}: PostgreSQL {spec.postgres}, image {old.image}, {place}: {taken.volume}",
        f"cluster '{spec.name}': {nodes}; database {spec.database}, owner {spec.owner}",
        "",
        "haop will",
        f"  1. give passwords of .env to: {', '.join(account.name for account in plan.accounts) or 'nobody, all fit'}",
        f"  2. stop {old.name} and set its restart policy from {old.restart} to no; nothing else of it changes",
        f"  3. make {taken.volume} the volume of db1: {where}, nothing is copied",
        f"  4. start db1, make roles and slots, clone {', '.join(node.name for node in spec.nodes[1:])}, verify",
    ]
    if spec.parameters:
        carried = ", ".join(f"{key} = {value}" for key, value in spec.parameters.items())
        lines += ["", f"settings carried over: {carried}"]
    if plan.remarks:
        lines += ["", "to know"]
        lines += [f"  - {r.code}: {r.message}" + (f"\n      {r.hint}" if r.hint else "") for r in plan.remarks]
    return [
        *lines,
        "",
        _BACK,
        *(f"  {line}" for line in plan.undo),
        "",
    ]


def _resumed(plan: "Begun") -> list[str]:
    told = "was adopted already" if plan.done else "is being adopted: an earlier call was interrupted; this one goes on"
    return [f"{plan.container} {told}", _BACK, *(f"  {line}" for line in plan.undo), ""]


def _document(where: Path, plan: "Adoption | Begun", *, done: bool) -> dict[str, Any]:
    """The plan for programs. No secrets: they are in neither."""
    from dataclasses import asdict

    from haop.model.adoption import Adoption

    document: dict[str, Any] = {
        "schema": "haop.adopt/1", "container": _name(plan), "folder": str(where), "done": done,
        "volume": asdict(plan.taken), "undo": plan.undo,
    }  # fmt: skip
    if isinstance(plan, Adoption):
        spec = plan.spec
        document |= {
            "image": plan.container.image, "postgres": spec.postgres, "cluster": spec.name, "database": spec.database,
            "owner": spec.owner, "nodes": [{"name": node.name, "port": node.port} for node in spec.nodes],
            "parameters": dict(spec.parameters), "passwords": [account.name for account in plan.accounts],
            "remarks": [asdict(remark) for remark in plan.remarks],
        }  # fmt: skip
    return document
