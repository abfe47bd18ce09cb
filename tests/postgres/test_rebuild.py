"""What a rewind or a rebuild discards is kept; a rebuild replaces data only by a clone that is whole."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from haop.engines import rebuilding
from haop.engines.base import Terms
from haop.errors import HaopError, NoPrimary
from haop.model.health import Health
from haop.model.service import State
from haop.operations import rebuild, rejoin
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, only_local
from tests.support import Quiet


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair that is healthy before a test, and again after it (roles may have moved)."""
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY
    standby = support.standby_of(shared)
    left = support.by_hand(shared, standby, 'cd "$(dirname "$PGDATA")"; ls -d *.clone *.replaced *.fence || true')
    assert not left


def silent(event: str, node: str) -> None:
    """A rejoin's and a failover's events."""


def salvaged(cluster: Cluster) -> dict[str, Path]:
    """What was brought home so far."""
    return {path.name: path for path in (cluster.project.state / "salvage").glob("*")}


def write_alone(cluster: Cluster, secret: str) -> tuple[str, str]:
    """Rows that only the old primary has, and a failover; old and new."""
    old, new = support.primary_of(cluster), support.standby_of(cluster)
    support.cut_stream(cluster, new)
    support.sql(cluster, old, f"CREATE TABLE alone AS SELECT '{secret}' AS secret")
    cluster.runtime.kill(old)
    cluster.engine.failover(None, silent, terms=Terms(salvage=False))
    return old, new


def marked(cluster: Cluster, node: str, word: str) -> None:
    """What an interrupted rewind, or a fence, leaves beside the data."""
    support.by_hand(cluster, node, f'rm -f "$PGDATA.fence"; echo {word} >"$PGDATA.fence"')


def starts_by_itself(cluster: Cluster, node: str) -> bool:
    """Whether the engine would start it again, where there is an engine."""
    if cluster.project.spec.runtime == "local":
        return True
    found = support.containers(cluster)._containers.inspect(node)
    assert found
    return bool(found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped")


def lose_slot(cluster: Cluster, standby: str) -> None:
    """The stopped standby's WAL is gone from the primary."""
    primary = support.primary_of(cluster)
    limits = {"max_slot_wal_keep_size": "'1MB'", "wal_keep_size": "0"}
    for setting, value in limits.items():
        support.sql(cluster, primary, f"ALTER SYSTEM SET {setting} = {value}")
    support.sql(cluster, primary, "SELECT pg_reload_conf()")
    cluster.runtime.stop(standby)
    for _ in range(4):
        support.sql(cluster, primary, "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()")
    support.sql(cluster, primary, "CHECKPOINT")
    for setting in limits:
        support.sql(cluster, primary, f"ALTER SYSTEM RESET {setting}")
    support.sql(cluster, primary, "SELECT pg_reload_conf()")
    slot = cluster.project.spec.node(standby).slot
    lost = f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}' AND wal_status = 'lost'"
    wait_until(lambda: support.sql(cluster, primary, lost), deadline=20, waiting_for="the slot to be lost")


def test_the_wal_that_a_rewind_discards_is_kept_and_can_be_read(shop: Cluster) -> None:
    before = salvaged(shop)
    old, _ = write_alone(shop, "only-the-old-primary-knows-this")
    told = rejoin.execute(shop, old, silent)
    assert told.startswith("rewind: to 0/")
    (name,) = salvaged(shop).keys() - before.keys()
    folder = salvaged(shop)[name]
    assert f"is kept in .haop/salvage/{name}" in told
    assert told.endswith("MB there in all")
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["node"] == old
    assert (meta["from_lsn"], meta["bytes"] % 2**24) == (told.split()[2].rstrip(","), 0)
    segments = b"".join(path.read_bytes() for path in sorted(folder.glob("0*")))
    assert b"only-the-old-primary-knows-this" in segments
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    if bindir := getattr(shop.runtime, "_bindir", None):
        argv = [bindir / meta["read_with"].split()[0], *meta["read_with"].split()[1:]]
        records = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
        assert "COMMIT" in records.stdout
        assert not records.stderr
    assert support.by_hand(shop, old, 'ls -A "$PGDATA.discarded"') == ""
    (event,) = (e for e in shop.project.events() if e.action == "rejoin" and name in (e.detail or ""))
    assert event.node == old


@only_local  # the command line and the engine know of no runtime here
def test_a_standby_whose_slot_is_lost_is_told_to_be_rebuilt_and_is(shop: Cluster, haop: Haop) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    where = str(shop.project.root)
    lose_slot(shop, standby)
    refused = haop("-C", where, "rejoin", standby)
    assert refused.code == 2
    assert f"haop rebuild {standby}" in refused.err
    assert haop("-C", where, "rebuild", primary, "--yes").code == 2
    assert haop("-C", where, "rebuild", standby).code == 2  # there is nobody to ask
    planned = haop("-C", where, "rebuild", standby, "--dry-run")
    assert planned.out.startswith(f"would: clone {primary} to {standby}")
    assert shop.runtime.state(standby).state is State.STOPPED
    done = haop("-C", where, "rebuild", standby, "--yes", "--json")
    assert json.loads(done.out)["decision"].startswith(
        f"rebuild: the clone has replaced what was here, and follows {primary}"
    )
    assert shop.engine.observe().streams(standby)
    (event,) = (e for e in shop.project.events() if e.action == "rebuild")
    assert (event.outcome, event.node) == ("done", standby)


