"""What is told of a salvage."""

from dataclasses import replace

from haop.engines.base import Salvage
from haop.model.lsn import Lsn

ALL = Salvage(
    node="db1", standby="db2", begin=Lsn(0x3000000), end=Lsn(0x3000100), reached=Lsn(0x3000100), seconds=0.125
)


def test_everything_was_replayed() -> None:
    assert (ALL.complete, ALL.bytes, ALL.missing_bytes) == (True, 256, 0)
    assert ALL.told == "256 bytes of db1's WAL, 0/3000000 to 0/3000100, salvaged in 0.12 s"


def test_nothing_was_missing() -> None:
    none = replace(ALL, end=Lsn(0x2FFFFF8), reached=ALL.begin)
    assert (none.complete, none.bytes, none.missing_bytes) == (True, 0, 0)
    assert none.told == "db2 lacked nothing of db1's WAL"


def test_a_part_is_missing() -> None:
    part = replace(ALL, reached=Lsn(0x3000040), trouble="no progress in 15 s")
    assert (part.complete, part.bytes, part.missing_bytes) == (False, 64, 192)
    assert part.told == (
        "64 bytes of db1's WAL, 0/3000000 to 0/3000040, salvaged in 0.12 s; 192 bytes of WAL, 0/3000040 to "
        "0/3000100, are missing on db2, and lie in pg_wal of db1: no progress in 15 s"
    )


def test_nobody_can_tell_how_much_is_missing() -> None:
    unread = replace(ALL, end=None, reached=ALL.begin, trouble="it is gone")
    assert (unread.complete, unread.bytes, unread.missing_bytes) == (False, 0, None)
    assert unread.told == "WAL after 0/3000000 may be missing on db2, and would lie in pg_wal of db1: it is gone"
    nobodys = replace(unread, node=None)
    assert nobodys.told.endswith("would lie in the data of a primary, which are gone: it is gone")
