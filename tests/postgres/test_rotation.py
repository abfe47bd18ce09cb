"""The log of a local node is rotated while its server runs: bounded, without a loss, and read whole."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from haop.model.health import Health
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet

FILES, BYTES = 4, 2**16


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """With logs of 64 kB, so that a few statements fill one."""
    with support.folder() as folder:
        root = support.make_project(folder / "shop").project.root
        config = root / "haop.toml"
        keys = f'log_size = "64kB"\nlog_files = {FILES}\n'
        config.write_text(config.read_text().replace("\n[local]", f"\n[local]\n{keys}#", 1))
        with support.running(Cluster.of(load(root))) as cluster:
            yield cluster


def files(cluster: Cluster, node: str = "db1") -> list[Path]:
    """The newest first."""
    found = (cluster.project.state / "local" / node).glob("log*")
    return sorted(path for path in found if path.suffix != ".alive")


def say(cluster: Cluster, mark: str, length: int = 1000) -> None:
    """Leave an entry of two lines in the log."""
    text = f"DO $$ BEGIN RAISE LOG '%', '{mark} begins {'x' * length}' || chr(10) || '{mark} ends'; END $$"
    support.sql(cluster, "db1", text)


def fill(cluster: Cluster, mark: str, times: int) -> None:
    """Until it is rotated once more."""
    newest = files(cluster)[0].stat().st_ino
    for number in range(times):
        say(cluster, f"{mark}-{number}")
    wait_until(
        lambda: (now := files(cluster)[0]).name == "log" and now.stat().st_ino != newest,
        deadline=60, pause=0.1, waiting_for="the log to be rotated",
    )  # fmt: skip


def test_a_running_server_fills_its_log_and_nothing_is_lost_or_unbounded(shop: Cluster) -> None:
    assert up(shop, Quiet()).health is Health.HEALTHY
    followed = shop.runtime.logs(["db1"], follow=True, since=None)
    per_file = BYTES // 1000 + 10
    fill(shop, "first", per_file)
    assert up(shop, Quiet()).health is Health.HEALTHY, "up leaves the log to the server"
    for turn in range(FILES - 2):
        fill(shop, f"more-{turn}", per_file)
    say(shop, "the-last")
    wanted = {f"first-{number}" for number in range(per_file)} | {"the-last"}
    read = [line.message for line in shop.runtime.logs(["db1"], follow=False, since=None)]
    told = {mark for mark in wanted if any(f"{mark} begins" in entry and f"\n\t{mark} ends" in entry for entry in read)}
    assert told == wanted, "what was rotated is read, and no entry is torn or lost"
    seen: set[str] = set()
    for line in followed:
        seen |= set(re.findall(r"(\S+) ends", line.message))
        if "the-last" in seen:
            break
    assert wanted <= seen, "who follows goes on over a rotation"

    for turn in range(2):
        fill(shop, f"over-{turn}", per_file)
    here = files(shop)
    assert [path.name for path in here] == ["log", *(f"log.{number}" for number in range(1, FILES))]
    assert sum(path.stat().st_size for path in here) < FILES * BYTES * 3
    assert not any("first-0" in line.message for line in shop.runtime.logs(["db1"], follow=False, since=None))


def test_what_rotates_it_ends_with_the_server_and_comes_back_with_it(shop: Cluster, folder: Path) -> None:
    where = shop.project.state / "local" / "db1"
    shop.runtime.stop("db1")
    assert not support.processes_in(where)
    assert shop.engine.last_words("db1").startswith("database system is shut down")
    assert up(shop, Quiet()).health is Health.HEALTHY
    shop.runtime.kill("db1")
    wait_until(lambda: not support.processes_in(where), deadline=20, waiting_for="nothing to be left")
    assert up(shop, Quiet()).health is Health.HEALTHY
    fill(shop, "again", BYTES // 1000 + 10)


def test_a_log_by_a_link_is_refused_and_not_written(shop: Cluster) -> None:
    where = shop.project.state / "local" / "db2"
    shop.runtime.stop("db2")
    elsewhere = shop.project.root / "elsewhere"
    elsewhere.write_text("as it was\n")
    (where / "log").rename(where / "log.aside")
    (where / "log").symlink_to(elsewhere)
    with pytest.raises(Exception, match="reached over a link"):
        shop.runtime.start(shop.engine.services()["db2"])
    assert elsewhere.read_text() == "as it was\n"
    (where / "log").unlink()
    (where / "log.aside").rename(where / "log")
    assert up(shop, Quiet()).health is Health.HEALTHY
