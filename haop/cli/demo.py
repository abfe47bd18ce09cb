"""demo: the whole story in a temporary folder."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from haop.errors import Degraded, Refused

if TYPE_CHECKING:
    from haop.operations.demo_web import Pages


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    ctx: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster running, and say where it is.")] = False,
    runtime: Annotated[
        Literal["local", "compose"], typer.Option(help="local: needs no Docker; compose: the same in containers.")
    ] = "local",
    web: Annotated[
        bool, typer.Option("--web", help="Beside it an application (Django, gunicorn), read all the time. Local only.")
    ] = False,
) -> None:
    """Watch a real primary die under load and its standby take over, in a temporary folder on free ports.

    init, up, status, drill failover, events, down. Nothing is left. With --web a page that failed to be read ends it
    with exit code 3.

    \b
    Examples:
      haop demo --keep
      haop demo --web
      haop demo --runtime compose
    """
    from haop.cli import cluster, drill, history, setup
    from haop.cli.console import OUT

    tell = partial(_begin, ctx)
    if web:
        _require_web(runtime)
    with _folder(keep=keep) as folder:
        ctx.find_root().obj = folder
        name = "shop" if runtime == "local" else f"shop-demo-{os.getpid()}"
        with (step := tell(f"init {name} --runtime {runtime} --durability sync")):
            setup.init(step, Path(), name=name, runtime=runtime, durability="sync", database="shop")
        kept = [f"haop -C {shlex.quote(str(folder))} down --volumes"]
        try:
            with (step := tell("up")):
                cluster.up(step)
            with (step := tell("status")):
                cluster.status(step)
            with _application(ctx, kept.insert, keep=keep) if web else nullcontext():
                with (step := tell("drill failover --yes")):
                    drill.failover(step, yes=True)
                with (step := tell("events")):
                    history.events(step)
        finally:
            if not keep:
                with (step := tell("down --volumes --yes")):
                    cluster.down(step, volumes=True, yes=True)
            else:
                OUT.print(f"\nthe cluster runs in {folder}; when you are done: {'; '.join(kept)}", soft_wrap=True)


def _begin(ctx: typer.Context, command: str) -> typer.Context:
    from haop.cli.console import OUT

    OUT.print(f"\n[bold]$ haop {command}[/bold]")
    return typer.Context(ctx.command, parent=ctx)  # what a command holds ends with it


def _require_web(runtime: str) -> None:
    from haop.operations import demo_web

    if runtime != "local":
        raise Refused(
            "--web is for the runtime local", hint="in a stack of containers, a [web] that names no image is the same"
        )
    demo_web.require()


@contextmanager
def _application(ctx: typer.Context, keeps: Callable[[int, str], None], *, keep: bool) -> Iterator[None]:
    """It serves pages while this is open; with `keep` also afterwards, and how to end it is told."""
    from haop.cli.console import OUT
    from haop.cli.options import opened
    from haop.cli.steps import Steps
    from haop.operations import demo_web

    found, steps = opened(ctx), Steps()
    OUT.print("\n[bold]the application[/bold]")
    with steps.step("tables and items"):
        demo_web.prepare(found)
    with steps.step("start"):
        site = demo_web.start(found)
    OUT.print(f"{site.url}live/ shows which database answers what", markup=False)
    try:
        with demo_web.asked(site) as pages:
            yield
    finally:
        if keep:
            keeps(0, f"kill {site.pid}")
        else:
            demo_web.end(site)
        _tell(pages)
    if pages.failed:
        raise Degraded(f"{pages.failed} of {pages.asked} pages could not be read; the first: {pages.problem}")


def _tell(pages: "Pages") -> None:
    from haop.cli.console import OUT

    OUT.print(f"\n{pages.asked} pages were asked for meanwhile; {pages.failed} failed, the slowest took "
              f"{pages.slowest_seconds:.2f} s", markup=False)  # fmt: skip


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
