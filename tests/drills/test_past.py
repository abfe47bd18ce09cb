"""What is told of past drills, of several in a row, and of what can be broken. Nothing runs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from haop.cli import drill_report
from haop.drills import past, repeat
from haop.drills.application import Application
from haop.drills.drill import FailoverDrill
from haop.drills.measure import Measurement
from haop.drills.report import DRILL, NOTES, Report, store
from haop.drills.verdict import Verdict, Word
from haop.errors import NoPrimary
from haop.operations import heal
from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import Haop

MEASURED = Measurement(
    write_recovery_seconds=0.25, longest_write_gap_seconds=0.3, read_recovery_seconds=0.0, redundancy_seconds=2.5,
    acknowledged_before_fault=400, acknowledged_writes=1200, indeterminate_writes=2, refused_writes=7, lost=(),
    recovered=(401,), unexpected=(), old_primary=(),
)  # fmt: skip
SETTINGS = {
    "postgres": "18.6", "engine": "streaming", "runtime": "local", "durability": "async",
    "objectives": {"write_recovery_seconds": 5.0, "read_recovery_seconds": 1.0, "lost_writes": 0},
}  # fmt: skip


def report(minute: int = 15, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "id": f"20260131T09{minute:02}00-failover-kill",
        "at": datetime(2026, 1, 31, 9, minute, tzinfo=UTC),
        "cluster": "shop", "fault": "kill", "old_primary": "db1", "new_primary": "db2", "measured": MEASURED,
        "verdict": Verdict(Word.PASSED), "events": ((0.0, "kill", "db1"), (0.25, "first surviving write", None)),
        "buckets": (0, 3, 5), "bucket_span": (-1.0, 2.0), "settings": SETTINGS,
        "promoted_by": DRILL, "note": NOTES[DRILL],
    }  # fmt: skip
    return Report(**{**values, **changes})


LOSSY = report(
    20, measured=replace(MEASURED, lost=(1, 2, 3), write_recovery_seconds=None, redundancy_seconds=None),
    verdict=Verdict(Word.MISSED, ("3 acknowledged writes are lost; the objective is 0",)), new_primary=None,
)  # fmt: skip


SEEN = Application(
    reads=500, failed_reads=0, read_recovery_seconds=0.0, writes=400, failed_writes=9, write_recovery_seconds=1.75,
    longest_write_gap_seconds=1.8, slowest_seconds=0.5, cause="unknown",
)  # fmt: skip


@pytest.fixture
def shop(folder: Path) -> Cluster:
    return support.make_project(folder / "shop")


def keep(cluster: Cluster, *reports: Report) -> list[Path]:
    paths = [cluster.project.state / "drills" / f"{kept.id}.json" for kept in reports]
    for path, kept in zip(paths, reports, strict=True):
        store(path, kept)
    return paths


def drawn(done: Report) -> str:
    console = Console(width=160, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(drill_report.report(done))
    return capture.get()


def test_a_stored_report_is_the_report(shop: Cluster, haop: Haop) -> None:
    for kept, path in zip((report(), LOSSY), keep(shop, report(), LOSSY), strict=True):
        assert past.read(path) == kept
        assert haop("-C", "shop", "drill", "show", kept.id).out == drawn(kept)
    done = haop("-C", "shop", "drill", "show", "last", "--json")
    assert done.out == path.read_text()


def test_the_history_is_newest_first_and_names_what_is_damaged(shop: Cluster, haop: Haop) -> None:
    assert haop("-C", "shop", "drill", "history").out == "no drill was run to its end here\n"
    whole, _ = keep(shop, report(), LOSSY)
    whole.with_name("cut.json").write_text(whole.read_text()[:300])
    done = haop("-C", "shop", "drill", "history")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if "failover" in line]
    assert [row[0] for row in rows] == [LOSSY.id, report().id]
    assert rows[0][3:] == ["kill", "db1", "missed", "–", "3", "of", "1,200"]
    assert "cut.json" in done.err
    document = json.loads(haop("-C", "shop", "drill", "history", "--json").out)
    assert [row["lost_writes"] for row in document["drills"]] == [3, 0]
    assert [Path(row["file"]).name for row in document["damaged"]] == ["cut.json"]
    shown = haop("-C", "shop", "drill", "show", "cut")
    assert shown.code == 1
    assert "cut.json holds no report" in shown.err


def test_what_users_of_an_application_saw_is_told_and_older_reports_go_without(shop: Cluster, haop: Haop) -> None:
    older, seen = report(), report(30, application=SEEN)
    first, last = keep(shop, older, seen)
    document = json.loads(first.read_text())
    first.write_text(json.dumps({key: value for key, value in document.items() if key != "application"}))
    assert past.read(first) == older
    assert past.read(last) == seen
    kept = json.loads(last.read_text())
    del kept["application"]["longest_write_gap_seconds"]  # as it was first written
    between = last.with_name("20260131T093100-failover-kill.json")
    between.write_text(json.dumps(kept))
    assert past.read(between) == replace(seen, application=replace(SEEN, longest_write_gap_seconds=None))
    done = haop("-C", "shop", "drill", "history")
    assert "Pages failed" in done.out
    rows = [line.split() for line in done.out.splitlines() if "failover" in line]
    assert [row[5:-3] for row in rows] == [["passed", "0.25", "s", "1.8", "s"]] * 2 + [["passed", "0.25", "s"]]
    shown = json.loads(haop("-C", "shop", "drill", "history", "--json").out)
    assert [row["application_write_recovery_seconds"] for row in shown["drills"]] == [1.75, 1.75, None]
    assert "longest gap between pages that write" in drawn(seen)
    assert "the application was back later than its database: unknown" in drawn(seen)
    assert "pages" not in drawn(older)


def test_the_history_fits_a_narrow_terminal() -> None:
    narrow = Console(width=80, color_system=None)
    with narrow.capture() as capture:
        narrow.print(drill_report.history([report(30, application=SEEN), LOSSY]))
    assert all(word in capture.get() for word in (report(30).id, LOSSY.id, "Lost", "1.8 s"))


def test_an_id_may_be_abbreviated_as_long_as_it_is_of_one_drill(shop: Cluster, haop: Haop) -> None:
    none = haop("-C", "shop", "drill", "show", "last")
    assert (none.code, none.err.splitlines()[-1]) == (2, "hint:  haop drill failover")
    keep(shop, report(), LOSSY)
    assert haop("-C", "shop", "drill", "show", "20260131T0915").out == drawn(report())
    for wanted, says in (("2026", "may be"), ("../../haop", "there is no drill"), ("2026-1", "there is no drill")):
        refused = haop("-C", "shop", "drill", "show", wanted)
        assert refused.code == 2
        assert says in refused.err


OTHER: tuple[Any, ...] = (None, {}, [[]], "\ud800", 1e999, True)
DAMAGE: list[tuple[str, Any]] = [
    *((key, value) for key in report().document() for value in OTHER),
    ("bucket_span_seconds", [1]), ("acknowledged_per_bucket", []), ("at", "2026-01-31T09:15:00"), ("events", [{}]),
    ("settings", {**SETTINGS, "objectives": {}}), ("verdict", "green"), ("schema", "haop.drill.failover/2"),
]  # fmt: skip


def test_no_damage_to_a_report_is_fatal(shop: Cluster, haop: Haop) -> None:
    """Each field in turn is something else: the report is named as damaged, or can be shown all the same."""
    (path,) = keep(shop, report())
    for key, value in DAMAGE:
        path.write_text(json.dumps({**report().document(), key: value}))
        found = past.history(shop.project)
        assert len(found.damaged) + len(found.reports) == 1
        for whole in found.reports:
            drawn(whole)
            drill_report.history([whole])
    for text in ("", "[]", "nul", "[" * 100_000, '{"schema": NaN}'):
        path.write_text(text)
        assert list(past.history(shop.project).damaged) == [path]
    path.write_bytes(b"\xff\xfe")
    assert list(past.history(shop.project).damaged) == [path]


def test_the_list_says_what_cannot_be_staged_here_and_why(shop: Cluster, haop: Haop) -> None:
    rows = json.loads(haop("-C", "shop", "drill", "list", "--json").out)["faults"]
    assert {row["fault"]: row["available"] for row in rows} == {
        "kill": True, "stop": True, "pause": True, "partition": False,
    }  # fmt: skip
    assert "no network that could be cut" in next(row["reason"] for row in rows if not row["available"])
    assert "not here: the local runtime has no network" in " ".join(haop("-C", "shop", "drill", "list").out.split())


def test_several_drills_have_a_spread_a_sum_and_a_worst_verdict() -> None:
    unclear = report(25, verdict=Verdict(Word.INCONCLUSIVE, ("no read was answered after the fault",)))
    assert repeat.Series(fault="kill", wanted=2, reports=(report(), unclear)).worst is Word.INCONCLUSIVE
    series = repeat.Series(fault="kill", wanted=3, reports=(report(), unclear, LOSSY))
    assert series.worst is Word.MISSED
    document = series.document()
    assert document["lost_writes"] == 3
    assert document["write_recovery_seconds"] == {"p50": 0.25, "p95": None, "max": None}
    assert repeat.spread([float(figure) for figure in range(1, 101)]) == repeat.Spread(50, 95, 100)


@pytest.mark.parametrize(
    ("ending", "code", "stopped"),
    [(NoPrimary("db2 is away"), 4, "db2 is away"), (KeyboardInterrupt(), 130, "interrupted"), (None, 3, None)],
)
def test_a_series_that_ends_early_shows_what_was_measured(
    haop: Haop, monkeypatch: pytest.MonkeyPatch, ending: BaseException | None, code: int, stopped: str | None
) -> None:
    def some(*_: object) -> Iterator[Report]:
        yield report()
        yield LOSSY
        if ending:
            raise ending

    def steady(drill: FailoverDrill) -> None:
        drill.old_primary = "db1"

    assert haop("init", "shop", "--runtime", "local").code == 0
    monkeypatch.setattr(repeat, "drills", some)
    monkeypatch.setattr(FailoverDrill, "require_steady_state", steady)
    done = haop("-C", "shop", "drill", "failover", "--repeat", "5", "--yes", "--json")
    assert done.code == code
    document = json.loads(done.out)
    assert document["stopped"] == stopped
    assert [row["id"] for row in document["drills"]] == [report().id, LOSSY.id]


def test_the_record_of_something_open_is_read_whatever_is_in_it(shop: Cluster) -> None:
    for text in ("", "[]", "{}", '{"action": 1, "node": 2, "at": 3}', "\x00"):
        (shop.project.state / "open.json").write_text(text)
        assert (found := heal.read(shop.project))
        assert found.node == "unknown"
