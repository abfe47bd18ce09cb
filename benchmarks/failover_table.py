"""The outcome of `failover.py` as tables for a page."""

import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import psutil

from benchmarks.gaps import Seen
from benchmarks.haop_side import MAJOR
from haop import process
from haop.postgres.binaries import installation


class Run(NamedTuple):
    """One repetition; seconds."""

    side: str
    version: str
    cell: str
    failed: str | None = None  # why there is no more to tell
    seen: Seen | None = None
    command: float | None = None  # how long the fault took to inflict, or the command to end
    after_end: float | None = None  # of a clean stop: from the postmaster's end to the next acknowledged write
    after_fault: float | None = None
    redundant: float | None = None  # until a standby streams: from the start of the old node, or from the fault
    account: Mapping[str, float] = MappingProxyType({})  # where the time went, from the fault

    @property
    def line(self) -> str:
        """For who watches."""
        if self.seen is None:
            return f"  {self.side:28}{self.cell:11} FAILED: {self.failed}"
        seen = self.seen
        return (
            f"  {self.side:28}{self.cell:11} gap {seen.write_gap:6.3f} s, reads {seen.read_gap:.3f} and "
            f"{seen.standby_read_gap:.3f} s, lost {seen.lost} of {seen.acknowledged}, late {seen.late}, "
            f"command {self.command:.2f} s, redundant {self.redundant:.1f} s"
            + "".join(f", {word} {seconds:.3f}" for word, seconds in self.account.items())
        )


Figure = Callable[[Run], float | None]


def tell(runs: Sequence[Run]) -> None:
    """Every table, and what they were made on."""
    names = list(dict.fromkeys(run.side for run in runs))
    of = {name: [run for run in runs if run.side == name] for name in names}
    print("\n" + machine(runs) + "\n")
    print("Seconds: median (slowest).\n")
    _head(names)
    for cell, told in (
        ("switchover", "planned switchover"), ("stop", "clean stop"), ("kill", "SIGKILL"),
        ("hang", "hang, resumed later"), ("cut", "SIGKILL, the stream cut before"),
    ):  # fmt: skip
        _row(f"write gap: {told}", names, of, {cell}, _write_gap)
    _row("clean stop, from the postmaster's end", names, of, {"stop"}, lambda run: run.after_end)
    _row("clean stop, the command", names, of, {"stop"}, lambda run: run.command)
    _row("switchover, the command", names, of, {"switchover"}, lambda run: run.command)
    faults = {"switchover", "stop", "kill", "cut"}
    _row("reads, any fault but hang: any node", names, of, faults, lambda run: run.seen and run.seen.read_gap)
    _row("reads, the same: prefer-standby", names, of, faults, lambda run: run.seen and run.seen.standby_read_gap)
    _row("reads, hang: any node", names, of, {"hang"}, lambda run: run.seen and run.seen.read_gap)
    _row("reads, hang: prefer-standby", names, of, {"hang"}, lambda run: run.seen and run.seen.standby_read_gap)
    _row(
        "redundancy back: since the killed node was started (haop starts it: since the kill)",
        names,
        of,
        {"kill", "cut"},
        lambda run: run.redundant,
    )
    _counts("hang: acknowledged by the resumed primary, lost", names, of, {"hang"}, lambda seen: seen.lost_late)
    _counts("hang: begun after the promotion, acknowledged by it", names, of, {"hang"}, lambda seen: seen.late)
    _counts("stream cut: acknowledged, lost", names, of, {"cut"}, lambda seen: seen.lost)
    _counts("SIGKILL: acknowledged, lost", names, of, {"kill"}, lambda seen: seen.lost)
    _counts("all others: acknowledged, lost", names, of, {"switchover", "stop"}, lambda seen: seen.lost)
    failed = {name: f"{sum(bool(run.failed) for run in of[name])} of {len(of[name])}" for name in names}
    print("| repetitions that failed | " + " | ".join(failed.values()) + " |")
    for each in runs:
        if each.failed:
            print(f"- {each.side}, {each.cell}: {each.failed}")
    _accounts(of)


def machine(runs: Iterable[Run]) -> str:
    """What it ran on, and which versions."""
    cores = psutil.cpu_count()
    versions = ", ".join(dict.fromkeys(run.version for run in runs))
    return (
        f"{cores} cores, {platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}, "
        f"{process.run((str(installation(MAJOR).bindir / 'postgres'), '--version')).stdout.strip()}; {versions}"
    )


def _write_gap(run: Run) -> float | None:
    return run.seen.write_gap if run.seen else None


def _head(names: Sequence[str]) -> None:
    print("| what | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")


def _row(told: str, names: Sequence[str], of: Mapping[str, Sequence[Run]], cells: set[str], figure: Figure) -> None:
    print(f"| {told} | " + " | ".join(_spread(map(figure, _runs(of[name], cells))) for name in names) + " |")


def _spread(values: Iterable[float | None]) -> str:
    found = [value for value in values if value is not None]
    return f"{statistics.median(found):.2f} ({max(found):.2f})" if found else "–"


def _counts(
    told: str, names: Sequence[str], of: Mapping[str, Sequence[Run]], cells: set[str], count: Callable[[Seen], int]
) -> None:
    """How many in all, and in the worst repetition, of how many that were acknowledged."""
    shown = []
    for name in names:
        seen = [run.seen for run in _runs(of[name], cells) if run.seen]
        most = max((count(each) for each in seen), default=0)
        total = sum(count(each) for each in seen)
        at_most = f" (at most {most})" if total else ""
        shown.append(f"{total}{at_most} of {sum(each.acknowledged for each in seen)}" if seen else "–")
    print(f"| {told} | " + " | ".join(shown) + " |")


def _runs(runs: Sequence[Run], cells: set[str]) -> list[Run]:
    return [run for run in runs if run.cell in cells]


def _accounts(of: Mapping[str, Sequence[Run]]) -> None:
    """Where haop's time went: medians from the fault on."""
    for name, runs in of.items():
        for cell in dict.fromkeys(run.cell for run in runs):
            accounts = [run.account for run in runs if run.cell == cell and run.account]
            if accounts:
                words = dict.fromkeys(word for account in accounts for word in account)
                told = {word: [account[word] for account in accounts if word in account] for word in words}
                after = [run.after_fault for run in runs if run.cell == cell and run.after_fault is not None]
                print(
                    f"- {name}, {cell}, seconds after the fault: "
                    + ", ".join(f"{word} {statistics.median(values):.3f}" for word, values in told.items())
                    + f", first acknowledged write {statistics.median(after):.3f}"
                )
