"""Drills as rich draws them: a report, several in a row, past ones, what can be broken. Pure."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from haop.cli.fitting import Column, Fitting
from haop.cli.text import seconds, size, sparkline
from haop.drills.application import Application
from haop.drills.faults import CATALOG, Fault
from haop.drills.repeat import FIGURES, Series
from haop.drills.report import Report
from haop.drills.verdict import Word

_VERDICTS = {Word.PASSED: "bold green", Word.MISSED: "bold red", Word.INCONCLUSIVE: "bold yellow"}


def report(done: Report) -> RenderableType:
    """Timeline, sparkline, figures, verdict."""
    return Group(_timeline(done), Text(), *_chart(done), _figures(done), _verdict(done), Text(done.note, "dim"))


def series(done: Series) -> RenderableType:
    """A line for each drill, the spread of each figure, the worst verdict."""
    table = Fitting([
        Column("Drill", figures=True), Column("Primary", left_out=3), Column("Verdict"),
        Column("Writes failed", figures=True), Column("Reads failed", figures=True, left_out=2),
        Column("Redundancy", figures=True, left_out=1), Column("Lost", figures=True),
    ])  # fmt: skip
    for number, report in enumerate(done.reports, 1):
        measured, moved = report.measured, f"{report.old_primary} → {report.new_primary or 'nobody'}"
        figures = [seconds(getattr(measured, figure)) for figure in FIGURES]
        table.add_row(str(number), Text(moved), _word(report.verdict.word), *figures, str(len(measured.lost)))
    table.add_row(*([""] * 7))
    spreads = [done.spread(figure) for figure in FIGURES]
    for name in ("p50", "p95", "max"):
        table.add_row(name, "", "", *(seconds(getattr(spread, name)) for spread in spreads), "")
    table.add_row("sum", "", "", "", "", "", str(done.lost))
    told = f"  {len(done.reports)} of {done.wanted} drills" + (f"; stopped: {done.stopped}" if done.stopped else "")
    return Group(table, Text.assemble(_word(done.worst, upper=True), told))


def history(reports: Sequence[Report]) -> Fitting:
    """Past drills. An id begins with the time, and is to be copied."""
    pages = any(report.application for report in reports)
    failed = [Column("Pages failed", figures=True, left_out=2)] if pages else []
    table = Fitting([
        Column("Id"), Column("When", left_out=1), Column("Fault", left_out=3), Column("Verdict"),
        Column("Writes failed", figures=True), *failed, Column("Lost", figures=True),
    ])  # fmt: skip
    for report in reports:
        measured = report.measured
        table.add_row(
            Text(report.id),
            f"{report.at.astimezone():%Y-%m-%d %H:%M:%S}",
            Text(f"{report.fault} {report.old_primary}"),
            _word(report.verdict.word),
            seconds(measured.write_recovery_seconds),
            *([_pages_failed(report.application)] if pages else []),
            f"{len(measured.lost)} of {measured.acknowledged_writes:,}",
        )
    return table


def faults(reasons: Mapping[Fault, str | None]) -> RenderableType:
    """What can be broken, and why something cannot."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Fault", "Does", "Rehearses", "Shows"):
        table.add_column(heading)
    for fault, reason in reasons.items():
        told, style = CATALOG[fault], "dim" if reason else ""
        does = Text.assemble(told.does, (f"\nnot here: {reason}", "yellow") if reason else "")
        table.add_row(Text(fault, style or "bold"), does, told.rehearses, told.shows, style=style)
    return Group(table, Text("run one: haop drill failover --fault NAME", "dim"))


def _word(word: Word, *, upper: bool = False) -> Text:
    return Text(word.upper() if upper else word, _VERDICTS[word])


def _timeline(done: Report) -> Text:
    lines = []
    for at, event, node in done.events:
        lines.append(Text.assemble((f"{at:+8.2f} s  ", "dim"), (f"{node or '':6}", "bold"), event))
    return Text("\n").join(lines)


def _chart(done: Report) -> tuple[Text, Text, Text]:
    start, end = done.bucket_span
    bars = sparkline(done.buckets)
    fault = min(max(0, int(-start / ((end - start) or 1) * len(bars))), len(bars))
    width, what = (end - start) / len(bars), f"{done.fault} {done.old_primary}"
    arrow = f"{'':{fault}}↑ {what}" if fault < len(bars) / 2 else f"{what} ↑".rjust(fault + 1)
    return (
        Text.assemble("acknowledged writes  ", (f"(a bar is {width * 1000:.0f} ms)", "dim")),
        Text.assemble((bars[:fault], "green"), (bars[fault:], "cyan")),
        Text(arrow, "dim"),
    )


def _figures(done: Report) -> Table:
    measured, goals = done.measured, done.settings["objectives"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Measured")
    table.add_column("Figure", justify="right")
    table.add_column("Objective", justify="right", no_wrap=True)
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
    if done.salvaged_bytes is not None:
        table.add_row("WAL salvaged from the old primary", size(done.salvaged_bytes), "")
    if done.application:
        _pages(table, done.application)
    table.add_row("longest gap between writes", seconds(measured.longest_write_gap_seconds), "")
    table.add_row("redundancy back after", seconds(measured.redundancy_seconds), "")
    table.add_row("taken by the old primary after the promotion", str(len(measured.old_primary)), "0")
    table.add_row("not acknowledged, but there", str(len(measured.recovered)), "")
    table.add_row("there, but never written", str(len(measured.unexpected)), "0")
    return table


def _pages_failed(seen: Application | None) -> str:
    """For how long, of those that write; of those that read where no other was asked for."""
    if seen is None:
        return ""
    return seconds(seen.write_recovery_seconds if seen.writes else seen.read_recovery_seconds)


def _pages(table: Table, seen: Application) -> None:
    """What users of the application saw."""
    if seen.writes:
        table.add_row("pages that write failed for", seconds(seen.write_recovery_seconds), "")
    if seen.reads:
        table.add_row("pages that read failed for", seconds(seen.read_recovery_seconds), "")
    if seen.longest_write_gap_seconds is not None:
        table.add_row("longest gap between pages that write", seconds(seen.longest_write_gap_seconds), "")
    failed, asked = seen.failed_reads + seen.failed_writes, seen.reads + seen.writes
    told = f", {seen.failed_reads} of {seen.reads:,} that read" if seen.reads and seen.writes else ""
    table.add_row("pages that failed", f"{failed} of {asked:,}{told}", "")
    table.add_row("slowest page", seconds(seen.slowest_seconds), "")


def _verdict(done: Report) -> Text:
    settings = done.settings
    line = Text.assemble(
        (done.verdict.word.upper(), _VERDICTS[done.verdict.word]),
        f"  {done.fault} {done.old_primary} → {done.new_primary or 'nobody'}",
        f" · PostgreSQL {settings['postgres']}, {settings['engine']}, {settings['runtime']}, {settings['durability']}",
    )
    for reason in done.verdict.reasons:
        line.append(f"\n  {reason}", "red")
    if done.application and done.application.cause:
        line.append(f"\n  the application was back later than its database: {done.application.cause}", "yellow")
    return line
