"""WAL that was kept beside a node's data, collected by two at once: a command and the guard, which acts meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from haop.operations import salvage
from tests import support

_SEGMENTS = 4


def test_two_that_collect_the_same_wal_at_once_bring_all_of_it_and_no_error(folder: Path) -> None:
    cluster = support.make_project(folder / "shop")
    beside = cluster.project.state / "local" / "db1" / "data.discarded"
    for round_ in range(10):
        name = f"1-0_3041650-0_304A070-20261127T2046{round_:02d}Z"
        (beside / name).mkdir(parents=True)
        for number in range(_SEGMENTS):
            (beside / name / f"00000001000000000000000{number}").write_bytes(bytes([number]) * 2**20)
        with ThreadPoolExecutor(max_workers=3) as pool:
            told = list(pool.map(lambda _: salvage.collected(cluster), range(3)))
        assert not any("stays beside" in each for each in told), told
        assert sum(name in each for each in told) == 1, "one of them says so"
        kept = cluster.project.state / "salvage" / f"db1-{name}"
        segments = sorted(kept.glob("0*"))
        assert [file.read_bytes() for file in segments] == [bytes([number]) * 2**20 for number in range(_SEGMENTS)]
        assert not (beside / name).exists()
