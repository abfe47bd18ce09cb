"""A standby that follows another standby, or asks it in vain, is led to the primary: by the guard, and by commands."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from haop.operations import guarding, rejoin
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet

_QUICK = {"autovacuum": "off", "checkpoint_timeout": "1h"}  # nothing but the test writes a checkpoint


@contextmanager
def three_nodes(runtime: str, durability: str) -> Iterator[Cluster]:
    with support.folder() as folder:
        made = support.make_project(
            folder / "shop", runtime=runtime, durability=durability, nodes=3, parameters=_QUICK, guard=True
        )
        with support.running(made) as cluster:
            yield cluster


@pytest.fixture(scope="module")
def three(runtime: str) -> Iterator[Cluster]:
    with three_nodes(runtime, "sync") as cluster:
        yield cluster


@pytest.fixture
def shop(three: Cluster) -> Cluster:
    return unwatched(three)


def unwatched(cluster: Cluster) -> Cluster:
    """Whole, and its guard does not work yet."""
    up(cluster, Quiet())
    guarding.stop(cluster.project)
    return cluster


@pytest.mark.parametrize("slot", [True, False], ids=["cascades", "asks in vain"])
def test_the_guard_leads_a_standby_to_the_primary(shop: Cluster, slot: bool) -> None:
    primary, near, far = names(shop)
    follow(shop, far, near, slot=slot)
    guarding.ensure(shop.project)
    wait_until(lambda: shop.engine.observe().streams(far), deadline=60, waiting_for="it to stream from the primary")
    assert upstream(shop, far) == shop.runtime.places()[primary].port


def test_the_guard_leads_a_standby_that_lets_nobody_in_to_the_primary(shop: Cluster) -> None:
    _, near, far = names(shop)
    leave_inconsistent(shop, far, near)
    guarding.ensure(shop.project)
    wait_until(lambda: shop.engine.observe().streams(far), deadline=90, waiting_for="it to stream from the primary")


@pytest.mark.parametrize("command", ["up", "rejoin"])
def test_commands_lead_a_standby_that_lets_nobody_in_to_the_primary(shop: Cluster, command: str) -> None:
    _, near, far = names(shop)
    leave_inconsistent(shop, far, near)
    if command == "up":
        up(shop, Quiet())
    else:
        rejoin.execute(shop, far, lambda _event, _node: None)
    assert shop.engine.observe().streams(far)


def names(cluster: Cluster) -> tuple[str, str, str]:
    """The primary, and two standbys."""
    primary = support.primary_of(cluster)
    near, far = (node.name for node in cluster.project.spec.nodes if node.name != primary)
    return primary, near, far


def upstream(cluster: Cluster, node: str) -> int:
    return int(str(support.sql(cluster, node, "SELECT sender_port FROM pg_stat_wal_receiver")[0][0]))


def follow(cluster: Cluster, far: str, near: str, *, slot: bool) -> None:
    """A running standby follows another, which has a slot for it or not."""
    if slot:
        support.sql(cluster, near, f"SELECT pg_create_physical_replication_slot('{far}', true)")
    cluster.engine.point(far, near)
    wait_until(lambda: not cluster.engine.observe().streams(far), deadline=30, waiting_for="it to leave the primary")


def leave_inconsistent(cluster: Cluster, far: str, near: str) -> None:
    """It lacks WAL that it needs to become consistent, and asks another standby for it, which has no slot for it."""
    primary = support.primary_of(cluster)
    support.sql(cluster, primary, "CHECKPOINT")
    replayed(cluster, far)
    leave_without_wal(cluster, far, near)
    support.sql(cluster, near, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    start_inconsistent(cluster, far, primary)


def start_inconsistent(cluster: Cluster, far: str, primary: str) -> None:
    """It lets nobody in; the node script finds no primary, and leaves whom it follows as it was told."""
    cluster.runtime.pause(primary)
    try:
        cluster.runtime.start(cluster.services()[far])
        consistent = "in recovery, not yet consistent"
        wait_until(lambda: reason(cluster, far) == consistent, deadline=60, waiting_for="it to let nobody in")
    finally:
        cluster.runtime.resume(primary)
    wait_until(lambda: cluster.engine.observe().primary, deadline=30, waiting_for="the primary to go on")


def leave_without_wal(cluster: Cluster, far: str, near: str) -> None:
    """It has stopped, needs more WAL than it has, and will ask that node for it."""
    primary = support.primary_of(cluster)
    support.sql(cluster, primary, "CREATE TABLE wal (id int)")
    for _ in range(2):
        support.sql(cluster, primary, "SELECT pg_switch_wal()")
        support.sql(cluster, primary, "INSERT INTO wal VALUES (1)")
    # Files are removed only once the control file says that what comes before is needed.
    support.sql(cluster, primary, "DROP TABLE wal")
    replayed(cluster, far)
    cluster.runtime.stop(far)
    place, mine = cluster.runtime.places()[near], cluster.runtime.places()[primary]
    support.by_hand(
        cluster, far,
        f"sed -i 's/host={mine.host} port={mine.port}/host={place.host} port={place.port}/' "
        '"$PGDATA/postgresql.auto.conf"; cd "$PGDATA/pg_wal"; '
        """first=$(pg_controldata -D "$PGDATA" | sed -n "s/^Latest checkpoint's REDO WAL file: *//p"); """
        'for file in ????????????????????????; do if [ "$file" \\> "$first" ]; then rm "$file"; fi; done',
    )  # fmt: skip


def reason(cluster: Cluster, node: str) -> str:
    return str(getattr(cluster.engine.observe().node(node), "reason", ""))


def replayed(cluster: Cluster, node: str) -> None:
    end = support.sql(cluster, support.primary_of(cluster), "SELECT pg_current_wal_flush_lsn()::text")[0][0]
    wait_until(
        lambda: support.sql(cluster, node, f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == [(True,)],
        deadline=60, waiting_for="it to replay everything",
    )  # fmt: skip
