"""A standby that can become consistent only with WAL that its primary has lost is known to need a clone."""

from collections.abc import Iterator

import pytest

from haop.engines import upstream
from haop.errors import HaopError
from haop.operations import failover, guarding, rebuild, rejoin, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.guard.test_cascading import leave_without_wal, names, replayed, start_inconsistent, three_nodes, unwatched
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet


@pytest.fixture(scope="module")
def three(runtime: str) -> Iterator[Cluster]:
    with three_nodes(runtime, "async") as cluster:
        yield cluster


@pytest.fixture
def shop(three: Cluster) -> Cluster:
    return unwatched(three)


@pytest.mark.parametrize("by", ["guard", "up", "rejoin"])
def test_who_waits_for_what_is_lost_is_told_to_need_a_clone(shop: Cluster, by: str) -> None:
    """It cannot be rewound either: pg_rewind reads that WAL, too."""
    near, far = lose(shop)
    if by == "guard":
        guarding.ensure(shop.project)
    elif by == "up":
        assert far in {found.node for found in up(shop, Quiet()).findings}
    else:
        with pytest.raises(HaopError, match="a fresh clone is needed"):
            rejoin.execute(shop, far, lambda _event, _node: None)
    wait_until(lambda: shop.runtime.state(far).needs_rebuild, deadline=60, waiting_for="it to be known")
    assert {code for code, _, node in assert_all_agree(shop) if node == far} == {"fenced", "slot-inactive"}
    hints = [found.hint or "" for found in status.observe(shop).findings if found.node == far]
    assert hints
    assert all(hint.endswith(f"haop rebuild {far}") for hint in hints)
    rebuild.execute(shop, far, Quiet())
    support.sql(shop, near, "CREATE TABLE after (id int)")
    replayed(shop, far)
    assert support.sql(shop, far, "SELECT relname FROM pg_class WHERE relname IN ('lost', 'after')") == [("after",)]
    support.sql(shop, near, "DROP TABLE after")


def lose(cluster: Cluster) -> tuple[str, str]:
    """A primary that was promoted without what another standby has replayed, and that one, which lets nobody in."""
    primary, near, far = names(cluster)
    support.sql(cluster, primary, "CHECKPOINT")
    replayed(cluster, near)
    support.cut_stream(cluster, near)
    support.sql(cluster, primary, "CREATE TABLE lost (id int)")
    leave_without_wal(cluster, far, near)
    cluster.runtime.kill(primary)
    support.by_hand(cluster, primary, 'rm -rf "$PGDATA"/*')
    done = failover.execute(cluster, near, lambda _event, _node: None, accept_loss=True)
    assert done.node == near
    start_inconsistent(cluster, far, near)
    wait_until(
        lambda: upstream.waits_for_what_is_lost(cluster.engine, far, near), deadline=30, waiting_for="it to be known"
    )
    return near, far
