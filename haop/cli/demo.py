"""demo: the whole story in a temporary folder."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running, and say where it is.")] = False,
    runtime: Annotated[
        Literal["local", "compose"], typer.Option(help="local: needs no Docker; compose: the same in containers.")
    ] = "local",
) -> None:
    """Watch a real primary die under load and its standby take over, in a temporary folder on free ports.

    init, up, status, drill failover, events, down. Nothing is left.

    \b
    Examples:
      haop demo --keep
      haop demo --runtime compose
    """
    from haop.cli import cluster, drill, history, setup
    from haop.cli.console import OUT

    def tell(command: str) -> typer.Context:
        OUT.print(f"\n[bold]$ haop {command}[/bold]")
        return typer.Context(ctx.command, parent=ctx)  # what a command holds ends with it

    with _folder(keep=keep) as folder:
        ctx.find_root().obj = folder
        name = "shop" if runtime == "local" else f"shop-demo-{os.getpid()}"
        with (step := tell(f"init {name} --runtime {runtime} --durability sync")):
            setup.init(step, Path(), name=name, runtime=runtime, durability="sync", database="shop")
        try:
            with (step := tell("up")):
                cluster.up(step)
            with (step := tell("status")):
                cluster.status(step)
            with (step := tell("drill failover --yes")):
                drill.failover(step, yes=True)
            with (step := tell("events")):
                history.events(step)
        finally:
            if not keep:
                with (step := tell("down --volumes --yes")):
                    cluster.down(step, volumes=True, yes=True)
    if keep:
        OUT.print(f"\nthe cluster runs in {folder}; when you are done: haop -C {folder} down --volumes")


@contextmanager
def _folder(*, keep: bool) -> Iterator[Path]:
    """A folder that the servers' user can enter."""
    folder = Path(tempfile.mkdtemp(prefix="haop-demo-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)
