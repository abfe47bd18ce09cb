"""An archive that takes no WAL is told, and holds up no switchover."""

import time
from collections.abc import Iterator

import pytest

from haop.model import health
from haop.operations import check, restart, status, switchover
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    settings = {"archive_mode": "on", "archive_command": "true"}
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, parameters=settings)) as cluster,
    ):
        yield cluster


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """A pair with an archive that works: before each test, and after it."""
    yield shared
    for node in status.observe(shared).status.reachable:
        archive(shared, node.name, None)
    support.await_health(shared)


def archive(cluster: Cluster, node: str, command: str | None) -> None:
    """Archive by that command from now on; None: by the one that works."""
    change = f"SET archive_command = '{command}'" if command else "RESET archive_command"
    support.sql(cluster, node, f"ALTER SYSTEM {change}")
    support.sql(cluster, node, "SELECT pg_reload_conf()")


def fill(cluster: Cluster, node: str) -> None:
    """One more file of WAL for the archive."""
    support.sql(cluster, node, "SELECT pg_logical_emit_message(true, 'test', 'x')")
    support.sql(cluster, node, "SELECT pg_switch_wal()")


def found(cluster: Cluster) -> list[str]:
    return [finding.message for finding in status.observe(cluster).findings if finding.code == "archiving"]


def test_a_command_that_hangs_is_told_and_holds_up_no_switchover(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    archive(shop, old, "sleep 600")
    fill(shop, old)
    assert not found(shop), "it has waited for a moment only"
    monkeypatch.setattr(health, "ARCHIVING_SECONDS", 0.5)
    wait_until(lambda: found(shop), deadline=30, waiting_for="the finding")
    assert found(shop)[0].startswith(f"{old} cannot archive its WAL: 1 files wait")
    rows = check.check(shop, Quiet(), contents=False).checks
    assert [row.evidence.split(":")[0] for row in rows if row.check == "archiving"] == [f"{old} cannot archive its WAL"]
    told: list[tuple[str, float]] = []
    switchover.execute(
        shop, switchover.plan(shop, None), Quiet(), lambda event, _: told.append((event, time.monotonic()))
    )
    assert support.primary_of(shop) == new
    moments = dict(told)
    assert moments["promoted"] - moments["stopping"] < 20, "the stop alone is given 30 s"
    assert "killed while it archived" in moments
    assert old in {node.name for node in shop.engine.observe().standbys}


def test_a_command_that_hangs_holds_up_no_restart(shop: Cluster) -> None:
    primary = support.primary_of(shop)
    archive(shop, primary, "sleep 600")
    fill(shop, primary)
    archives = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'archiver' AND wait_event = 'ArchiveCommand'"
    wait_until(lambda: support.sql(shop, primary, archives), deadline=30, waiting_for="the command")
    archive(shop, primary, None)  # for the server that comes; this one's archiver waits for its command
    begun = time.monotonic()
    restart.one(shop, primary, Quiet())
    assert time.monotonic() - begun < 60, "a stop is given 120 s"
    assert support.primary_of(shop) == primary


def test_a_command_that_fails_is_told_at_once(shop: Cluster) -> None:
    primary = support.primary_of(shop)
    archive(shop, primary, "false")
    fill(shop, primary)
    wait_until(lambda: found(shop), deadline=30, waiting_for="the finding")
    assert "the last attempt failed" in found(shop)[0]
    assert "archiving" in {code for code, _, _ in assert_all_agree(shop)}
    archive(shop, primary, None)
    wait_until(lambda: not found(shop), deadline=120, waiting_for="the archive")


def test_what_an_archive_takes_at_its_own_pace_is_not_cut_off(shop: Cluster) -> None:
    old = support.primary_of(shop)
    archive(shop, old, "sleep 1")
    fill(shop, old)
    support.await_health(shop)  # a whole segment behind for a moment: it was switched
    told: list[str] = []
    switchover.execute(shop, switchover.plan(shop, None), Quiet(), lambda event, _: told.append(event))
    assert "killed while it archived" not in told
