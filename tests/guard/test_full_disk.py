"""The disk of the primary is full until PostgreSQL ends of it: the fence has its room, and nothing is lost."""

import psycopg
import pytest

from haop.errors import HaopError
from haop.operations import guarding
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.disks import clear, fill, fill_folder, no_disks, small_disks, small_project
from tests.guard.clients import clients
from tests.guard.conftest import await_primary, await_watching, await_whole
from tests.guard.events import await_event, events
from tests.support import Quiet


def test_a_full_disk_ends_the_primary_and_nothing_else(runtime: str) -> None:
    if problem := no_disks():
        pytest.skip(problem)
    with support.folder() as folder:
        shop = support.make_project(folder / "shop", runtime=runtime, guard=True)
        with small_disks(shop, ["db1"], folder):
            up(shop, Quiet())
            assert support.primary_of(shop) == "db1"
            with clients(shop) as at_work:
                fill(shop, "db1")
                wait_until(lambda: ended(shop), deadline=60, waiting_for="PostgreSQL to end for want of room")
                new = await_primary(shop, but="db1")
                at_work.await_writes()
                assert "fenced db1" in await_event(shop, "guard failover")
                clear(shop, "db1")
                await_whole(shop)
                assert support.primary_of(shop) == new
            assert not at_work.lost()
            guarding.stop(shop.project)
            shop.runtime.kill("db1")
            fill(shop, "db1")  # PostgreSQL left room as it ended; now there is none
            shop.runtime.fence("db1")
            assert shop.runtime.state("db1").fenced


def ended(cluster: Cluster) -> bool:
    """Each call needs another WAL segment, until there is no room for one."""
    try:
        support.sql(cluster, "db1", "SELECT pg_switch_wal()")
        support.sql(cluster, "db1", "INSERT INTO ledger VALUES (-1); DELETE FROM ledger WHERE id < 0", database="shop")
    except (HaopError, psycopg.Error):
        return cluster.engine.observe().primary is None or support.primary_of(cluster) != "db1"
    return False


def test_a_full_disk_of_the_project_does_not_keep_the_guard_from_its_work(runtime: str) -> None:
    """It fails over, writes down who may lack writes, and records the event once there is room."""
    if problem := no_disks():
        pytest.skip(problem)
    with support.folder() as folder, small_project(runtime, folder) as shop:
        up(shop, Quiet())
        before, old = guarding.found(shop.project), support.primary_of(shop)
        await_watching(shop)
        with clients(shop) as at_work:
            filler = fill_folder(shop.project.state)
            shop.runtime.kill(old)
            await_primary(shop, but=old)
            at_work.await_writes()
            assert guarding.found(shop.project) == before
            for file in filler:
                file.unlink()
            assert "fenced" in await_event(shop, "guard failover")
            await_whole(shop)
        assert not at_work.lost()


def test_a_full_disk_of_a_standby_does_not_end_the_guard(runtime: str) -> None:
    if problem := no_disks():
        pytest.skip(problem)
    with support.folder() as folder:
        shop = support.make_project(folder / "shop", runtime=runtime, guard=True)
        with small_disks(shop, ["db2"], folder):
            up(shop, Quiet())
            before = guarding.found(shop.project)
            await_watching(shop)
            assert support.primary_of(shop) == "db1"
            fill(shop, "db2")
            shop.runtime.kill("db2")
            # It cannot be started, or ends again at once.
            wait_until(lambda: tried(shop), deadline=60, waiting_for="the guard to bring it back")
            assert guarding.found(shop.project) == before
            clear(shop, "db2")
            await_whole(shop)
            assert guarding.found(shop.project) == before


def tried(cluster: Cluster) -> bool:
    return len(events(cluster, "guard bring back")) > 0
