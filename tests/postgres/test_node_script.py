"""What the node script decides from what it finds: each time it is really started, as `docker start` would.

On processes: the script is the same in a container, and these tests put files in its way, which is quick in a folder.
What it decides in a failover, a rejoin, a crash is tested on both runtimes, beside this file.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from haop.engines.base import Terms
from haop.errors import Refused
from haop.model.health import Health
from haop.model.service import State
from haop.operations import failover, rejoin, restart
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.process import run
from haop.runtimes import private_files
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, require
from tests.support import Quiet


@pytest.fixture(scope="module")
def runtime() -> str:
    """The one that `shared` has here."""
    return "local"


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair that is healthy before a test, and again after it (roles may have moved)."""
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY


def home(cluster: Cluster, node: str) -> Path:
    return cluster.project.state / "local" / node


def decided(cluster: Cluster, node: str) -> str:
    """Start a node; what its script decided."""
    log = home(cluster, node) / "log"
    before = log.stat().st_size
    cluster.runtime.start(cluster.engine.services()[node])
    wait_until(lambda: b":  haop: " in log.read_bytes()[before:], deadline=20, waiting_for=f"{node} to decide")
    return cluster.engine.last_decision(node)


def refused(cluster: Cluster, node: str) -> str:
    """Start a node; it ends without a server, and this is why."""
    decision = decided(cluster, node)
    assert decision.startswith("refuse: ")
    gone = {State.STOPPED, State.ABSENT}
    wait_until(lambda: cluster.runtime.state(node).state in gone, deadline=20, waiting_for=f"{node} to end")
    assert decision in cluster.engine.last_words(node)
    return decision


def streams(cluster: Cluster, node: str) -> None:
    """The node becomes a standby that streams; at no moment on the way are there two primaries."""

    def look() -> bool:
        status = cluster.engine.observe()
        assert len(status.primaries) < 2, "two primaries"
        return status.streams(node)

    wait_until(look, deadline=30, waiting_for=f"{node} to stream")


def put(cluster: Cluster, folder: Path, name: str) -> None:
    """A file in a folder of the servers' user."""
    folder.mkdir()
    (folder / name).write_text("something")
    for path in (folder, folder / name):
        private_files.own(path, support.local(cluster).run_as)


def fail_over(cluster: Cluster) -> tuple[str, str]:
    """Kill the primary, promote the standby; their names."""
    old = support.primary_of(cluster)
    cluster.runtime.kill(old)
    return old, failover.execute(cluster, None, silent).node


def silent(event: str, node: str) -> None:
    """A rejoin's and a failover's events."""


def test_the_first_node_initialises_once_and_never_again(shop: Cluster) -> None:
    initialised = (home(shop, "db1") / "log").read_text().count("haop: initialise: ")
    assert initialised == 1
    if support.primary_of(shop) == "db1":
        fail_over(shop)
    shop.runtime.stop("db1")
    support.set_aside(shop, "db1")
    shop.runtime.stop("db2")
    script = shop.project.stack / "node.sh"
    rendered = script.read_text()
    script.write_text(rendered.replace("await_primary 60", "await_primary 1"))
    assert script.read_text() != rendered
    assert "no primary answers" in refused(shop, "db1")
    script.write_text(rendered)
    assert not (home(shop, "db1") / "data").exists()
    decided(shop, "db2")
    wait_until(lambda: shop.engine.observe().primary, deadline=20, waiting_for="db2 to accept writes")
    assert decided(shop, "db1").startswith("clone: db2 is primary on timeline ")
    streams(shop, "db1")
    assert (home(shop, "db1") / "log").read_text().count("haop: initialise: ") == 1


