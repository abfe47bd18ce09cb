"""What holds a standby's replay is ended when a promotion needs it, and its settings are afterwards as they were."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from haop.engines import candidate, streaming
from haop.engines import failover as module
from haop.engines.base import Salvage
from haop.engines.salvage import salvaged
from haop.model.lsn import Lsn
from haop.model.status import Reachable
from haop.operations import failover, rejoin, status, switchover, verify
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.runtimes.base import Runtime
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop
from tests.postgres.test_salvage import KILLED, ROWS, damage, diverge, paid
from tests.support import Quiet

# What somebody has set, and must find again.
OWN = {"recovery_min_apply_delay": "1h", "restore_command": "cp '/archive/%f' %p"}
SET = "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%auto.conf' AND name <> ALL({}) ORDER BY name"
ENGINES_OWN = "ARRAY['primary_conninfo', 'primary_slot_name', 'synchronous_standby_names']"


def quiet(event: str, node: str) -> None:
    pass


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair: healthy before, healthy afterwards, nothing set by hand."""
    yield shared
    for node in status.observe(shared).status.reachable:
        for name in OWN:
            support.sql(shared, node.name, f"ALTER SYSTEM RESET {name}")
        support.sql(shared, node.name, "SELECT pg_reload_conf()")
    found = shared.engine.observe()
    for standby in {node.name for node in found.nodes} - {node.name for node in found.primaries}:
        if not found.streams(standby):
            rejoin.execute(shared, standby, quiet)
    support.await_health(shared)


def set_by_hand(cluster: Cluster, node: str) -> dict[str, str]:
    return dict(support.sql(cluster, node, SET.format(ENGINES_OWN)))  # type: ignore[arg-type]  # two texts a row


def set_own(cluster: Cluster, node: str) -> None:
    for name, value in OWN.items():
        quoted = value.replace("'", "''")
        support.sql(cluster, node, f"ALTER SYSTEM SET {name} = '{quoted}'")
    support.sql(cluster, node, "SELECT pg_reload_conf()")


HELD = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = '{}'"
PATIENT = {"max_standby_streaming_delay": "-1", "max_standby_archive_delay": "-1", "hot_standby_feedback": "off"}


@contextmanager
def report(cluster: Cluster, standby: str, *, snapshot: bool) -> Iterator[None]:
    """A session on the standby that replay waits for without end: for its lock, or for what it may still see."""
    primary = support.primary_of(cluster)
    for setting, value in PATIENT.items():
        support.sql(cluster, standby, f"ALTER SYSTEM SET {setting} = '{value}'")
    support.sql(cluster, standby, "SELECT pg_reload_conf()")
    awaited(cluster, standby, "SELECT 1 WHERE current_setting('max_standby_streaming_delay') = '-1'")
    awaited(cluster, primary, "SELECT 1 FROM pg_replication_slots WHERE active AND xmin IS NULL")
    support.sql(cluster, primary, "DROP TABLE IF EXISTS big")
    support.sql(cluster, primary, "CREATE TABLE big AS SELECT generate_series(1, 1000) AS i")
    verify.token_replayed(cluster, cluster.engine.observe())
    with closing(support.connect(cluster, standby, cluster.engine.admin)) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT 1" if snapshot else "SELECT count(*) FROM big")
        for statement in ("DELETE FROM big", "VACUUM big") if snapshot else ("ALTER TABLE big ADD COLUMN j int",):
            support.sql(cluster, primary, statement)
        awaited(cluster, standby, HELD.format("RecoveryConflictSnapshot" if snapshot else "relation"))
        yield
    for setting in PATIENT:
        support.sql(cluster, standby, f"ALTER SYSTEM RESET {setting}")
    support.sql(cluster, standby, "SELECT pg_reload_conf()")


def awaited(cluster: Cluster, node: str, statement: str) -> None:
    wait_until(lambda: support.sql(cluster, node, statement), deadline=30, waiting_for=statement)


@pytest.mark.parametrize("snapshot", [True, False], ids=["snapshot", "lock"])
def test_a_report_on_the_only_standby_does_not_hold_up_a_failover(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch, snapshot: bool
) -> None:
    monkeypatch.setattr(streaming, "_PROMOTION_SECONDS", 20.0)
    old, standby = support.primary_of(shop), support.standby_of(shop)
    told: list[str] = []
    with report(shop, standby, snapshot=snapshot):
        shop.runtime.kill(old)
        done = failover.execute(shop, None, lambda event, _: told.append(event))
    assert done.node == standby
    assert all(found.complete for found in done.salvaged)
    assert "ended sessions that blocked replay" in told


