"""Files of volumes that haop, perhaps as root, reads and writes where a server that may be hostile has made them."""

import os
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from haop.docker.nearby import Near, OutOfReachError

DATA = PurePosixPath("/var/lib/postgresql/data")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tmp_path / "volume"
    (made / "pgdata" / "pg_wal").mkdir(parents=True)
    (made / "pgdata" / "PG_VERSION").write_text("18\n")
    (made / "pgdata" / "pg_wal" / "1").write_bytes(b"0123456789" * 100_000)
    (tmp_path / "secret").write_text("of the machine")
    return made


@pytest.fixture
def near(volume: Path) -> Near:
    mounts = [{"Source": str(volume), "Destination": str(DATA), "Name": "v"}, {"Source": "/", "Destination": "/var"}]
    found = Near.of({"Mounts": mounts}, DATA / "pgdata" / "PG_VERSION")
    assert found == Near(str(volume), DATA, "v")
    return found


def test_files_are_read_whole_and_from_an_offset_on_and_missing_ones_are_none(near: Near) -> None:
    assert near.read(DATA / "pgdata/PG_VERSION") == b"18\n"
    assert near.size(DATA / "pgdata/PG_VERSION") == 3
    pieces = near.pieces(DATA / "pgdata/pg_wal/1", 999_995)
    assert b"".join(pieces) == b"56789"
    for missing in ("pgdata/none", "none/none"):
        assert near.read(DATA / missing) is None
        assert near.size(DATA / missing) is None
        assert list(near.pieces(DATA / missing, 0)) == []


@pytest.mark.parametrize("path", ["link", "pgdata/folder/secret", "pgdata/../../secret", "pgdata/pipe", "pgdata"])
def test_no_link_is_followed_and_nothing_but_files_is_read(near: Near, volume: Path, path: str) -> None:
    (volume / "link").symlink_to(volume.parent / "secret")
    (volume / "pgdata" / "folder").symlink_to(volume.parent)
    os.mkfifo(volume / "pgdata" / "pipe")
    with pytest.raises(OutOfReachError):
        near.read(DATA / path)
    with pytest.raises(OutOfReachError):
        list(near.pieces(DATA / path, 0))


def test_what_is_written_takes_the_room_that_was_kept(near: Near, volume: Path) -> None:
    room = volume / "pgdata.room"
    room.write_bytes(bytes(4096))
    inode = room.stat().st_ino
    near.write(DATA / "pgdata.fence", "fenced\n", DATA / room.name)
    written = volume / "pgdata.fence"
    assert (written.read_text(), written.stat().st_ino, room.exists()) == ("fenced\n", inode, False)
    near.write(DATA / "pgdata.fence", "rejoin\n", DATA / room.name)  # without such room as well
    assert written.read_text() == "rejoin\n"


@pytest.mark.parametrize("name", ["pgdata.room", "pgdata.fence", "pgdata.fence.new"])
def test_what_is_written_goes_through_no_link(near: Near, volume: Path, name: str) -> None:
    secret = volume.parent / "secret"
    (volume / name).symlink_to(secret)
    try:
        near.write(DATA / "pgdata.fence", "fenced\n", DATA / "pgdata.room")
    except OutOfReachError:
        assert name == "pgdata.room"
    else:
        assert (volume / "pgdata.fence").read_text() == "fenced\n"
    assert secret.read_text() == "of the machine"


def test_a_file_is_copied_into_a_folder_of_another_volume(near: Near, tmp_path: Path) -> None:
    other = Near(str(tmp_path / "other"), DATA)
    Path(other.source).mkdir()
    near.copy(DATA / "pgdata/pg_wal/1", other, DATA / "pgdata.lent")
    near.copy(DATA / "pgdata/pg_wal/none", other, DATA / "pgdata.lent")
    lent = Path(other.source) / "pgdata.lent"
    assert [path.name for path in lent.iterdir()] == ["1"]
    assert (lent / "1").stat().st_size == 1_000_000
    assert lent.stat().st_mode & 0o777 == 0o700


def test_a_folder_is_the_engines_only_where_the_engine_saw_it_changed_last(near: Near, volume: Path) -> None:
    changed = datetime.fromtimestamp(volume.stat().st_mtime, UTC)
    assert near.is_at(changed.isoformat())
    assert near.is_at(f"{changed:%Y-%m-%dT%H:%M:%S.%f}999Z")
    assert not near.is_at("2026-01-01T00:00:00Z")


def test_a_folder_that_is_not_on_this_machine_is_not_near(tmp_path: Path) -> None:
    mounts = [{"Source": str(tmp_path / "none"), "Destination": str(DATA)}]
    assert Near.of({"Mounts": mounts}, DATA / "x") is None
    assert Near.of({"Mounts": []}, DATA / "x") is None
