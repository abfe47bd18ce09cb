"""No promotion takes the number of a timeline that another has had, and histories are compared, not numbers."""

from pathlib import Path

import pytest

from haop.engines.timelines import Timelines
from haop.errors import HaopError
from haop.operations import failover, rebuild, rejoin, status, verify
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.conftest import require
from tests.postgres.test_salvage import HIDE, SHOW

ROWS = 3000


def quiet(event: str, node: str) -> None:
    pass


def timeline(cluster: Cluster, node: str) -> object:
    return support.sql(cluster, node, "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int")[
        0
    ][0]


def test_a_standby_that_slept_through_a_failover_is_promoted_above_it(folder: Path, runtime: str) -> None:
    """Else what only the other has would be taken for the new primary's, and not be kept."""
    major = require({"local": 15, "compose": 18}[runtime], runtime)
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=3, postgres=major)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE paid (id int)")
        status_before = cluster.engine.observe()
        verify.replayed(cluster, status_before.standbys[0].server.reach, status_before.standbys)
        cluster.runtime.kill("db1")
        cluster.runtime.pause("db3")
        assert failover.execute(cluster, "db2", quiet).node == "db2"
        support.sql(cluster, "db2", f"INSERT INTO paid SELECT generate_series(1, {ROWS})")
        cluster.runtime.kill("db2")
        assert Timelines(folder / "none", cluster.runtime, ["db1", "db2"]).highest(cluster.engine.observe()) == 2
        support.by_hand(cluster, "db2", HIDE)
        cluster.runtime.resume("db3")
        assert failover.execute(cluster, "db3", quiet, accept_loss=True).node == "db3"
        assert timeline(cluster, "db3") == 3
        assert support.sql(cluster, "db3", "SHOW restore_command") == [("",)]
        support.by_hand(cluster, "db2", SHOW)
        # db1 has never heard of the second timeline, and must ask for its history, too.
        assert rejoin.execute(cluster, "db1", quiet)
        told = rejoin.execute(cluster, "db2", quiet)
        assert told.startswith("rewind: to 0/")
        assert "WAL that only db2 had" in told
        assert support.sql(cluster, "db2", "SELECT count(*) FROM paid") == [(0,)]
        support.await_health(cluster)


def test_two_timelines_of_one_number_are_told_apart(folder: Path, runtime: str) -> None:
    """Somebody has promoted by hand: a standby must not follow who has another past."""
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=2)) as cluster:
        support.cut_stream(cluster, "db2")
        support.sql(cluster, "db1", "CREATE TABLE lost AS SELECT 1")
        support.sql(cluster, "db2", "SELECT pg_promote()")
        support.sql(cluster, "db2", "CREATE TABLE paid AS SELECT 1")
        support.sql(cluster, "db2", "CHECKPOINT")
        cluster.runtime.stop("db1")
        cluster.runtime.stop("db2")
        # db1 becomes a standby, and is promoted to the same number at another place.
        support.by_hand(cluster, "db1", ': >"$PGDATA/standby.signal"')
        cluster.runtime.start(cluster.engine.services()["db1"])
        wait_until(lambda: cluster.engine.observe().standbys, deadline=60, waiting_for="db1 to answer")
        support.sql(cluster, "db1", "SELECT pg_promote()")
        support.by_hand(cluster, "db2", ': >"$PGDATA/standby.signal"')
        assert timeline(cluster, "db1") == 2
        with pytest.raises(HaopError, match="its timeline 2 is another than that"):
            rejoin.execute(cluster, "db2", quiet)
        found = {f.code: f for f in status.observe(cluster).findings if f.node == "db2"}
        assert "haop rebuild db2" in (found["fenced"].hint or "")
        rebuild.execute(cluster, "db2", support.Quiet())
        kept = [path.name for path in (cluster.project.state / "salvage").glob("db2-2-*")]
        assert kept, "what only it had"
        support.await_health(cluster)
