"""Bad days of a primary, a standby, or both: the guard brings the cluster through, and nothing acknowledged is lost."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from haop.errors import ConnectionFailed
from haop.model.service import State
from haop.operations import guarding, maintenance
from haop.operations.cluster import Cluster
from haop.runtimes.base import Partitionable
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import only_compose
from tests.guard.clients import clients
from tests.guard.conftest import await_primary, await_whole
from tests.guard.events import events


def kill(cluster: Cluster, node: str) -> None:
    cluster.runtime.kill(node)


def stop_by_someone_else(cluster: Cluster, node: str) -> None:
    if cluster.project.spec.runtime == "compose":
        stacks.docker("stop", stacks.container(cluster, node))
    else:
        support.by_hand(cluster, node, 'kill -INT "$(head -n 1 "$PGDATA/postmaster.pid")"')


def hang(cluster: Cluster, node: str) -> None:
    cluster.runtime.pause(node)


def delete_data(cluster: Cluster, node: str) -> None:
    if cluster.project.spec.runtime == "compose":
        stacks.execute(cluster, node, 'rm -rf "$PGDATA"/*', user="postgres")
    else:
        support.by_hand(cluster, node, 'rm -rf "$PGDATA"/*')


@pytest.mark.parametrize("fault", [kill, stop_by_someone_else, hang, delete_data], ids=lambda fault: fault.__name__)
def test_a_primary_that_is_gone_is_replaced_and_nothing_that_it_acknowledged_is_lost(
    shop: Cluster, fault: Callable[[Cluster, str], None]
) -> None:
    old = support.primary_of(shop)
    with clients(shop) as at_work:
        fault(shop, old)
        new = await_primary(shop, but=old)
        promoted = time.monotonic()
        shop.runtime.resume(old)  # what hung goes on, if it can
        at_work.await_writes()
        await_whole(shop)
        assert support.primary_of(shop) == new
        late = [number for straight in at_work.straight for number in straight.since(promoted)]
    assert not late, "the old primary took writes after another was promoted"
    assert not at_work.lost() or fault is delete_data  # its WAL is gone with its data: what had not been sent is lost
    assert any("fenced" in detail for detail in events(shop, "guard failover"))


@only_compose  # a process has no container
def test_a_container_that_is_removed_is_replaced(shop: Cluster) -> None:
    old = support.primary_of(shop)
    with clients(shop) as at_work:
        stacks.docker("rm", "--force", stacks.container(shop, old))
        await_primary(shop, but=old)
        at_work.await_writes()
        await_whole(shop)
    assert not at_work.lost()


@only_compose  # processes have no network that could be cut
def test_a_primary_that_nobody_reaches_is_replaced_and_takes_no_write_alone(shop: Cluster) -> None:
    old = support.primary_of(shop)
    assert isinstance(shop.runtime, Partitionable)
    with clients(shop) as at_work:
        shop.runtime.cut(old)
        await_primary(shop, but=old)
        promoted = time.monotonic()
        shop.runtime.mend(old)
        at_work.await_writes()
        await_whole(shop)
        late = [number for straight in at_work.straight for number in straight.since(promoted)]
    assert not late
    assert not at_work.lost()


def test_a_session_that_is_killed_is_no_reason_to_fail_over_but_three_in_a_minute_are(shop: Cluster) -> None:
    """What the kernel does where memory is short: PostgreSQL restarts by itself."""
    old = support.primary_of(shop)
    with clients(shop) as at_work:
        crash(shop, old)
        at_work.await_writes()
        assert support.primary_of(shop) == old
        for _ in range(2):
            time.sleep(1.2)  # one crash shows twice within a second, and is counted once
            crash(shop, old)
        await_primary(shop, but=old)
        at_work.await_writes()
        await_whole(shop)
    assert not at_work.lost()
    assert "crashed 3 times" in events(shop, "guard failover")[-1] or "exit" in events(shop, "guard failover")[-1]


def crash(cluster: Cluster, node: str) -> None:
    """Kill one of its processes, and wait until PostgreSQL has restarted for that, or has ended for another reason."""
    victim = walwriter(cluster, node)
    if cluster.project.spec.runtime == "compose":
        stacks.execute(cluster, node, f"kill -9 {victim}", user="postgres")
    else:
        support.by_hand(cluster, node, f"kill -9 {victim}")
    wait_until(
        lambda: walwriter(cluster, node) not in {None, victim} or not runs(cluster, node),
        deadline=30,
        waiting_for="the crash restart",
    )


def runs(cluster: Cluster, node: str) -> bool:
    return cluster.runtime.state(node).state is State.RUNNING


def walwriter(cluster: Cluster, node: str) -> int | None:
    try:
        rows = support.sql(cluster, node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
    except ConnectionFailed:
        return None
    return int(str(rows[0][0])) if rows else None


def test_the_standby_dies_and_then_the_primary(shop: Cluster) -> None:
    old, standby = support.primary_of(shop), support.standby_of(shop)
    with clients(shop) as at_work:
        shop.runtime.kill(standby)
        shop.runtime.kill(old)
        at_work.await_writes()
        await_whole(shop)
    assert not at_work.lost()


@pytest.mark.parametrize("first", ["primary", "standby"])
def test_both_die_with_the_guard_and_whoever_comes_back_first_nothing_is_lost(shop: Cluster, first: str) -> None:
    """The machine is started again: nothing runs, and a guard begins."""
    old, standby = support.primary_of(shop), support.standby_of(shop)
    with clients(shop) as at_work:
        guarding.stop(shop.project)
        support.crash(shop)
        early = old if first == "primary" else standby
        shop.runtime.start(shop.services()[early])
        guarding.ensure(shop.project)
        at_work.await_writes()
        await_whole(shop)
    assert not at_work.lost()


def test_a_candidate_that_cannot_start_leaves_the_primary_where_it_is(shop: Cluster) -> None:
    old, standby = support.primary_of(shop), support.standby_of(shop)
    with clients(shop) as at_work:
        shop.runtime.kill(standby)
        support.by_hand(shop, standby, 'echo 14 >"$PGDATA/PG_VERSION"')  # of another version: it refuses
        shop.runtime.kill(old)
        at_work.await_writes()
        assert support.primary_of(shop) == old
        support.by_hand(shop, standby, f'echo {shop.project.spec.postgres} >"$PGDATA/PG_VERSION"')
        await_whole(shop)
    assert not at_work.lost()


def test_a_paused_guard_does_nothing_until_the_pause_is_over(shop: Cluster) -> None:
    old = support.primary_of(shop)
    with clients(shop) as at_work:
        maintenance.pause(shop.project, 3600, "a test")
        before = len(events(shop, "guard failover"))
        time.sleep(1.0)  # the guard has seen it: it looks four times a second
        shop.runtime.stop(old)
        time.sleep(3.0)  # long enough for everything that a guard without a pause would do
        assert len(events(shop, "guard failover")) == before
        assert shop.runtime.state(old).state is State.STOPPED
        maintenance.resume(shop.project)
        at_work.await_writes()
        await_whole(shop)
    assert not at_work.lost()


def test_a_wall_clock_that_jumps_changes_nothing(shop: Cluster) -> None:
    """The guard measures with a clock that nobody sets: a pause alone has to do with the wall's."""
    from haop.clock import Moment, moment

    made, now = maintenance.pause(shop.project, 60, "a test"), moment()
    assert (
        maintenance.paused(shop.project, Moment(now.wall.replace(year=now.wall.year + 1), now.boot, now.seconds))
        == made
    )
    later = Moment(now.wall.replace(year=now.wall.year - 1), now.boot, now.seconds + 61)
    assert maintenance.paused(shop.project, later) is None
    maintenance.resume(shop.project)


def test_a_second_guard_refuses(shop: Cluster) -> None:
    argv = (sys.executable, "-m", "haop", "-C", str(shop.project.root), "guard", "run")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    there = guarding.found(shop.project)
    assert there
    assert f"process {there.pid}" in done.stderr