def test_what_an_interrupted_clone_left_is_removed_by_the_next(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.stop(standby)
    support.set_aside(shop, standby)
    side = home(shop, standby) / "data.clone"
    put(shop, side, "left-over")
    assert decided(shop, standby).startswith("clone: ")
    streams(shop, standby)
    assert not side.exists()
    assert not (home(shop, standby) / "data" / "left-over").exists()


def test_a_clone_killed_in_the_middle_leaves_the_primary_alone_and_up_completes_it(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, primary, "CREATE TABLE kept AS SELECT repeat('x', 1000) FROM generate_series(1, 40000)")
    started = support.sql(shop, primary, "SELECT pg_postmaster_start_time()")
    shop.runtime.stop(standby)
    support.set_aside(shop, standby)
    side, data = home(shop, standby) / "data.clone", home(shop, standby) / "data"
    shop.runtime.start(shop.engine.services()[standby])
    wait_until((side / "base" / "1").exists, deadline=20, pause=0.0005, waiting_for="the clone to be half made")
    shop.runtime.kill(standby)
    assert side.exists()
    assert not data.exists()
    assert shop.runtime.state(standby).state is State.ABSENT
    assert support.sql(shop, primary, "SELECT pg_postmaster_start_time()") == started
    support.sql(shop, primary, "DELETE FROM kept WHERE ctid = '(0,1)'")
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert not side.exists()
    assert support.sql(shop, standby, "SELECT count(*) FROM kept") == [(39999,)]
    support.sql(shop, primary, "DROP TABLE kept")


def test_somebody_elses_files_are_neither_used_nor_removed(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.stop(standby)
    support.set_aside(shop, standby)
    data = home(shop, standby) / "data"
    put(shop, data, "notes.txt")
    assert "holds files, but no data directory" in refused(shop, standby)
    assert [path.name for path in data.iterdir()] == ["notes.txt"]
    shutil.rmtree(data)


def test_a_standby_follows_the_primary_that_answers_else_the_one_it_knows(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.stop(standby)
    assert decided(shop, standby).startswith(f"follow: {primary} on timeline ")
    streams(shop, standby)
    shop.runtime.stop(primary)
    shop.runtime.stop(standby)
    assert decided(shop, standby).startswith("follow: the primary it followed last; none answers")
    assert decided(shop, primary).startswith("primary: timeline ")
    streams(shop, standby)


def test_a_standby_starts_though_a_setting_is_lower_now_than_the_primary_had_it(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    conf = shop.project.stack / "postgresql.conf"
    rendered = conf.read_text()
    conf.write_text(f"{rendered}\nmax_connections = '117'\nmax_prepared_transactions = 3\n")
    for node in (standby, primary):
        shop.runtime.stop(node)
    decided(shop, primary)
    assert "as the primary had it" not in decided(shop, standby)
    streams(shop, standby)
    shop.runtime.stop(standby)  # its last restart point knows what the primary has
    conf.write_text(f"{rendered}\nmax_connections = '50'\n")
    told = decided(shop, standby)
    assert told.startswith(f"follow: {primary} on timeline ")
    assert "; max_connections = 117 as the primary had it, haop.toml asks for 50" in told
    assert "; max_prepared_transactions = 3 as the primary had it, haop.toml asks for 0" in told
    streams(shop, standby)
    assert support.sql(shop, standby, "SHOW max_connections") == [("117",)]
    shop.runtime.stop(standby)
    support.set_aside(shop, standby)
    assert decided(shop, standby).startswith("clone: ")
    streams(shop, standby)
    assert "max_connections = 117 as the primary had it" in shop.engine.last_decision(standby)
    shop.runtime.stop(primary)
    decided(shop, primary)
    streams(shop, standby)
    shop.runtime.stop(standby)
    assert "as the primary had it" not in decided(shop, standby)
    assert support.sql(shop, primary, "SHOW max_connections") == [("50",)]
    conf.write_text(rendered)


def test_an_interrupted_rewind_refuses_and_its_advice_heals_it(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.stop(standby)
    support.local(shop)._folders.mark(standby, "rewinding")
    assert f"unusable: haop rebuild {standby}" in refused(shop, standby)
    found = up(shop, Quiet())  # the rest is as it should be
    with pytest.raises(Refused) as not_restarted:
        restart.one(shop, standby, Quiet())
    assert not_restarted.value.hint == f"clone it again: haop rebuild {standby}"
    hints = {each.code: each.hint or "" for each in found.findings if each.node == standby}
    assert {code for code, hint in hints.items() if f"haop rebuild {standby}" in hint} == {"fenced", "slot-inactive"}
    support.set_aside(shop, standby)


def test_a_rewind_that_was_killed_before_it_changed_anything_is_tried_again(shop: Cluster) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    support.cut_stream(shop, new)
    support.sql(shop, old, "CREATE TABLE lost AS SELECT 1")
    shop.runtime.kill(old)
    shop.engine.failover(None, silent, terms=Terms(salvage=False))
    runtime = support.local(shop)
    real, hanging = runtime._bindir, shop.project.state / "hanging"
    hanging.mkdir(mode=0o755)
    for program in real.iterdir():
        (hanging / program.name).symlink_to(program)
    (hanging / "pg_rewind").unlink()
    (hanging / "pg_rewind").write_text('#!/bin/sh\ntouch "$PGDATA.begun"\nexec sleep 60\n')
    (hanging / "pg_rewind").chmod(0o755)
    runtime.readmit(old)
    runtime._bindir = hanging
    runtime.start(shop.engine.services()[old])
    wait_until((home(shop, old) / "data.begun").exists, deadline=60, waiting_for="pg_rewind to begin")
    runtime.kill(old)
    runtime._bindir = real
    assert rejoin.execute(shop, old, silent).startswith("rewind: to 0/")
    shutil.rmtree(hanging)


@pytest.mark.parametrize("how", ["by itself", "by up"])
def test_an_old_primary_that_comes_back_unfenced_becomes_a_standby(shop: Cluster, how: str) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    support.cut_stream(shop, new)
    support.sql(shop, old, "CREATE TABLE lost AS SELECT 1")
    shop.runtime.kill(old)
    support.sql(shop, new, "SELECT pg_promote()")
    if how == "by itself":
        decided(shop, old)
    else:
        up(shop, Quiet())
    streams(shop, old)
    assert shop.engine.last_decision(old).startswith("rewind: to 0/")
    assert support.primary_of(shop) == new
    assert support.sql(shop, old, "SELECT to_regclass('lost')") == [(None,)]


def test_an_old_primary_does_not_start_while_a_standby_knows_of_a_later_one_that_is_down(folder: Path) -> None:
    with support.running(support.make_project(folder / "shop", nodes=3)) as cluster:
        cluster.runtime.kill("db1")
        support.sql(cluster, "db2", "SELECT pg_promote()")
        cluster.runtime.stop("db3")
        assert decided(cluster, "db3").startswith("follow: db2 on timeline 2")
        streams(cluster, "db3")
        cluster.runtime.kill("db2")
        assert "a standby has seen timeline 2" in refused(cluster, "db1")
        assert decided(cluster, "db2").startswith("primary: timeline 2")
        wait_until(lambda: cluster.engine.observe().primary, deadline=20, waiting_for="db2 to accept writes")
        assert "db2 on timeline 2" in decided(cluster, "db1")
        streams(cluster, "db1")


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_diverged_standby_that_went_down_does_not_keep_what_the_new_primary_never_had(folder: Path, how: str) -> None:
    with support.running(support.make_project(folder / "shop", nodes=3)) as cluster:
        support.cut_stream(cluster, "db2")
        support.sql(cluster, "db1", "CREATE TABLE lost AS SELECT 1")
        there = "SELECT 1 WHERE to_regclass('lost') IS NOT NULL"
        wait_until(lambda: support.sql(cluster, "db3", there), deadline=20, waiting_for="db3 to replay")
        cluster.runtime.kill("db1")
        support.sql(cluster, "db2", "SELECT pg_promote()")
        cluster.engine.point("db3", "db2")
        wait_until(lambda: diverged(cluster, "db3"), deadline=20, waiting_for="db3 to know of the new timeline")
        getattr(cluster.runtime, how)("db3")
        assert "; WAL that only db3 had, 0/" in rejoin.execute(cluster, "db3", silent)
        streams(cluster, "db3")
        assert not support.sql(cluster, "db3", there)


def diverged(cluster: Cluster, node: str) -> str | None:
    status = cluster.engine.observe()
    (found,) = (standby for standby in status.standbys if standby.name == node)
    return status.diverged(found)


def test_between_two_primaries_of_one_timeline_nobody_is_chosen(folder: Path) -> None:
    with support.running(support.make_project(folder / "shop", nodes=3)) as cluster:
        cluster.runtime.kill("db1")
        for node in ("db2", "db3"):
            support.sql(cluster, node, "SELECT pg_promote()")
        assert "db2 and db3 are both primary on timeline 2" in refused(cluster, "db1")
        assert (home(cluster, "db1") / "data" / "PG_VERSION").exists()


def test_the_fence_marker_lies_beside_the_data_and_no_clone_carries_it(shop: Cluster) -> None:
    old, new = fail_over(shop)
    marker = home(shop, old) / "data.fence"
    assert marker.read_text() == "fenced\n"
    assert not list((home(shop, old) / "data").glob("*fence*"))
    support.set_aside(shop, old)
    support.local(shop)._folders.mark(new, "reinstate")
    assert decided(shop, old).startswith(f"clone: {new} is primary on timeline ")
    streams(shop, old)
    assert not marker.exists()
    assert not list((home(shop, old) / "data").glob("*fence*"))
    (home(shop, new) / "data.fence").unlink()


def foreign_data(cluster: Cluster, node: str, maker: Cluster) -> None:
    """Put a data directory, made by the PostgreSQL of `maker`, in the place of a stopped node's."""
    cluster.runtime.stop(node)
    support.set_aside(cluster, node)
    argv = (str(support.local(maker)._bindir / "initdb"), "-N", "-U", "postgres", "-A", "reject", "--locale=C", "-D")
    run((*argv, str(home(cluster, node) / "data")), run_as=support.local(cluster).run_as, cwd=Path("/"))


def test_data_of_another_cluster_is_refused_by_the_script_and_by_up(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    foreign_data(shop, standby, shop)
    assert "belongs to another cluster" in refused(shop, standby)
    with pytest.raises(Refused, match="belongs to another cluster"):
        up(shop, Quiet())
    support.set_aside(shop, standby)


def test_data_of_another_major_version_is_refused_by_the_script_and_by_up(folder: Path, haop: Haop) -> None:
    old = support.make_project(folder / "old", postgres=require(15))
    cluster = support.make_project(folder / "shop", postgres=require(18))
    with support.running(cluster):
        foreign_data(cluster, "db2", old)
        assert "is of PostgreSQL 15; haop.toml asks for 18" in refused(cluster, "db2")
        events = (cluster.project.state / "events.jsonl").read_bytes()
        done = haop("-C", "shop", "up")
        assert done.code == 2
        assert "is of PostgreSQL 15; haop.toml asks for 18" in done.err.replace("\n", " ")
        assert (cluster.project.state / "events.jsonl").read_bytes() == events
        assert (home(cluster, "db2") / "data" / "PG_VERSION").read_text() == "15\n"
        assert support.primary_of(cluster) == "db1"


def test_a_log_line_that_a_kill_cut_short_does_not_swallow_the_next_decision(folder: Path) -> None:
    with support.running(support.make_project(folder / "shop")) as cluster:
        cluster.runtime.stop("db2")
        with (home(cluster, "db2") / "log").open("a") as log:
            log.write("2026-11-24 13:00:00.000 UTC [1] FATAL:  termina")
        cluster.runtime.start(cluster.engine.services()["db2"])
        streams(cluster, "db2")
        assert cluster.engine.last_decision("db2").startswith("follow: db1")
