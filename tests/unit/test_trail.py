"""The audit trail: read from its end, bounded, and what matters stays."""

import json
import threading
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from haop import trail
from haop.model.spec import ClusterSpec
from haop.operations import logs
from haop.project import Project
from tests.support import bytes_read

_START = datetime(2026, 1, 1, tzinfo=UTC)


def _project(where: Path) -> Project:
    cluster = {"name": "shop", "postgres": 18, "runtime": "local"}
    nodes = [{"name": f"db{number}", "port": 5431 + number} for number in (1, 2)]
    return Project(where, ClusterSpec.from_toml({"cluster": cluster, "database": _DATABASE, "nodes": nodes}))


_DATABASE = {"name": "shop", "owner": "shop"}


def _line(number: int, action: str = "up") -> str:
    at = (_START + timedelta(seconds=number)).isoformat(timespec="milliseconds")
    values = {"at": at, "actor": "dba", "action": action, "outcome": "done", "node": None, "detail": f"number {number}"}
    return json.dumps({**values, "duration_seconds": 0.1}) + "\n"


def test_what_is_asked_for_is_all_that_is_read(tmp_path: Path) -> None:
    project = _project(tmp_path)
    project.state.mkdir()
    count = 200_000
    with (project.state / trail.NAME).open("w") as file:
        file.writelines(_line(number, "guard sync" if number % 10 == 0 else "up") for number in range(count))
        file.write('{"at": "2026-')  # a crash cut it short
    before = bytes_read()
    (last,) = islice((event for event in project.newest_events() if event.action == "guard sync"), 1)
    assert last.detail == f"number {count - 10}"
    since = _START + timedelta(seconds=count - 3)
    assert [event.detail for event in project.events(since)] == [f"number {count - left}" for left in (3, 2, 1)]
    assert [event.detail for event in logs.events(project, last=2)] == [f"number {count - left}" for left in (2, 1)]
    assert next(event.detail for event in logs.events(project, last=9, since=since)) == f"number {count - 3}"
    assert bytes_read() - before < 4 * 2**20, "of a file of more than 30 MB"
    assert sum(1 for _ in project.events()) == count


def test_the_trail_is_bounded_and_failovers_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "LIMIT", 20_000)
    project = _project(tmp_path)
    for number in range(2000):
        action = (
            "guard failover" if number % 100 == 0 else "drill failover kill" if number % 100 == 50 else "guard sync"
        )
        project.record(action, "done", at=_START + timedelta(seconds=number), detail=f"number {number}")
    assert sum(file.stat().st_size for file in project.state.glob("events.jsonl*")) < 60_000
    told = [event.detail for event in project.events()]
    assert {f"number {number}" for number in range(0, 2000, 50)} <= {*told}
    assert len(told) == len({*told}), "nothing is told twice"
    assert told == sorted(told, key=lambda detail: int(str(detail).split()[1])), "the oldest first"
    assert told == [event.detail for event in project.newest_events()][::-1]
    assert told[-50:] == [f"number {number}" for number in range(1950, 2000)]


def test_a_rotation_that_died_in_the_middle_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "LIMIT", 1000)
    project = _project(tmp_path)
    kept, last = (project.state / f"{trail.NAME}.{number}" for number in (2, 1))
    project.state.mkdir()
    for file in (kept, last):  # what matters of the last is kept already; it was to be replaced next
        file.write_text(_line(1, "failover"))
    for number in range(2, 12):
        project.record("up", "done", at=_START + timedelta(seconds=number), detail=f"number {number}")
    told = [event.detail for event in project.events()]
    assert told.count("number 1") == 1
    assert told[-1] == "number 11"


def test_who_writes_at_once_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "LIMIT", 5000)
    project = _project(tmp_path)

    def write(writer: int) -> None:
        for number in range(200):
            project.record("failover", "done", at=datetime.now(UTC), detail=f"{writer}: {number}")

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    told = {event.detail for event in project.events()}
    assert {f"{writer}: {number}" for writer in range(4) for number in range(200)} == told
