"""The record of standbys that may lack acknowledged writes: what is lost of it makes it larger."""

import os
from pathlib import Path

import pytest

from haop.errors import HaopError
from haop.model.behind import Behind
from haop.model.lsn import Lsn
from haop.model.spec import ClusterSpec
from haop.operations import behind
from haop.project import Project

ALL = frozenset({"db1", "db2", "db3"})


def made(root: Path, durability: str = "sync") -> Project:
    document = {
        "cluster": {"name": "shop", "postgres": 18, "runtime": "local", "durability": durability},
        "database": {"name": "shop", "owner": "shop"},
        "nodes": [{"name": name, "port": 5432 + at} for at, name in enumerate(sorted(ALL))],
    }
    return Project(root, ClusterSpec.from_toml(document))


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return made(tmp_path)


def path(project: Project) -> Path:
    return project.state / "guard" / "behind.json"


def test_who_was_never_confirmed_is_behind(shop: Project) -> None:
    assert behind.names(shop) == ALL
    behind.remove(shop, {"db2"})
    assert behind.names(shop) == {"db1", "db3"}
    behind.settle(shop, "db1")
    behind.remove(shop, {"db3"})
    assert behind.names(shop) == frozenset()
    assert path(shop).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"confirmed": ["db2"]}', '{"confirmed": 3, "behind": {}}',
    '{"confirmed": ["db2"], "behind": {"db3": {"lsn": "x"}}}', '{"confirmed": ["db2"], "behind": []',
    "\x00"])  # fmt: skip
def test_of_an_unreadable_record_everybody_is_behind(shop: Project, text: str) -> None:
    behind.remove(shop, ALL)
    path(shop).write_text(text)
    assert behind.names(shop) == ALL
    behind.remove(shop, {"db2"})
    assert behind.names(shop) == ALL - {"db2"}


def test_since_when_stays_and_how_far_is_unknown_again_once_it_may_confirm(shop: Project) -> None:
    behind.remove(shop, ALL)
    behind.add(shop, {"db2"})
    first = behind.read(shop)["db2"]
    assert (first.since is not None, first.lsn) == (True, None)
    behind.bound(shop, {"db2", "db3"}, 4, Lsn(77))
    assert behind.read(shop) == {"db2": Behind(since=first.since, timeline=4, lsn=Lsn(77))}, "db3 is not behind"
    behind.add(shop, {"db2"})
    assert behind.read(shop) == {"db2": first}


def test_before_a_promotion_only_the_new_primary_stays_as_it_was(shop: Project) -> None:
    behind.remove(shop, ALL)
    behind.promoting(shop, "db2")
    assert behind.names(shop) == {"db1", "db3"}
    behind.promoting(shop, "db3")
    assert behind.names(shop) == ALL, "it was not known to have everything, and is not primary yet"
    behind.settle(shop, "db3")
    assert behind.names(shop) == {"db1", "db2"}


def test_without_sync_nothing_is_promised_and_nothing_is_left_for_the_day_it_is(tmp_path: Path) -> None:
    shop, loose = made(tmp_path), made(tmp_path, "async")
    behind.remove(shop, ALL)
    assert behind.names(loose) == frozenset()
    behind.settle(loose, "db1")
    behind.promoting(loose, "db1")
    assert not path(loose).exists()
    assert behind.names(shop) == ALL


def test_what_cannot_be_written_is_an_error_and_a_promotion_takes_the_record_away(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind.remove(shop, ALL)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(HaopError, match=r"cannot write down who may lack acknowledged writes: .*No space left"):
            behind.add(shop, {"db2"})
    assert behind.names(shop) == frozenset()
    opened = os.open

    def unwritable(name: str | Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(28, "No space left on device")
        return opened(name, flags, *mode)

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", unwritable)
        behind.promoting(shop, "db2")
    assert behind.names(shop) == ALL