def test_what_is_salvaged_is_replayed_though_replay_was_paused_and_delayed(shop: Cluster) -> None:
    _, standby = diverge(shop)
    set_own(shop, standby)
    support.sql(shop, standby, "SELECT pg_wal_replay_pause()")
    done = failover.execute(shop, None, quiet)
    (found,) = done.salvaged
    assert found.complete, found.told
    assert found.bytes > ROWS * 30
    assert paid(shop, standby) == (ROWS + 1, ROWS + 1)
    assert set_by_hand(shop, standby) == OWN


def test_a_killed_failover_leaves_no_setting_changed_once_the_old_primary_is_back(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OWN, "recovery_min_apply_delay", "1s")  # `up` waits until a token is replayed
    old, standby = diverge(shop)
    set_own(shop, standby)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(shop.project.root)], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert set_by_hand(shop, standby) != OWN
    shop.runtime.reinstate(old)
    shop.runtime.start(shop.engine.services()[old])
    assert up(shop, Quiet()).status.primary
    assert support.primary_of(shop) == old
    assert set_by_hand(shop, standby) == OWN
    assert paid(shop, old) == (ROWS + 1, ROWS + 1)


def test_a_standby_that_starts_anew_has_its_own_settings(shop: Cluster) -> None:
    """Haop was killed before the promotion, and the standby ended too."""
    _, standby = diverge(shop)
    set_own(shop, standby)
    subprocess.run([sys.executable, "-c", KILLED, str(shop.project.root)], check=False, timeout=120)
    shop.runtime.stop(standby)
    shop.runtime.start(shop.engine.services()[standby])
    wait_until(lambda: status.observe(shop).status.standbys, deadline=60, waiting_for=f"{standby} to answer")
    assert set_by_hand(shop, standby) == OWN
    assert failover.execute(shop, None, quiet).salvaged[0].complete
    assert set_by_hand(shop, standby) == OWN


def test_a_report_does_not_hold_up_a_switchover(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_PROMOTION_SECONDS", 20.0)
    old, standby = support.primary_of(shop), support.standby_of(shop)
    with report(shop, standby, snapshot=False):
        switchover.execute(shop, switchover.plan(shop, None), Quiet(), quiet)
    assert support.primary_of(shop) == standby
    assert old in {node.name for node in shop.engine.observe().standbys}


@pytest.mark.parametrize("disk", ["whole", "damaged", "and the standby dies"])
def test_who_would_replay_for_long_is_promoted_only_where_salvage_makes_nobody_else_whole(
    folder: Path, runtime: str, monkeypatch: pytest.MonkeyPatch, haop: Haop, disk: str
) -> None:
    """A standby that is delayed on purpose has received a little more than one that has replayed everything."""
    monkeypatch.setattr(candidate, "MUCH_BYTES", 2**20)
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=3)) as cluster:
        support.sql(cluster, "db2", "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
        support.sql(cluster, "db2", "SELECT pg_reload_conf()")
        support.sql(cluster, "db1", "CREATE TABLE paid (id int)")
        awaited(cluster, "db2", HELD.format("RecoveryApplyDelay"))
        support.sql(cluster, "db1", "INSERT INTO paid SELECT generate_series(1, 50000)")
        end, _ = flushed(cluster, "db1")
        awaited(cluster, "db3", f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{end}'")
        support.cut_stream(cluster, "db3")
        support.sql(cluster, "db1", "INSERT INTO paid SELECT generate_series(1, 1000)")
        end, timeline = flushed(cluster, "db1")
        awaited(cluster, "db2", f"SELECT 1 WHERE pg_last_wal_receive_lsn() >= '{end}'")
        cluster.runtime.kill("db1")
        if disk == "damaged":
            at = cluster.engine.observe().node("db3")
            assert isinstance(at, Reachable)
            damage(cluster, "db1", timeline, Lsn(at.server.reach.position + 40))
        # Not the command, which waits until the other one follows: that asks for nothing while it delays its replay.
        shown = haop("-C", str(cluster.project.root), "failover", "--dry-run")
        assert "promote db3, or db2 where salvage leaves that one behind" in shown.out
        tried: list[str] = []

        def noted(runtime: Runtime, dead: Sequence[str], standby: str, *given: Any) -> Salvage:
            tried.append(standby)
            if disk == "and the standby dies" and standby == "db3":
                raise psycopg.OperationalError("the connection is lost")
            return salvaged(runtime, dead, standby, *given)

        monkeypatch.setattr(module, "salvaged", noted)
        done = cluster.engine.failover(None, quiet, terms=failover.terms(cluster))
        assert tried == (["db3"] if disk == "whole" else ["db3", "db2"])
        assert done.node == tried[-1]
        assert support.sql(cluster, done.node, "SELECT count(*) FROM paid") == [(51000,)]


def flushed(cluster: Cluster, primary: str) -> tuple[Lsn, int]:
    found = cluster.engine.observe().node(primary)
    assert isinstance(found, Reachable)
    return found.server.lsn, found.server.timeline
