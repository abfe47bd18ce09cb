"""A primary that lives and says no, in any language, is not gone: for the guard, and for every command."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from haop.django.connection import FollowingConnection
from haop.django.routes import Refuses
from haop.model.health import Health
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, require
from tests.guard.conftest import await_primary, await_whole
from tests.guard.events import events
from tests.postgres.agreement import assert_all_agree

SPANISH = "es_ES.UTF-8"
# Longer than the guard needs to give up a primary that is silent, or that lets nobody in.
LONG_SECONDS = 6.0


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    """Debian's build has the catalogues of messages, the wheel's has none."""
    if runtime == "local" and "es_ES.utf8" not in subprocess.check_output(("locale", "-a"), text=True):
        pytest.skip(f"this machine has no {SPANISH}: localedef -i es_ES -f UTF-8 {SPANISH}")
    major, small = require(15, runtime), {"max_connections": "12", "superuser_reserved_connections": "2"}
    with support.folder() as folder:
        made = support.make_project(folder / "shop", runtime=runtime, postgres=major, guard=True, parameters=small)
        with support.running(made) as cluster:
            # What a server says is the same in a container, where a locale takes a minute to make.
            for node in cluster.project.spec.nodes if runtime == "local" else ():
                support.sql(cluster, node.name, f"ALTER SYSTEM SET lc_messages = '{SPANISH}'")
                support.sql(cluster, node.name, "SELECT pg_reload_conf()")
            yield cluster


@contextmanager
def full(cluster: Cluster, node: str) -> Iterator[None]:
    """Every connection of a node is taken, the guard's too: it gets no other."""
    taken: list[psycopg.Connection[tuple[object, ...]]] = []

    def take() -> bool:
        try:
            taken.append(support.connect(cluster, node, cluster.engine.admin))
        except psycopg.OperationalError:  # whoever else has one, for a moment or for long, loses it
            mine = [link.info.backend_pid for link in taken]
            others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL(%s)"
            return not taken[0].execute(f"SELECT pg_terminate_backend(pid) {others}", [mine]).fetchall()
        return False

    try:
        wait_until(take, deadline=60, pause=0, waiting_for=f"{node} to be full")
        yield
    finally:
        for link in taken:
            link.close()


def test_a_primary_without_room_is_degraded_and_nobody_replaces_it(shop: Cluster, haop: Haop) -> None:
    root, primary = str(shop.project.root), support.primary_of(shop)
    with full(shop, primary):
        begun = time.monotonic()
        while time.monotonic() - begun < LONG_SECONDS:
            found = status.observe(shop)
            assert found.health is Health.DEGRADED
            assert {(f.code, f.node) for f in found.findings} >= {("connections-full", primary)}
            time.sleep(0.5)
        assert haop("-C", root, "status").code == 3
        done = haop("-C", root, "failover", "--yes")
        told = f"{primary} runs as primary and refuses haop: all connections are taken"
        assert (done.code, told in done.err) == (2, True), done.err
        assert haop("-C", root, "check").code == 3
        assert ("connections-full", "error", primary) in assert_all_agree(shop)
        assert haop("-C", root, "psql", "-c", "SELECT 1").code == 3
        assert "connections-full" in haop("-C", root, "doctor").out
        place = {"host": "127.0.0.1", "port": str(shop.runtime.endpoint(primary).port)}
        with pytest.raises(Refuses):  # and no outage
            FollowingConnection.connect(**place, **shop.engine.application.parameters())
        lines = shop.runtime.logs([primary], follow=False, since=None)
        assert {line.level for line in lines if line.code == "53300"} == {"fatal"}
    assert not events(shop, "guard failover")
    assert support.primary_of(shop) == primary


def test_a_password_that_changed_is_no_failure_and_up_sets_it(shop: Cluster, haop: Haop) -> None:
    root, primary, env = str(shop.project.root), support.primary_of(shop), shop.project.root / ".env"
    kept = env.read_text()
    env.write_text(kept.replace(f"POSTGRES_PASSWORD={shop.secrets.postgres_password}", "POSTGRES_PASSWORD=another"))
    try:
        assert haop("-C", root, "status").code == 3
        done = haop("-C", root, "failover", "--yes")
        assert (done.code, f"{primary} runs as primary and refuses haop" in done.err) == (2, True), done.err
        assert haop("-C", root, "up", "--yes").code == 0
        assert haop("-C", root, "status").code == 0
    finally:
        env.write_text(kept)
        assert haop("-C", root, "up", "--yes").code == 0
    assert not events(shop, "guard failover")


def test_a_primary_that_is_gone_is_replaced_in_any_language(shop: Cluster) -> None:
    old = support.primary_of(shop)
    shop.runtime.kill(old)
    await_primary(shop, but=old)
    await_whole(shop)
