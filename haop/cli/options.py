"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from typer.models import ArgumentInfo, OptionInfo

from haop.errors import Refused

if TYPE_CHECKING:
    from haop.operations.cluster import Cluster

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]


def node_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of nodes for the shell's completion; none where there is no project that can be read."""
    from haop import project

    try:
        spec = project.load(Path(ctx.find_root().params.get("folder") or Path())).spec
    except Exception:  # noqa: BLE001 - a shell that completes shows whatever is raised in the middle of the line
        return []
    return [node.name for node in spec.nodes if node.name.startswith(incomplete)]


def node_argument(told: str, *, optional: bool = False) -> ArgumentInfo:
    """A node by its name, which the shell completes."""
    metavar = "[NODE]" if optional else "NODE"
    return cast("ArgumentInfo", typer.Argument(metavar=metavar, help=told, autocompletion=node_names))


def node_option(told: str) -> OptionInfo:
    """The same as an option."""
    return cast("OptionInfo", typer.Option(metavar="NODE", help=told, autocompletion=node_names))


ToOption = Annotated[str | None, node_option("Promote this one; default: the most advanced.")]


def opened(ctx: typer.Context, *, changing: str | None = None, guarded: bool = False) -> "Cluster":
    """The cluster of the project around the working folder; what changes it, named by its command, has it alone.

    The guard does nothing meanwhile, unless `guarded`: then it goes on.

    Raises:
        Refused: another haop works on it.
    """
    from haop import project
    from haop.operations import lock, maintenance
    from haop.operations.cluster import Cluster

    found = project.load(folder(ctx))
    if changing:
        ctx.with_resource(lock.held(found, changing))
        if not guarded:
            ctx.with_resource(maintenance.told(found, changing))
    return Cluster.of(found)


def folder(ctx: typer.Context) -> Path:
    """The folder of the global option -C.

    Raises:
        Refused: there is no such folder.
    """
    path: Path = ctx.find_root().obj
    try:
        there = path.is_dir()
    except OSError as error:
        raise Refused(f"cannot look into {path}: {error.strerror}") from error
    if not there:
        raise Refused(f"there is no folder {path}")
    return path


def confirm(question: str, *, assume: bool) -> None:
    """Ask before harm is done.

    Raises:
        Refused: the answer was no, or there is nobody to ask.
    """
    import sys

    if assume:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is no terminal to ask.", hint="--yes")
    if not typer.confirm(question, err=True):
        raise Refused("not confirmed")
