"""Fenced nodes come back as standbys: former primaries by following or by rewind, plain standbys by following."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from haop.engines.base import Terms
from haop.engines.returning import bring_back
from haop.errors import HaopError, Refused
from haop.model.health import Health
from haop.model.service import State
from haop.operations import failover, rejoin, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.conftest import only_local
from tests.support import Quiet


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair that is healthy before a test, and again after it (roles may have moved)."""
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY


def silent(event: str, node: str) -> None:
    """A rejoin's and a failover's events."""


def replayed(cluster: Cluster, standby: str, table: str) -> None:
    """What is written on the primary now arrives on the standby."""
    support.sql(cluster, support.primary_of(cluster), f"CREATE TABLE {table} AS SELECT generate_series(1, 1000) AS n")
    there = f"SELECT 1 FROM pg_class WHERE relname = '{table}'"
    wait_until(lambda: support.sql(cluster, standby, there), deadline=20, waiting_for=f"{standby} to replay {table}")
    assert support.sql(cluster, standby, f"SELECT count(*) FROM {table}") == [(1000,)]
    support.sql(cluster, support.primary_of(cluster), f"DROP TABLE {table}")


def refuses_to_start(cluster: Cluster, node: str) -> None:
    """Whoever starts a fenced node, its script ends it again, and says why."""
    assert cluster.runtime.state(node).fenced
    cluster.runtime.start(cluster.engine.services()[node])
    wait_until(
        lambda: cluster.engine.last_decision(node).startswith("refuse: fenced"),
        deadline=20, waiting_for=f"{node} to refuse",
    )  # fmt: skip
    assert node not in {found.name for found in cluster.engine.observe().reachable}


