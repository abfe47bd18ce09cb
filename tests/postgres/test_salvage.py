"""What a dead primary has and no standby received is replayed before a standby is promoted; what cannot be is told."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from haop.engines.salvage import _layout, _source, salvaged
from haop.errors import HaopError, NoPrimary, Refused
from haop.guard.acts import Acts
from haop.guard.trouble import Troubles
from haop.model.lsn import Lsn
from haop.model.status import Reachable
from haop.operations import behind, failover, rebuild, rejoin, verify
from haop.operations.cluster import Cluster
from haop.postgres import replay, replication
from haop.postgres.connection import connected
from haop.postgres.wal import Wal
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, require

ROWS = 5000
# A disk of which nobody can say what timeline it is of.
HIDE = 'mkdir "$PGDATA.away"; mv "$PGDATA/pg_wal" "$PGDATA/global/pg_control" "$PGDATA.away"'
SHOW = 'mv "$PGDATA.away/pg_wal" "$PGDATA"; mv "$PGDATA.away/pg_control" "$PGDATA/global"; rmdir "$PGDATA.away"'


def quiet(event: str, node: str) -> None:
    pass


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    # A path that a shell, initdb's too, and PostgreSQL's own replacement of % would take for something else.
    copied = runtime == "local" and support.needs_a_copy(support.available()[-1])
    name = "it's 100%p" if copied else "it's 100%p, $HOME"
    with support.folder() as folder, support.running(support.make_project(folder / name, runtime=runtime)) as cluster:
        yield cluster


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair: healthy before, healthy afterwards."""
    yield shared
    bring_back(shared)


def bring_back(cluster: Cluster) -> None:
    found = cluster.engine.observe()
    assert found.primary
    for node in found.nodes:
        if node.name != found.primary.name and not found.streams(node.name):
            rejoin.execute(cluster, node.name, quiet)
    support.await_health(cluster)


def diverge(cluster: Cluster, *, rows: int = ROWS, wal_mb: int = 0) -> tuple[str, str]:
    """The standby receives no more; rows are acknowledged by the primary alone, and then it is killed."""
    old, standby = support.primary_of(cluster), support.standby_of(cluster)
    support.sql(cluster, old, "DROP TABLE IF EXISTS paid")
    support.sql(cluster, old, "CREATE TABLE paid (id int, body text)")
    verify.replayed(cluster, *_flushed(cluster, old))
    support.cut_stream(cluster, standby)
    support.sql(cluster, old, f"INSERT INTO paid SELECT generate_series(1, {rows})")
    for _ in range(wal_mb):
        support.sql(cluster, old, "SELECT pg_logical_emit_message(true, 'test', repeat('x', 1048576))")
    support.sql(cluster, old, "INSERT INTO paid VALUES (0)")
    cluster.runtime.kill(old)
    return old, standby


def _flushed(cluster: Cluster, name: str) -> tuple[Lsn, Sequence[Reachable]]:
    from haop.postgres import replication
    from haop.postgres.connection import connected

    with connected(cluster.runtime.endpoint(name), cluster.engine.admin) as connection:
        return replication.flushed(connection), cluster.engine.observe().standbys


def paid(cluster: Cluster, node: str) -> tuple[object, ...]:
    return support.sql(cluster, node, "SELECT count(*), count(DISTINCT id) FROM paid")[0]


def restore_command(cluster: Cluster, node: str) -> object:
    return support.sql(cluster, node, "SHOW restore_command")[0][0]


def log(cluster: Cluster, node: str) -> str:
    return "\n".join(line.message for line in cluster.runtime.logs([node], follow=False, since=None))


def lent(cluster: Cluster, node: str) -> str:
    return support.by_hand(cluster, node, 'ls -d "$PGDATA.lent" 2>/dev/null || true').strip()


@pytest.mark.parametrize("wal_mb", [0, 60], ids=["one-segment", "several-segments"])
def test_every_row_that_only_the_dead_primary_had_is_there(shop: Cluster, wal_mb: int) -> None:
    old, standby = diverge(shop, wal_mb=wal_mb)
    told: list[str] = []
    done = failover.execute(shop, None, lambda event, _: told.append(event))
    assert done.node == standby
    assert paid(shop, standby) == (ROWS + 1, ROWS + 1)
    (found,) = done.salvaged
    assert found.complete
    assert found.bytes > max(ROWS * 30, wal_mb * 2**20)
    assert found.node == old
    assert told[:4] == ["fenced", "salvaged", "promoting", "promoted"]
    assert restore_command(shop, standby) == ""
    assert lent(shop, standby) == ""
    event = [event for event in shop.project.events() if event.action == "failover"][-1]
    assert found.told in (event.detail or "")
    bring_back(shop)
    assert paid(shop, old) == (ROWS + 1, ROWS + 1)