@only_local  # a server's own figures, whatever runs it
def test_a_rebuild_says_how_far_it_is_by_the_servers_own_estimate(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    fill = "CREATE UNLOGGED TABLE not_cloned AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    support.sql(shop, primary, fill)  # 110 MB that no base backup has
    told: list[str] = []
    monkeypatch.setattr(rebuilding, "_TELL_SECONDS", 0.0)
    rebuilding.Rebuild(shop.engine, shop.runtime, standby).run(silent, told.append)
    support.sql(shop, primary, "DROP TABLE not_cloned")
    counts = [[int(word) for word in re.findall(r"\d+", line)] for line in told]
    assert counts
    assert all(done <= total < 100 for done, total in counts), told


def test_a_rebuild_that_fails_leaves_the_data_and_the_node_as_they_were(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    role = shop.secrets.replication_user
    support.by_hand(shop, standby, 'touch "$PGDATA/as-it-was"')
    support.sql(shop, primary, f"ALTER ROLE {role} NOREPLICATION")
    with pytest.raises(HaopError, match=r"is not rebuilt: .* are as they were") as failed:
        rebuild.execute(shop, standby, Quiet())
    assert failed.value.exit_code == 1
    assert failed.value.hint == f"when that is mended: haop rebuild {standby}"
    support.sql(shop, primary, f"ALTER ROLE {role} REPLICATION")
    assert not shop.runtime.rebuilding(standby)
    assert starts_by_itself(shop, standby)
    wait_until(lambda: shop.engine.observe().streams(standby), deadline=30, waiting_for="the old data to follow")
    assert shop.runtime.holds(standby, PurePosixPath("as-it-was"))
    assert rebuild.execute(shop, standby, Quiet()).startswith("rebuild: ")
    assert not shop.runtime.holds(standby, PurePosixPath("as-it-was"))
    assert starts_by_itself(shop, standby)


@only_local  # the node script's work, and files are put in its way
def test_what_an_interrupted_rewind_left_is_rebuilt_and_a_former_primary_keeps_its_wal(shop: Cluster) -> None:
    before = salvaged(shop)
    old, new = write_alone(shop, "only-the-rebuilt-node-knew-this")
    marked(shop, old, "rewinding")
    with pytest.raises(HaopError, match="interrupted pg_rewind") as refused:
        rejoin.execute(shop, old, silent)
    assert refused.value.hint == f"clone it again: haop rebuild {old}"
    shop.runtime.stop(new)
    with pytest.raises(NoPrimary):
        rebuild.plan(shop, old)
    assert up_primary(shop, new)
    marked(shop, old, "fenced")
    told = rebuild.execute(shop, old, Quiet())
    (name,) = salvaged(shop).keys() - before.keys()
    assert name in told
    assert any(b"only-the-rebuilt-node-knew-this" in path.read_bytes() for path in salvaged(shop)[name].glob("0*"))
    shop.runtime.stop(old)
    marked(shop, old, "rewinding")
    support.by_hand(shop, old, 'rm "$PGDATA/global/pg_control"')
    rebuild.execute(shop, old, Quiet())
    assert shop.engine.observe().streams(old)


def up_primary(cluster: Cluster, node: str) -> bool:
    """Start a node that was stopped as the primary."""
    cluster.runtime.start(cluster.engine.services()[node])
    wait_until(lambda: cluster.engine.observe().primary, deadline=30, waiting_for=f"{node} to accept writes")
    return True


def test_haop_killed_in_the_middle_of_a_rebuild_and_the_node_with_it_leaves_what_up_completes(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    support.sql(shop, primary, "CREATE TABLE kept AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    argv = (sys.executable, "-m", "haop", "-C", str(shop.project.root), "rebuild", standby, "--yes")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    backup = "SELECT 1 FROM pg_stat_progress_basebackup"
    wait_until(lambda: support.sql(shop, primary, backup), deadline=30, pause=0, waiting_for="the clone to begin")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    shop.runtime.kill(standby)
    assert shop.runtime.state(standby).fenced
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert shop.engine.last_decision(standby).startswith("rebuild: ")
    assert support.sql(shop, standby, "SELECT count(*) FROM kept") == [(20000,)]
    support.sql(shop, primary, "DROP TABLE kept")


RENAMES = {
    "before the first": ('cp -a "$PGDATA" "$PGDATA.clone"; echo rebuild >"$PGDATA.fence"', "rebuild: "),
    "between them": (
        'cp -a "$PGDATA" "$PGDATA.clone"; mv "$PGDATA" "$PGDATA.replaced"; echo rebuild >"$PGDATA.fence"', "follow: ",
    ),
    "between them, with no clone": ('mv "$PGDATA" "$PGDATA.replaced"; echo rebuild >"$PGDATA.fence"', "rebuild: "),
    "after the second": ('cp -a "$PGDATA" "$PGDATA.replaced"; echo rebuild >"$PGDATA.fence"', "follow: "),
}  # fmt: skip


@only_local  # the node script's work, and its files are moved by hand
def test_a_rebuild_interrupted_at_its_renames_is_completed_by_the_next_start(shop: Cluster) -> None:
    standby = support.standby_of(shop)
    for state, (script, decision) in RENAMES.items():
        shop.runtime.stop(standby)
        support.by_hand(shop, standby, script)
        shop.runtime.start(shop.engine.services()[standby])
        wait_until(lambda: shop.engine.observe().streams(standby), deadline=30, waiting_for=f"{standby} to stream")
        assert shop.engine.last_decision(standby).startswith(decision), state
        beside = support.by_hand(shop, standby, 'cd "$(dirname "$PGDATA")"; ls')
        assert not {"data.clone", "data.replaced", "data.fence"} & set(beside.split()), state
