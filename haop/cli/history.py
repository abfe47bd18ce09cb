"""logs, events: what happened."""

from typing import Annotated, Literal

import typer

from haop.cli.options import JsonOption, folder, node_option, opened
from haop.errors import Refused


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)
    app.command()(events)


def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it is written, until Ctrl-C.")] = False,
    node: Annotated[list[str] | None, node_option("Only this one; repeatable.")] = None,
    since: Annotated[str | None, typer.Option(metavar="10m", help="Only what is younger: 30s, 10m, 2h.")] = None,
    level: Annotated[
        Literal["info", "notice", "warning", "error", "fatal", "panic"] | None,
        typer.Option(help="At least this grave."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The logs of all nodes and haop's own events, merged by time.

    \b
    Examples:
      haop logs --since 10m --level warning
      haop logs -f --node db1
    """
    from datetime import UTC, datetime, timedelta

    from haop.cli import console
    from haop.operations.logs import merged

    cluster = opened(ctx)
    start = datetime.now(UTC) - timedelta(seconds=_duration(since)) if since else None
    colours = _colours([n.name for n in cluster.project.spec.nodes])
    for line in merged(cluster, node or [], follow=follow, since=start, level=level):
        if as_json:
            console.print_line({
                "schema": "haop.log/1", "at": line.at.isoformat(timespec="milliseconds"), "node": line.node,
                "level": line.level, "message": line.message,
            })  # fmt: skip
        else:
            console.print_log(line, colours.get(line.node, "bold"))


def events(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """The audit trail: who ran what, when, how it ended, how long it took; and what ended by itself.

    \b
    Examples:
      haop events
      haop events --json | jq 'select(.outcome != "done")'
    """
    from dataclasses import asdict

    from haop import project
    from haop.cli import console
    from haop.operations import logs

    for event in logs.events(project.load(folder(ctx))):
        if as_json:
            at = event.at.isoformat(timespec="milliseconds")
            console.print_line({"schema": "haop.event/1", **asdict(event), "at": at})
        else:
            when = event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            console.OUT.print(f"[dim]{when}[/dim] ", end="")
            console.OUT.print(
                logs.sentence(event), markup=False, soft_wrap=True, style="" if event.outcome == "done" else "red"
            )


def _duration(text: str) -> float:
    from haop.model.table import parse_duration

    try:
        return parse_duration(f"{text}in" if text.endswith("m") else text)
    except ValueError as error:
        raise Refused(f"--since: {error}") from error


def _colours(nodes: list[str]) -> dict[str, str]:
    from haop.cli.tables import NODE_COLOURS

    return dict(zip(nodes, NODE_COLOURS, strict=False))
