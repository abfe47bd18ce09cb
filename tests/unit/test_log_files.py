"""Logs of nodes as files: read from the end, whole entries, over rotations, and over no link."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from haop.errors import HaopError
from haop.model.service import LogLine
from haop.runtimes import log_files, private_files
from tests.support import bytes_read

_START = datetime(2026, 1, 1, tzinfo=UTC)


def _entry(second: float, text: str = "ready", level: str = "LOG") -> str:
    at = (_START + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{at} UTC [7] dba@shop psql {level}:  {text}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "db1").mkdir()
    (tmp_path / "db2").mkdir()
    return tmp_path


def _told(lines: Iterator[LogLine]) -> list[str]:
    return [line.message.partition("psql ")[2] for line in lines]


def _past(home: Path, since: float | None = None) -> list[str]:
    start = None if since is None else _START + timedelta(seconds=since)
    return _told(log_files.merged(home, ["db1", "db2"], follow=False, since=start))


def test_since_reads_no_more_than_it_shows(home: Path) -> None:
    block = "".join(_entry(number / 1000, "x" * 900) for number in range(1000))
    with (home / "db1" / "log").open("w") as file:
        for _ in range(100):
            file.write(block)
        file.write(_entry(3600, "the last, of\nthree\nlines"))
    before = bytes_read()
    assert _past(home, since=60) == ["the last, of\nthree\nlines"]
    newest = log_files.newest_first(home, "db1")
    assert next(newest).message.endswith("the last, of\nthree\nlines")
    assert bytes_read() - before < 4 * 2**20, "of a file of 100 MB"


def test_all_nodes_and_all_that_was_rotated_by_time(home: Path) -> None:
    (home / "db1" / "log.2").write_text("no prefix\n" + _entry(1, "one"))
    (home / "db1" / "log.1").write_text(_entry(2, "two"))
    (home / "db1" / "log").write_text(_entry(4.001, "later") + _entry(4, "out of place") + _entry(6, "no end").strip())
    (home / "db2" / "log").write_text(_entry(3, "three") + _entry(5, "five"))
    everything = ["one", "two", "three", "out of place", "later", "five", "no end"]
    assert _past(home)[1:] == everything
    assert _past(home, since=2) == everything[1:]
    assert _past(home, since=3.5) == everything[3:]
    assert _told(islice(log_files.newest_first(home, "db1"), 5)) == ["no end", "out of place", "later", "two", "one"]


def test_following_goes_on_over_a_rotation(home: Path) -> None:
    here = home / "db1" / "log"
    here.write_text(_entry(1, "one"))
    lines = log_files.merged(home, ["db1"], follow=True, since=None)
    shown = (line.message.partition("psql ")[2] or line.message for line in lines)
    assert next(shown) == "one"
    with here.open("a") as before:
        before.write(_entry(2, "two", level="ERROR"))
        before.flush()
        assert next(shown) == "two"
        before.write("DETAIL: of two\n" + _entry(3, "three")[:20])
        before.flush()
        here.rename(here.with_name("log.1"))
        before.write(_entry(3, "three")[20:])
        before.flush()
        here.write_text(_entry(4, "four"))
        line = next(lines)
        assert (line.message, line.level, line.at) == ("DETAIL: of two", "error", _START + timedelta(seconds=2))
        assert [next(shown), next(shown)] == ["three", "four"]
    here.write_text("")  # somebody cut it
    with here.open("a") as file:
        file.write(_entry(5, "5"))
    assert next(shown) == "5"


def test_no_link_of_the_servers_user_is_followed(home: Path) -> None:
    (secret := home / "secret").write_text(_entry(1, "secret"))
    (home / "db1" / "log").symlink_to(secret)
    with pytest.raises(HaopError, match=r"db1/log.* over a link"):
        _past(home)
    with pytest.raises(HaopError, match="over a link"):
        private_files.opened(home, "db1", "log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    assert secret.read_text() == _entry(1, "secret")
    (home / "db1" / "log").unlink()
    os.mkfifo(home / "db1" / "log")  # who opens it waits
    with pytest.raises(HaopError, match="is no file"):
        _past(home)
    (home / "db1" / "log").unlink()
    (home / "db1").rename(home / "db3")
    (home / "db1").symlink_to(home / "db3")
    with pytest.raises(HaopError, match="over a link"):
        private_files.opened(home, "db1", "log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