def test_where_nothing_is_missing_nothing_is_set(shop: Cluster) -> None:
    old, standby = support.primary_of(shop), support.standby_of(shop)
    before = log(shop, standby).count("restore_command")
    verify.replayed(shop, *_flushed(shop, old))
    shop.runtime.kill(old)
    done = failover.execute(shop, None, quiet)
    assert [(found.complete, found.bytes) for found in done.salvaged] == [(True, 0)]
    assert done.salvaged[0].told == f"{standby} lacked nothing of {old}'s WAL"
    assert log(shop, standby).count("restore_command") == before


def test_what_is_not_there_is_not_told_in_the_log(shop: Cluster) -> None:
    _, standby = diverge(shop)
    before = len(log(shop, standby))
    failover.execute(shop, None, quiet)
    said = log(shop, standby)[before:]
    assert "restored log file" in said
    assert "No such file" not in said
    assert "cannot stat" not in said


def test_a_primary_that_cannot_be_read_is_done_without_and_that_is_told(shop: Cluster) -> None:
    old, standby = diverge(shop)
    support.by_hand(shop, old, 'rm -rf "$PGDATA/pg_wal"')
    done = failover.execute(shop, None, quiet)
    assert done.node == standby
    assert paid(shop, standby) == (0, 0)
    (found,) = done.salvaged
    assert not found.complete
    assert found.missing_bytes is None
    assert f"WAL after {found.reached} may be missing on {standby}, and would lie in pg_wal of {old}" in found.told
    event = [event for event in shop.project.events() if event.action == "failover"][-1]
    assert found.told in (event.detail or "")
    support.set_aside(shop, old)
    shop.runtime.start(shop.engine.services()[old])
    shop.engine.await_streaming(frozenset({old}), 120)


