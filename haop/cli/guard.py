"""guard: automatic failover on one machine."""

from typing import Annotated

import typer

from haop.cli.options import JsonOption, opened

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Replace a primary that is gone, by itself, and bring the old one back as a standby.",
    epilog="\b\nExamples:\n  haop guard status\n  haop guard pause --for 30m --why 'kernel update'\n",
)


@app.command()
def run(ctx: typer.Context) -> None:
    """Watch the cluster in the foreground, until Ctrl-C or SIGTERM. `haop up` starts it in the background.

    \b
    Exit codes: 0 ended, 2 another guard watches this cluster.

    \b
    Examples:
      haop guard run
    """
    import logging
    import signal
    import threading

    from haop.guard.guard import Guard
    from haop.operations import guarding

    logging.basicConfig(format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("haop.guard").setLevel(logging.INFO)
    cluster, until = opened(ctx), threading.Event()
    with guarding.held(cluster.project) as post:
        ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, lambda *_: until.set()) for number in ends]  # what it has begun, it finishes
        try:
            Guard(cluster, post).run(until)
        finally:
            for number, handler in zip(ends, before, strict=True):
                signal.signal(number, handler)


@app.command()
def status(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Who watches, since when, what it sees, and what it did last.

    \b
    Exit codes: 0 it watches, 3 it should and does not, or does nothing.

    \b
    Examples:
      haop guard status --json
    """
    from itertools import islice

    from haop.cli.console import OUT, print_json
    from haop.cli.tables import findings_document
    from haop.operations import guarding, maintenance
    from haop.operations.status import observe

    cluster = opened(ctx)
    project = cluster.project
    there, reason = guarding.found(project), maintenance.reason(project)
    newest = (event for event in project.newest_events() if event.action.startswith("guard"))
    done = [*islice(newest, 5)][::-1]
    seen, stalled = (guarding.told(project, there), guarding.stalled(project, there)) if there else ({}, None)
    if as_json:
        print_json({
            "schema": "haop.guard/1", "enabled": project.spec.guard.enabled, "pid": there.pid if there else None,
            "since": there.since if there else None, "stalled": stalled, "waits": reason, "sees": seen,
            "last": [
                {"at": e.at.isoformat(), "action": e.action, "outcome": e.outcome, "detail": e.detail} for e in done
            ],
            "findings": findings_document(observe(cluster).findings),
        })  # fmt: skip
    else:
        OUT.print(f"watches since {there.since} (process {there.pid})" if there else "no guard watches", soft_wrap=True)
        if stalled:
            OUT.print(f"stalled: {stalled}; haop up starts another", soft_wrap=True, markup=False)
        if reason:
            OUT.print(f"does nothing: {reason}", soft_wrap=True, markup=False)
        for line in seen.get("trouble", []):
            OUT.print(f"sees: {line}", soft_wrap=True, markup=False)
        for event in done:
            told = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S} {event.action} {event.outcome}: {event.detail}"
            OUT.print(told, soft_wrap=True, markup=False)
    if project.spec.guard.enabled and (stalled or not there):
        raise typer.Exit(3)


@app.command()
def pause(
    ctx: typer.Context,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="The reason, for whoever looks at the status.")
    ] = "no reason given",
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="90s, 30m, 2h; default: no end.")
    ] = None,
) -> None:
    """Let the guard do nothing for a while: nobody is fenced or promoted meanwhile.

    \b
    Examples:
      haop guard pause --for 30m --why "kernel update"
    """
    from haop.cli.console import OUT
    from haop.errors import Refused
    from haop.model.table import parse_duration
    from haop.operations import maintenance

    project = opened(ctx).project
    try:
        seconds = parse_duration(duration) if duration else None
    except ValueError as error:
        raise Refused(f"--for {duration}: {error}", hint="for example 90s, 30m or 2h") from error
    OUT.print(f"paused {maintenance.pause(project, seconds, why).told}", soft_wrap=True, markup=False)


@app.command()
def resume(ctx: typer.Context) -> None:
    """End a pause.

    \b
    Examples:
      haop guard resume
    """
    from haop.cli.console import OUT
    from haop.operations import maintenance

    ended = maintenance.resume(opened(ctx).project)
    OUT.print("the pause is over" if ended else "there was no pause")


@app.command()
def stop(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", hidden=True)] = False,  # noqa: ARG001 - scripts of before give it
) -> None:
    """End the guard: until the next `haop up` nobody replaces a primary that is gone. It does not ask.

    \b
    Examples:
      haop guard stop
    """
    from haop.cli.console import OUT
    from haop.operations import guarding

    project = opened(ctx).project
    ended = guarding.stop(project)
    OUT.print(f"ended (process {ended.pid}); haop up starts another" if ended else "no guard was running")


@app.command()
def install(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--print", help="Print the unit, and change nothing.")] = False,
) -> None:
    """Let systemd start the guard at boot, and again where it was killed.

    For root it is a unit of the machine, in /etc/systemd/system; for others one of their own, in
    ~/.config/systemd/user, which runs at boot once `loginctl enable-linger` allows that.

    \b
    Exit codes: 0 it watches, 2 no systemd, or a unit of that name that haop would not write.

    \b
    Examples:
      sudo haop guard install
      haop guard install --print
    """
    import os

    from haop.cli.console import OUT
    from haop.operations import unit

    project = opened(ctx).project
    if show:
        OUT.print(unit.text(project), end="", soft_wrap=True, markup=False, highlight=False)
        return
    there = unit.install(project)
    OUT.print(f"{unit.path(project)} watches (process {there.pid}), from boot on", soft_wrap=True, markup=False)
    if os.geteuid():
        OUT.print("at boot only once you may run without a session: sudo loginctl enable-linger $USER", soft_wrap=True)


@app.command()
def uninstall(ctx: typer.Context) -> None:
    """Remove the unit, and end its guard; `haop up` starts another in the background.

    \b
    Examples:
      sudo haop guard uninstall
    """
    from haop.cli.console import OUT
    from haop.operations import unit

    removed = unit.uninstall(opened(ctx).project)
    OUT.print(f"removed {removed}; haop up starts a guard" if removed else "there is no unit", soft_wrap=True)
