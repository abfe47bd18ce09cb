"""init, render: from nothing to files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from haop.cli.options import JsonOption, folder, opened

if TYPE_CHECKING:
    from haop.operations.initialise import Initialised
    from haop.project import Project


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(render)


def init(
    ctx: typer.Context,
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to make; default: this one.")] = Path(),
    name: Annotated[str | None, typer.Option(help="The cluster's name; default: the folder's.")] = None,
    nodes: Annotated[int, typer.Option(min=2, max=9, help="How many nodes.")] = 2,
    postgres: Annotated[
        int | None, typer.Option(min=15, max=18, help="Major version; default: the newest that is here.")
    ] = None,
    runtime: Annotated[
        Literal["compose", "local"] | None,
        typer.Option(help="What runs the nodes; default: compose where a Docker engine answers, else local."),
    ] = None,
    engine: Annotated[Literal["streaming"], typer.Option(help="What replicates.")] = "streaming",
    durability: Annotated[
        Literal["async", "sync"], typer.Option(help="sync: acknowledged once a standby has it too.")
    ] = "async",
    database: Annotated[str, typer.Option(help="The application's database, and the role that owns it.")] = "app",
    first_port: Annotated[
        int | None,
        typer.Option(min=1024, max=65500, help="Port of the first node; default: free ones from 5432 on."),
    ] = None,
    pg_bindir: Annotated[
        Path | None, typer.Option(help="Where PostgreSQL's programs are (or HAOP_PG_BINDIR); default: found.")
    ] = None,
) -> None:
    """Write a project: haop.toml, .env with random secrets, .gitignore, stack/. Overwrites nothing.

    \b
    Examples:
      haop init shop
      haop init shop --nodes 3 --durability sync --first-port 6000
      haop init shop --runtime local
    """
    from haop.cli.console import OUT
    from haop.operations.initialise import Wishes, initialise

    wishes = Wishes(
        name=name, nodes=nodes, postgres=postgres, runtime=runtime, engine=engine, durability=durability,
        database=database, first_port=first_port, bindir=str(pg_bindir.resolve()) if pg_bindir else None,
    )  # fmt: skip
    done = initialise(folder(ctx) / directory, wishes)
    if not done.made:
        OUT.print(f"{done.project.root} is a project already; nothing changed")
        return
    _tell(done)
    OUT.print("haop.toml is yours to edit; .env holds the passwords; next: " + _next(directory))


def _tell(done: "Initialised") -> None:
    from haop.cli.console import OUT

    root, spec = done.project.root, done.project.spec
    ports = ", ".join(f"{node.name} on {node.port}" for node in spec.nodes)
    OUT.print(f"{root}: cluster '{spec.name}', PostgreSQL {spec.postgres}, {spec.runtime}, {spec.durability}, {ports}")
    if done.why:
        OUT.print(f"runtime {spec.runtime}: {done.why}", soft_wrap=True)
    warn_of_git(done.project)


def render(
    ctx: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 3 with a diff when it is stale.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write stack/ as haop.toml says now. A file that was edited by hand is kept, and named.

    \b
    Exit codes: 0 fine, 2 a file was edited by hand, 3 stale (with --check).

    \b
    Examples:
      haop render --check
    """
    from haop.cli.console import OUT, print_json
    from haop.operations.render import compare, refresh, told

    cluster = opened(ctx, changing=None if check else "render")
    found = compare(cluster.project, cluster.stack()) if check else refresh(cluster)
    if as_json:
        print_json({"schema": "haop.render/1", "stale": found.stale and check, "changed": dict(found.diffs)})
    elif check:
        typer.echo("".join(found.diffs.values()) or "stack/ is up to date", nl=not found.stale)
    else:
        OUT.print(f"stack/: wrote {told(found.diffs)}" if found.stale else "stack/ is up to date")
    if check and found.stale:
        raise typer.Exit(3)


def warn_of_git(project: "Project") -> None:
    """What nobody expects of `git clean -x`; told by `init`, and by the first `up`."""
    from haop.cli.console import ERR

    if project.repository:
        holds = "passwords, certificates" + (", the databases themselves" if project.spec.runtime == "local" else "")
        ERR.print(f"{project.repository} is a git work tree: git clean -x would delete .env and .haop/ ({holds})",
                  style="yellow", markup=False, soft_wrap=True)  # fmt: skip
        ERR.print("  hint: git clean -fdx -e .env -e .haop; or keep both elsewhere, with a link to the repository's "
                  "haop.toml (docs/getting-started.md)", style="dim", markup=False, soft_wrap=True)  # fmt: skip


def _next(directory: Path) -> str:
    return "haop up" if directory == Path() else f"cd {directory} && haop up"