def test_a_fenced_standby_comes_back_by_following(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.fence(standby)
    refuses_to_start(shop, standby)
    shop.engine.rejoin(standby, silent)
    assert shop.engine.last_decision(standby).startswith(f"follow: {primary} on timeline ")
    assert not shop.runtime.state(standby).fenced
    assert shop.engine.observe().streams(standby)
    replayed(shop, standby, "after_the_fence")


def diverged_and_fenced(cluster: Cluster) -> tuple[str, str]:
    """A failover without salvage: the old primary has a table that nobody else has; both names."""
    old, new = support.primary_of(cluster), support.standby_of(cluster)
    support.cut_stream(cluster, new)
    support.sql(cluster, old, "CREATE TABLE lost AS SELECT 1")
    cluster.runtime.kill(old)
    assert cluster.engine.failover(None, silent, terms=Terms(salvage=False)).node == new
    return old, new


def test_where_only_a_rebuild_helps_everybody_says_so_and_the_data_stay_whole(shop: Cluster) -> None:
    """What keeps pg_rewind from its work is found out before it changes anything."""
    old, new = diverged_and_fenced(shop)
    grant = "EXECUTE ON FUNCTION pg_read_binary_file(text, bigint, bigint, boolean)"
    role = support.sql(shop, new, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%rewind%'")[0][0]
    support.sql(shop, new, f"REVOKE {grant} FROM {role}")
    with pytest.raises(HaopError, match=f"haop rebuild {old}"):
        rejoin.execute(shop, old, silent)
    found = next(f for f in status.observe(shop).findings if f.node == old and f.code == "fenced")
    assert f"haop rebuild {old}" in (found.hint or "")
    with pytest.raises(Refused) as refused:
        rejoin.plan(shop, old)
    assert f"haop rebuild {old}" in (refused.value.hint or "")
    with pytest.raises(HaopError) as denied:
        bring_back(shop.engine, old, rebuild=False)
    assert f"haop rebuild {old}" in (denied.value.hint or "")
    ended = up(shop, Quiet())
    assert (ended.health, [f.code for f in ended.findings if f.node == old and f.hint and "rebuild" in f.hint]) == (
        Health.DEGRADED, ["fenced", "slot-inactive"],
    )  # fmt: skip
    assert "shut down" in support.by_hand(shop, old, 'pg_controldata -D "$PGDATA"'), "it has recovered, and no more"
    support.sql(shop, new, f"GRANT {grant} TO {role}")
    assert bring_back(shop.engine, old, rebuild=True) == f"clones {new}"
    shop.engine.await_streaming(frozenset({old}), 120)


def test_a_standby_that_crashed_while_it_streamed_and_was_fenced_comes_back_by_following(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, primary, "CREATE TABLE busy AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    shop.runtime.kill(standby)
    shop.runtime.fence(standby)
    support.sql(shop, primary, "DELETE FROM busy")
    shop.engine.rejoin(standby, silent)
    assert shop.engine.last_decision(standby).startswith(f"follow: {primary} on timeline ")
    assert shop.engine.observe().streams(standby)
    replayed(shop, standby, "after_the_crash")
    assert support.sql(shop, standby, "SELECT count(*) FROM busy") == [(0,)]
    support.sql(shop, primary, "DROP TABLE busy")


def test_a_standby_that_was_only_pointed_to_the_primary_tells_no_decision_of_before(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    ((followed,),) = support.sql(shop, standby, "SHOW primary_conninfo")
    nowhere = re.sub(r"port=\d+", "port=1", str(followed)).replace("'", "''")
    support.sql(shop, standby, f"ALTER SYSTEM SET primary_conninfo = '{nowhere}'")
    support.sql(shop, standby, "SELECT pg_reload_conf()")
    wait_until(lambda: not shop.engine.observe().streams(standby), deadline=20, waiting_for="the stream to end")
    assert rejoin.execute(shop, standby, silent) == "it was not started"
    assert shop.engine.last_decision(standby) != "it was not started"


def test_up_brings_a_fenced_standby_back(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.fence(standby)
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert shop.engine.last_decision(standby).startswith("follow: ")
    replayed(shop, standby, "after_up")


def test_a_former_primary_refuses_until_rejoin_and_loses_what_only_it_had(shop: Cluster) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    support.cut_stream(shop, new)
    support.sql(shop, old, "CREATE TABLE lost AS SELECT 1")
    shop.runtime.kill(old)
    assert shop.engine.failover(None, silent, terms=Terms(salvage=False)).node == new
    refuses_to_start(shop, old)
    assert rejoin.execute(shop, old, silent).startswith("rewind: to 0/")
    assert support.sql(shop, old, "SELECT to_regclass('lost')") == [(None,)]
    support.await_health(shop)
    replayed(shop, old, "after_the_rewind")


def test_what_a_primary_has_only_in_memory_yet_is_not_lost(shop: Cluster) -> None:
    """A rewound node needs it to become consistent: an idle session's transaction, of less than a page."""
    old, new = diverged_and_fenced(shop)
    support.sql(shop, new, "CREATE TABLE open (id int)")
    with support.connect(shop, new, shop.engine.admin) as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO open VALUES (1)")
        assert session.execute("SELECT pg_current_wal_insert_lsn() > pg_current_wal_lsn()").fetchone() == (True,)
        rejoin.execute(shop, old, silent)
    assert shop.engine.observe().streams(old)
    support.sql(shop, new, "DROP TABLE open")


@only_local  # a container's script ignores signals meanwhile: `docker stop` waits by itself
def test_a_stop_in_the_middle_of_a_rewind_waits_for_its_end(shop: Cluster, folder: Path) -> None:
    """What `haop restart` and `down` do: a rewind that is ended leaves data that only a clone replaces."""
    old, new = support.primary_of(shop), support.standby_of(shop)
    support.cut_stream(shop, new)
    support.sql(shop, old, "CREATE TABLE lost AS SELECT 1")
    shop.runtime.kill(old)
    shop.engine.failover(None, silent, terms=Terms(salvage=False))
    runtime = support.local(Cluster.of(shop.project))
    vars(runtime)["_bindir"] = slow_rewind(support.local(shop)._bindir, folder)
    runtime.readmit(old)
    runtime.start(shop.engine.services()[old])
    wait_until(lambda: runtime._folders.word(old) == "rewinding", deadline=30, waiting_for="a rewind")
    runtime.stop(old)
    assert runtime.state(old).state is State.STOPPED
    assert runtime._folders.word(old) == ""
    shop.runtime.start(shop.engine.services()[old])
    wait_until(lambda: shop.engine.observe().streams(old), deadline=30, waiting_for=f"{old} to stream")
    assert support.sql(shop, old, "SELECT to_regclass('lost')") == [(None,)]


def slow_rewind(bindir: Path, folder: Path) -> Path:
    """The same programs, of which one takes a second longer."""
    slow = folder / "bin"
    slow.mkdir()
    for program in bindir.iterdir():
        (slow / program.name).symlink_to(program)
    (slow / "pg_rewind").unlink()
    (slow / "pg_rewind").write_text(f'#!/bin/sh\nsleep 1\nexec {bindir}/pg_rewind "$@"\n')
    (slow / "pg_rewind").chmod(0o755)
    return slow


def test_a_former_primary_that_stopped_cleanly_has_nothing_to_rewind(shop: Cluster) -> None:
    old = support.primary_of(shop)
    shop.runtime.stop(old)
    failover.execute(shop, None, silent)
    assert "nothing to rewind" in rejoin.execute(shop, old, silent)
    replayed(shop, old, "after_following")


def test_a_former_primary_that_comes_back_unfenced_becomes_a_standby_by_itself(shop: Cluster) -> None:
    """Its container or its process is simply started again, by whoever it may be, with no haop around."""
    old, new = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.kill(old)
    support.sql(shop, new, "SELECT pg_promote()")
    shop.runtime.start(shop.engine.services()[old])

    def streams() -> bool:
        found = shop.engine.observe()
        assert len(found.primaries) < 2, "two primaries"
        return found.streams(old)

    wait_until(streams, deadline=30, waiting_for=f"{old} to stream")
    assert shop.engine.last_decision(old).startswith(("follow: ", "rewind: "))
    assert support.primary_of(shop) == new
    replayed(shop, old, "after_coming_back")
