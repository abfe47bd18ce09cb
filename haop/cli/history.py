"""logs, events: what happened."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from haop.cli.options import JsonOption, folder, node_option, opened
from haop.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

SinceOption = Annotated[
    str | None, typer.Option(metavar="10m", help="Only what is younger: 30s, 10m, 2h; it is all that is read.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)
    app.command()(events)


def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as it is written, until Ctrl-C.")] = False,
    node: Annotated[list[str] | None, node_option("Only this one; repeatable.")] = None,
    since: SinceOption = None,
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
    from haop.cli import console
    from haop.operations.logs import merged

    cluster = opened(ctx)
    start = _start(since)
    if follow:
        console.begin_to_follow()
    colours = _colours([n.name for n in cluster.project.spec.nodes])
    for line in merged(cluster, node or [], follow=follow, since=start, level=level):
        if as_json:
            console.print_line({
                "schema": "haop.log/1", "at": line.at.isoformat(timespec="milliseconds"), "node": line.node,
                "level": line.level, "message": line.message,
            })  # fmt: skip
        else:
            console.print_log(line, colours.get(line.node, "bold"))


def events(
    ctx: typer.Context,
    since: SinceOption = None,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N of them.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The audit trail: who ran what, when, how it ended, how long it took; and what ended by itself.

    It is kept in .haop/events.jsonl. What is routine (up, restart, changes of the standbys that confirm) goes once it
    is 4 to 8 MB back; failovers, switchovers, rebuilds, adoption and drills stay for ever.

    \b
    Examples:
      haop events --last 20
      haop events --since 24h --json | jq 'select(.outcome != "done")'
    """
    from dataclasses import asdict

    from haop import project
    from haop.cli import console
    from haop.operations import logs

    for event in logs.events(project.load(folder(ctx)), since=_start(since), last=last):
        if as_json:
            at = event.at.isoformat(timespec="milliseconds")
            console.print_line({"schema": "haop.event/1", **asdict(event), "at": at})
        else:
            when = event.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            console.print_plain(
                (when, "dim"), (" ", ""), (logs.sentence(event), "" if event.outcome == "done" else "red")
            )


def _start(since: str | None) -> "datetime | None":
    from datetime import UTC, datetime, timedelta

    try:
        return datetime.now(UTC) - timedelta(seconds=_duration(since)) if since else None
    except OverflowError as error:
        raise Refused(f"--since: {since} is longer than the calendar", hint="leave --since out") from error


def _duration(text: str) -> float:
    from haop.model.table import parse_duration

    try:
        return parse_duration(f"{text}in" if text.endswith("m") else text)
    except ValueError as error:
        raise Refused(f"--since: {error}") from error


def _colours(nodes: list[str]) -> dict[str, str]:
    from haop.cli.tables import NODE_COLOURS

    return dict(zip(nodes, NODE_COLOURS, strict=False))
