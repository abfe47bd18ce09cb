"""A drill's report as rich draws it. Pure."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from haop.cli.text import seconds, sparkline
from haop.drills.report import NOTE, Report
from haop.drills.verdict import Word

_VERDICTS = {Word.PASSED: "bold green", Word.MISSED: "bold red", Word.INCONCLUSIVE: "bold yellow"}


def report(done: Report) -> RenderableType:
    """Timeline, sparkline, figures, verdict."""
    return Group(_timeline(done), Text(), *_chart(done), _figures(done), _verdict(done), Text(NOTE, "dim"))


def _timeline(done: Report) -> Text:
    lines = []
    for at, event, node in done.events:
        lines.append(Text.assemble((f"{at:+8.2f} s  ", "dim"), (f"{node or '':6}", "bold"), event))
    return Text("\n").join(lines)


def _chart(done: Report) -> tuple[Text, Text]:
    start, end = done.bucket_span
    bars = sparkline(done.buckets)
    fault = int(-start / ((end - start) or 1) * len(bars))
    width = (end - start) / len(bars)
    return (
        Text.assemble("acknowledged writes  ", (bars[:fault], "green"), (bars[fault:], "cyan")),
        Text(f"{'':21}{'':{fault}}↑ {done.fault} {done.old_primary}  (a bar is {width * 1000:.0f} ms)", "dim"),
    )


def _figures(done: Report) -> Table:
    measured, goals = done.measured, done.settings["objectives"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Measured")
    table.add_column("Figure", justify="right")
    table.add_column("Objective", justify="right")
    table.add_row(
        "writes failed for",
        seconds(measured.write_recovery_seconds),
        f"{goals['write_recovery_seconds']:g} s",
    )
    table.add_row("reads failed for", seconds(measured.read_recovery_seconds), f"{goals['read_recovery_seconds']:g} s")
    table.add_row(
        "acknowledged writes lost",
        f"{len(measured.lost)} of {measured.acknowledged_writes:,}",
        str(goals["lost_writes"]),
    )
    table.add_row("longest gap between writes", seconds(measured.longest_write_gap_seconds), "")
    table.add_row("redundancy back after", seconds(measured.redundancy_seconds), "")
    table.add_row("taken by the old primary after the promotion", str(len(measured.old_primary)), "0")
    table.add_row("not acknowledged, but there", str(len(measured.recovered)), "")
    table.add_row("there, but never written", str(len(measured.unexpected)), "0")
    return table


def _verdict(done: Report) -> Text:
    settings = done.settings
    line = Text.assemble(
        (done.verdict.word.upper(), _VERDICTS[done.verdict.word]),
        f"  {done.fault} {done.old_primary} → {done.new_primary or 'nobody'}",
        f" · PostgreSQL {settings['postgres']}, {settings['engine']}, {settings['runtime']}, {settings['durability']}",
    )
    for reason in done.verdict.reasons:
        line.append(f"\n  {reason}", "red")
    return line
