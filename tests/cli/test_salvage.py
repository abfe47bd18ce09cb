"""What a rewind or a rebuild kept: listed with its size, age and range, and removed only by name."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from haop.operations import salvages
from haop.project import Project, load
from tests import support
from tests.conftest import Haop


@pytest.fixture
def shop(folder: Path) -> Project:
    """Two folders as haop makes them, one that tells nothing, and what an interrupted command left."""
    project = support.make_project(folder / "shop").project
    home = project.state / "salvage"
    for name, days in (("db1-old", 100), ("db2-new", 1)):
        (home / name).mkdir(parents=True)
        kept_at = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
        meta = {"node": name[:3], "timeline": 2, "from_lsn": "0/3000000", "to_lsn": "0/3012A60", "kept_at": kept_at}
        (home / name / "meta.json").write_text(json.dumps(meta))
        (home / name / "000000020000000000000003").write_bytes(bytes(2**20))
    (home / "unknown").mkdir()
    (home / "unknown" / "meta.json").write_text("{")
    (home / ".making-db1").mkdir()
    (home / ".making-db1" / "part").write_bytes(bytes(2**20))
    (home / "link").symlink_to(home / "db1-old")
    return load(project.root)


def test_what_is_kept_is_listed_the_oldest_first(shop: Project, haop: Haop) -> None:
    document = json.loads(haop("-C", "shop", "salvage", "list", "--json").out)
    assert document["schema"] == "haop.salvage/1"
    assert [kept["name"] for kept in document["kept"]] == ["db1-old", "db2-new", "unknown"]
    assert document["kept"][0]["bytes"] > 2**20
    assert document["bytes"] > 3 * 2**20, "what an interrupted command left counts, too"
    told = haop("-C", "shop", "salvage", "list").out
    assert "db1-old\n  only db1 had it: 0/3000000 to 0/3012A60 of timeline 2\n  1.0 MB, kept 100 d" in told
    assert "unknown\n  it does not tell whose WAL it is" in told
    assert told.splitlines()[-1] == "3 folders, 3.0 MB in .haop/salvage"


def test_only_what_was_named_is_removed_and_only_when_confirmed(shop: Project, haop: Haop) -> None:
    def names() -> list[str]:
        return [kept.name for kept in salvages.listed(shop)]

    before = names()
    for refused in (
        ("db1-old",), (), ("db1-old", "../..", "--yes"), ("link", "--yes"), (".making-db1", "--yes"),
        ("db1-old", "--older", "90d", "--yes"), ("--older", "soon", "--yes"),
    ):  # fmt: skip
        done = haop("-C", "shop", "salvage", "remove", *refused)
        assert done.code == 2, refused
        assert "hint: " in done.err or "90d" in done.err
        assert names() == before
    done = haop("-C", "shop", "salvage", "remove", "--older", "90d", "--yes")
    assert done.code == 0, done.err
    assert done.out.startswith("removed 1, 1.0 MB; ")
    assert names() == ["db2-new", "unknown"]
    assert haop("-C", "shop", "salvage", "remove", "unknown", "db2-new", "--yes").code == 0
    assert names() == []
    (last, first) = (event for event in shop.newest_events() if event.action == "salvage remove")
    assert (first.outcome, (first.detail or "").split(",")[0]) == ("done", "db1-old")
    assert "unknown" in (last.detail or "")
    assert (shop.state / "salvage" / ".making-db1" / "part").exists(), "what is being collected is left alone"
    assert haop("-C", "shop", "salvage", "list").out == "0 folders, 1.0 MB in .haop/salvage\n"
    assert haop("-C", "shop", "salvage", "remove", "--older", "1h", "--yes").out.startswith("removed 0")
