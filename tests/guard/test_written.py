"""A primary that recovers with less WAL than it had written: the guard says so, though no standby was there to tell."""

import os
import signal

from haop.model.lsn import Lsn
from haop.operations import guarding, maintenance
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop
from tests.guard.events import await_event, events
from tests.postgres.test_salvage import damage


def test_a_primary_that_comes_back_with_less_is_told_of(shop: Cluster, haop: Haop) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    maintenance.pause(shop.project, None, "a test")
    shop.runtime.stop(standby)
    timeline, begin = _position(shop, primary)
    support.sql(shop, primary, "CREATE TABLE lost AS SELECT generate_series(1, 20000) AS i")
    _, end = _position(shop, primary)
    wait_until(lambda: _written(shop) >= end, deadline=30, waiting_for="the guard to tell what is written")
    there = guarding.found(shop.project)
    assert there
    os.kill(there.pid, signal.SIGKILL)  # the machine lost its power: the next guard knows what this one told
    shop.runtime.kill(primary)
    damage(shop, primary, timeline, Lsn(begin.position + 40))
    shop.runtime.start(shop.engine.services()[primary])
    assert shop.engine.was_primary(primary)
    wait_until(lambda: shop.engine.observe().primary, deadline=60, waiting_for="the primary")
    guarding.ensure(shop.project)
    told = await_event(shop, "guard lost WAL")
    assert told.startswith("it had written up to 0/"), told
    assert told.endswith("bytes of WAL, and their commits, are lost")
    assert f"WAL of {primary}: it had written" in haop("-C", str(shop.project.root), "guard", "status").out
    assert support.sql(shop, primary, "SELECT FROM pg_class WHERE relname = 'lost'") == []
    maintenance.resume(shop.project)  # and the standby is brought back
    wait_until(lambda: shop.engine.observe().streams(standby), deadline=120, waiting_for="the standby")
    assert len(events(shop, "guard lost WAL")) == 1


def _position(cluster: Cluster, node: str) -> tuple[int, Lsn]:
    ((timeline, lsn),) = support.sql(
        cluster, node, "SELECT timeline_id, pg_current_wal_flush_lsn()::text FROM pg_control_checkpoint()"
    )
    return int(str(timeline)), Lsn.parse(str(lsn))


def _written(cluster: Cluster) -> Lsn:
    written = guarding.told_last(cluster.project).get("written") or {}
    return Lsn.parse(str(written.get("lsn", "0/0")))