def test_a_standby_that_may_lack_writes_is_promoted_only_where_that_is_accepted(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, standby = diverge(shop)
    monkeypatch.setattr(behind, "names", lambda _: frozenset({standby}))
    support.by_hand(shop, old, 'mv "$PGDATA/pg_wal" "$PGDATA.away"')
    with pytest.raises(HaopError, match=f"the primary is fenced and nothing promoted: {standby} may lack") as told:
        failover.execute(shop, None, quiet)
    assert "--accept-loss" in (told.value.hint or "")
    assert shop.engine.observe().primaries == ()
    # Its disk can be read again: then nothing has to be accepted.
    support.by_hand(shop, old, 'mv "$PGDATA.away" "$PGDATA/pg_wal"')
    done = failover.execute(shop, None, quiet)
    assert done.fence == (), "it was fenced already"
    assert paid(shop, standby) == (ROWS + 1, ROWS + 1)


def test_an_operator_may_accept_the_loss(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    old, standby = diverge(shop)
    monkeypatch.setattr(behind, "names", lambda _: frozenset({standby}))
    support.by_hand(shop, old, 'rm -rf "$PGDATA/pg_wal"')
    with pytest.raises(HaopError, match="nothing promoted"):
        failover.execute(shop, None, quiet)
    done = failover.execute(shop, None, quiet, accept_loss=True)
    assert done.node == standby
    assert paid(shop, standby) == (0, 0)
    support.set_aside(shop, old)
    shop.runtime.start(shop.engine.services()[old])
    shop.engine.await_streaming(frozenset({old}), 120)


def test_without_salvage_rows_are_lost_and_a_standby_that_may_lack_some_is_refused_first(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, standby = diverge(shop)
    config = shop.project.root / "haop.toml"
    kept = config.read_text()
    config.write_text(kept.replace("# salvage = true ", "salvage = false "))
    without = Cluster.of(load(shop.project.root))
    config.write_text(kept)
    assert not without.project.spec.guard.salvage
    with monkeypatch.context() as patched:
        patched.setattr(behind, "names", lambda _: frozenset({standby}))
        with pytest.raises(Refused, match=f"{standby} may lack writes that were acknowledged without it"):
            failover.plan(without, None)
        with pytest.raises(Refused):
            failover.execute(without, None, quiet)
        assert not shop.runtime.state(old).fenced, "refused before anything is done"
    done = failover.execute(without, None, quiet)
    assert done.salvaged == ()
    assert paid(shop, standby) == (0, 0)


def damage(cluster: Cluster, node: str, timeline: int, at: Lsn) -> None:
    """Bytes of the dead node's WAL are no longer what they were."""
    name = f"{timeline:08X}{at.position >> 32:08X}{(at.position & 0xFFFFFFFF) >> 24:08X}"
    support.by_hand(
        cluster, node,
        f'printf haop-test-damage | dd of="$PGDATA/pg_wal/{name}" bs=1 seek={at.position % 2**24} conv=notrunc',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "durability"), [("in a page", "sync"), ("at the head of a page", "async"), ("at once", "async")]
)
def test_damaged_wal_is_missing_wal(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch, where: str, durability: str, haop: Haop
) -> None:
    """What lies beyond damage was acknowledged: it is told from where to where, and kept before it is discarded."""
    old, standby = diverge(shop)
    received = shop.engine.observe().standbys[0].server.reach
    with connected(shop.runtime.endpoint(standby), shop.engine.admin) as link:
        at = replication.advance(link)
    whole = Wal(_source(shop.runtime, old), _layout(shop.runtime, old, at.timeline, at)).end(received)
    middle = (received.position + (whole - received) // 2) // 8192 * 8192
    begin = {"in a page": middle + 4000, "at the head of a page": middle, "at once": received.position + 40}[where]
    damage(shop, old, at.timeline, Lsn(begin))
    if durability == "sync":
        monkeypatch.setattr(behind, "names", lambda _: frozenset({standby}))
        with pytest.raises(HaopError, match=rf"nothing promoted: {standby} may lack .*: that WAL is damaged at 0/"):
            failover.execute(shop, None, quiet)
        assert shop.engine.observe().primaries == ()
    done = haop(
        "-C",
        str(shop.project.root),
        "failover",
        "--yes",
        "--json",
        *(["--accept-loss"] if durability == "sync" else []),
    )
    assert done.code == 3
    (found,) = json.loads(done.out)["salvaged"]
    assert not found["complete"]
    assert (found["missing_to_lsn"], found["missing_bytes"]) == (
        str(whole),
        whole - Lsn.parse(found["missing_from_lsn"]),
    )
    assert received <= Lsn.parse(found["missing_from_lsn"]) <= Lsn(begin)
    event = [event for event in shop.project.events() if event.action == "failover"][-1]
    assert f"{found['missing_from_lsn']} to {whole}, are missing on {standby}" in (event.detail or "")
    before = {path.name for path in (shop.project.state / "salvage").glob("*")}
    with pytest.raises(HaopError, match=f"haop rebuild {old}"):
        rejoin.execute(shop, old, quiet)
    assert rebuild.execute(shop, old, support.Quiet())
    (kept,) = [path for path in (shop.project.state / "salvage").glob("*") if path.name not in before]
    assert Lsn.parse(json.loads((kept / "meta.json").read_text())["to_lsn"]) >= whole
    assert [path.stat().st_size for path in kept.glob("0*")] == [at.segment]


def test_what_a_standby_was_lent_is_gone_when_it_starts_anew(shop: Cluster) -> None:
    """Haop was killed before the promotion, and the primary came back instead."""
    standby = support.standby_of(shop)
    with connected(shop.runtime.endpoint(standby), shop.engine.admin) as link:
        replay.override(link, "restore_command", "test -f /lent/%f")
    support.by_hand(shop, standby, 'mkdir -p "$PGDATA.lent"')
    shop.runtime.stop(standby)
    shop.runtime.start(shop.engine.services()[standby])
    shop.engine.await_streaming(frozenset({standby}), 60)
    assert restore_command(shop, standby) == ""
    assert lent(shop, standby) == ""


def test_a_receiver_that_hangs_does_not_hold_it_up(folder: Path) -> None:
    """Its connection is taken, and never answered, as of a container whose network has just gone. On processes."""
    with (
        support.running(support.make_project(folder / "shop")) as cluster,
        socket.create_server(("127.0.0.1", 0)) as door,
    ):
        support.sql(cluster, "db1", "CREATE TABLE paid (id int, body text)")
        verify.replayed(cluster, *_flushed(cluster, "db1"))
        port = door.getsockname()[1]
        support.sql(cluster, "db2", f"ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={port}'")
        support.sql(cluster, "db2", "SELECT pg_reload_conf()")
        door.settimeout(20)
        guest, _ = door.accept()
        with guest:
            support.sql(cluster, "db1", f"INSERT INTO paid SELECT generate_series(1, {ROWS})")
            cluster.runtime.kill("db1")
            done = failover.execute(cluster, None, quiet)
            assert done.salvaged[0].complete, done.salvaged[0].told
            assert paid(cluster, "db2") == (ROWS, ROWS)


KILLED = """
import os, signal, sys
from pathlib import Path
from haop.engines.streaming import StreamingEngine
from haop.operations import failover
from haop.operations.cluster import Cluster
from haop.project import load
from haop.waiting import wait_until

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

StreamingEngine.crown = die
failover.execute(Cluster.of(load(Path(sys.argv[1]))), None, print)
"""


def test_a_failover_that_was_killed_after_salvage_is_completed_by_the_next(shop: Cluster) -> None:
    old, standby = diverge(shop)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(shop.project.root)], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert shop.runtime.state(old).fenced
    assert restore_command(shop, standby) != ""
    assert shop.engine.observe().primaries == ()
    done = failover.execute(shop, None, quiet)
    assert done.node == standby
    assert all(found.complete for found in done.salvaged)
    assert paid(shop, standby) == (ROWS + 1, ROWS + 1)
    assert restore_command(shop, standby) == ""
    assert lent(shop, standby) == ""


def test_what_a_killed_haop_left_is_tidied_and_an_operators_own_command_is_kept(shop: Cluster) -> None:
    primary = support.primary_of(shop)
    shop.engine.tidy_promotion(primary)
    support.sql(shop, primary, "ALTER SYSTEM SET restore_command = 'cp /archive/%f %p'")
    support.sql(shop, primary, "SELECT pg_reload_conf()")
    shop.engine.tidy_promotion(primary)
    settings = support.by_hand(shop, primary, 'cat "$PGDATA/postgresql.auto.conf"')
    assert "cp /archive/%f %p" in settings
    support.sql(shop, primary, "ALTER SYSTEM RESET restore_command")
    support.sql(shop, primary, "SELECT pg_reload_conf()")


def test_a_standby_that_missed_an_earlier_failover_gets_both_timelines(folder: Path, runtime: str) -> None:
    """The primary that died has a timeline of which the standby has never heard."""
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=3, postgres=18)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE paid (id int, body text)")
        verify.replayed(cluster, *_flushed(cluster, "db1"))
        support.cut_stream(cluster, "db3")
        support.sql(cluster, "db1", "INSERT INTO paid SELECT generate_series(1, 2000)")
        cluster.runtime.kill("db1")
        cluster.runtime.pause("db3")
        first = failover.execute(cluster, "db2", quiet)
        assert first.node == "db2"
        support.sql(cluster, "db2", "INSERT INTO paid SELECT generate_series(2001, 3000)")
        cluster.runtime.fence("db2")
        cluster.runtime.resume("db3")
        support.by_hand(cluster, "db2", HIDE)
        with connected(cluster.runtime.endpoint("db3"), cluster.engine.admin) as link:
            found = salvaged(cluster.runtime, ["db1", "db2"], "db3", link)
        assert (found.node, found.complete, found.missing_bytes) == ("db1", False, None)
        assert "the last primary may have been another: db2" in found.told
        support.by_hand(cluster, "db2", SHOW)
        done = failover.execute(cluster, "db3", quiet)
        assert [(found.node, found.complete) for found in done.salvaged] == [("db2", True)], done.salvaged[0].told
        assert paid(cluster, "db3") == (3000, 3000)
        bring_back(cluster)
        assert paid(cluster, "db1") == paid(cluster, "db2") == (3000, 3000)


def test_rows_of_a_primary_whose_data_are_gone_are_told_missing(
    folder: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the primary before it has is replayed, and is not all there was."""
    with support.running(support.make_project(folder / "shop", runtime=runtime, nodes=3)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE paid (id int, body text)")
        verify.replayed(cluster, *_flushed(cluster, "db1"))
        cluster.runtime.kill("db1")
        cluster.runtime.pause("db3")
        assert failover.execute(cluster, "db2", quiet).node == "db2"
        support.sql(cluster, "db2", "INSERT INTO paid SELECT generate_series(1, 1000)")
        cluster.runtime.kill("db2")
        support.by_hand(cluster, "db2", 'rm -rf "$PGDATA"/*')
        cluster.runtime.resume("db3")
        with monkeypatch.context() as patched:
            patched.setattr(behind, "names", lambda _: frozenset({"db3"}))
            with pytest.raises(HaopError, match=r"nothing promoted: db3 may lack writes .*: db2 was primary last"):
                failover.execute(cluster, None, quiet)
        done = failover.execute(cluster, "db3", quiet, accept_loss=True)
        assert [(found.node, found.complete, found.missing_bytes) for found in done.salvaged] == [(None, False, None)]
        assert paid(cluster, "db3") == (0, 0)


def test_a_fenced_primary_is_not_primary_again_where_another_was_since(shop: Cluster) -> None:
    """Until an operator does without what that one had."""
    old, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, old, "DROP TABLE IF EXISTS paid")
    support.sql(shop, old, "CREATE TABLE paid (id int, body text)")
    verify.replayed(shop, *_flushed(shop, old))
    shop.runtime.kill(old)
    assert failover.execute(shop, None, quiet).node == standby
    support.sql(shop, standby, "INSERT INTO paid VALUES (1)")
    shop.runtime.kill(standby)
    support.by_hand(shop, standby, 'rm -rf "$PGDATA"/*')
    with pytest.raises(NoPrimary, match=f"{old} is not primary again: {standby} may have been since") as refused:
        Acts(shop, Troubles()).reinstate("nobody is primary")
    assert f"haop failover --to {old} --accept-loss" in (refused.value.hint or "")
    with pytest.raises(NoPrimary):
        failover.execute(shop, old, quiet)
    assert shop.runtime.state(old).fenced
    assert failover.plan(shop, old, accept_loss=True).node == old
    assert failover.execute(shop, old, quiet, accept_loss=True).node == old
    assert paid(shop, old) == (0, 0)
    event = [event for event in shop.project.events() if event.action == "failover"][-1]
    assert "what others had since is lost" in (event.detail or "")
    support.set_aside(shop, standby)
    shop.runtime.start(shop.engine.services()[standby])
    shop.engine.await_streaming(frozenset({standby}), 120)


def test_the_oldest_version_salvages_too(folder: Path) -> None:
    with support.running(support.make_project(folder / "shop", postgres=require(15), durability="sync")) as cluster:
        old, standby = support.primary_of(cluster), support.standby_of(cluster)
        support.sql(cluster, old, "ALTER SYSTEM SET synchronous_standby_names = ''")
        support.sql(cluster, old, "SELECT pg_reload_conf()")
        diverge(cluster)
        done = failover.execute(cluster, None, quiet)
        assert done.salvaged[0].complete
        assert paid(cluster, standby) == (ROWS + 1, ROWS + 1)


@pytest.mark.parametrize("word", ["rewinding", "stranded"])
def test_who_was_about_to_follow_a_later_primary_is_no_dead_primary(folder: Path, runtime: str, word: str) -> None:
    """Its WAL was kept before its data were changed: what cannot be read of it keeps nobody from being promoted."""
    project = support.make_project(folder / "shop", runtime=runtime, nodes=3, durability="sync")
    with support.running(project) as cluster:
        cluster.runtime.kill("db1")
        second = failover.execute(cluster, None, quiet).node
        third = next(node for node in ("db2", "db3") if node != second)
        support.by_hand(cluster, "db1", f'echo {word} >"$PGDATA.fence"; echo why >"$PGDATA.fence.why"; {HIDE}')
        wait_until(lambda: cluster.engine.observe().streams(third), deadline=60, waiting_for=f"{third} to stream")
        support.sql(cluster, second, "CREATE TABLE late AS SELECT 1 AS id")
        cluster.runtime.kill(second)
        done = failover.execute(cluster, None, quiet)
        assert (done.node, [each.complete for each in done.salvaged]) == (third, [True])
        assert support.sql(cluster, third, "SELECT id FROM late") == [(1,)]
