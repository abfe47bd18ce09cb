"""Durability sync: whom the primary waits for, what is written down before it no longer does, and what follows."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from haop.errors import HaopError
from haop.guard.quiet import Flushes, after
from haop.model.status import Role
from haop.operations import behind, guarding, status
from haop.operations.cluster import Cluster
from haop.operations.confirming import DEGRADE_SECONDS, STEADY_SECONDS, Confirming
from haop.operations.up import up
from haop.postgres.probing import Kept
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, only_local
from tests.guard.clients import clients
from tests.guard.events import events
from tests.support import Quiet


def asked(cluster: Cluster) -> str:
    return str(support.sql(cluster, support.primary_of(cluster), "SHOW synchronous_standby_names")[0][0])


def streams(cluster: Cluster, name: str) -> bool:
    return cluster.engine.observe().streams(name)


def test_a_standby_is_written_down_before_it_is_not_waited_for_and_until_it_has_everything(
    runtime: str, haop: Haop
) -> None:
    """Time is told to it, so nothing here waits for a deadline."""
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, durability="sync")) as shop,
    ):
        up(shop, Quiet())
        old, standby = support.primary_of(shop), support.standby_of(shop)
        assert not behind.names(shop.project)
        confirming, making = Confirming(shop), shop.project.state / "guard" / "behind.new"

        def keep(now: float) -> tuple[str, ...]:
            return confirming.keep(shop.engine.observe(), now)

        keep(100.0)
        shop.runtime.kill(standby)
        assert keep(101.0) == keep(100.0 + DEGRADE_SECONDS) == ()
        assert standby in asked(shop)
        making.unlink(missing_ok=True)
        making.mkdir()  # nothing can be written down
        with pytest.raises(HaopError, match="cannot write down who may lack acknowledged writes"):
            keep(102.0 + DEGRADE_SECONDS)
        assert standby in asked(shop), "writes go on to wait"
        making.rmdir()
        [told] = keep(102.0 + DEGRADE_SECONDS)
        assert f"{old} no longer waits for it; writes are on {old} only" in told
        wait_until(lambda: asked(shop) == "", deadline=10, waiting_for="the names to be gone")
        assert behind.names(shop.project) == {standby}
        shown = haop("-C", str(shop.project.root), "status", "--json")
        assert "sync-unsatisfied" in shown.out

        shop.runtime.start(shop.services()[standby])
        wait_until(lambda: streams(shop, standby), deadline=60, waiting_for="the standby to stream")
        assert keep(200.0) == keep(199.0 + STEADY_SECONDS) == ()
        [told] = keep(201.0 + STEADY_SECONDS)
        assert told == f"{standby} streams; {old} waits for it"
        assert behind.names(shop.project) == {standby}, "until it has confirmed, it may lack writes"
        wait_until(lambda: keep(210.0), deadline=30, waiting_for="it to have everything")
        assert not behind.names(shop.project)

        promoted_only_when_the_loss_is_accepted(shop, old, standby, haop)


def promoted_only_when_the_loss_is_accepted(shop: Cluster, old: str, standby: str, haop: Haop) -> None:
    """Written alone, then gone with its disk: nobody can tell what the standby lacks."""
    confirming = Confirming(shop)
    shop.runtime.kill(standby)
    confirming.keep(shop.engine.observe(), 0.0)
    confirming.keep(shop.engine.observe(), 1.0 + DEGRADE_SECONDS)
    wait_until(lambda: asked(shop) == "", deadline=10, waiting_for="the names to be gone")
    support.sql(shop, old, "CREATE TABLE alone AS SELECT 1")
    shop.runtime.kill(old)
    support.set_aside(shop, old)
    shop.runtime.start(shop.services()[standby])
    wait_until(lambda: shop.engine.observe().standbys, deadline=60, waiting_for="the standby to answer")
    root = str(shop.project.root)
    refused = haop("-C", root, "failover", "--yes")
    assert refused.code == 2, refused.out
    assert f"{standby} may lack writes that were acknowledged without it" in refused.err
    assert "--accept-loss" in refused.err
    assert shop.engine.observe().standbys[0].server.role is Role.STANDBY
    done = haop("-C", root, "failover", "--to", standby, "--accept-loss", "--yes")
    assert done.code in {0, 3}, done.err  # 3: nobody follows
    assert support.primary_of(shop) == standby


@only_local  # what differs in containers is tested above
def test_a_guard_lets_writes_go_on_without_the_last_standby_and_waits_for_it_again(runtime: str) -> None:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, durability="sync", guard=True)) as shop,
    ):
        up(shop, Quiet())
        standby = support.standby_of(shop)
        assert guarding.found(shop.project)
        with clients(shop) as at_work:
            shop.runtime.kill(standby)
            support.by_hand(shop, standby, 'echo 14 >"$PGDATA/PG_VERSION"')  # of another version: it refuses to start
            gone = time.monotonic()
            at_work.await_writes()
            assert time.monotonic() - gone > DEGRADE_SECONDS / 2, "writes waited for the standby"
            assert behind.names(shop.project) == {standby}
            assert f"{standby} is gone for" in events(shop, "guard sync")[-1]
            assert "sync-unsatisfied" in {finding.code for finding in status.observe(shop).findings}
            support.by_hand(shop, standby, f'echo {shop.project.spec.postgres} >"$PGDATA/PG_VERSION"')
            wait_until(lambda: not behind.names(shop.project), deadline=120, waiting_for="it to confirm again")
            assert standby in asked(shop)
            at_work.await_writes()
        assert not at_work.lost()


@only_local  # a sender is a process like any other
def test_writes_do_not_wait_for_senders_that_are_stopped(runtime: str) -> None:
    """Both ends say that they stream, until somebody's timeout: what is confirmed tells. Time is told to it."""
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, durability="sync", nodes=3)) as shop,
    ):
        up(shop, Quiet())
        primary = support.primary_of(shop)
        names = {node.name for node in shop.project.spec.nodes} - {primary}
        confirming = Confirming(shop)
        assert confirming.keep(shop.engine.observe(), 100.0) == ()
        pids = support.sql(shop, primary, "SELECT pid FROM pg_stat_replication")
        login, endpoint = shop.engine.admin, shop.runtime.endpoint(primary)
        with Kept(endpoint, login) as watching, writing(shop, primary) as written:
            found = look(watching, None, 100.0)
            for (pid,) in pids:
                os.kill(int(str(pid)), signal.SIGSTOP)
            try:
                written.set()
                begun = found.flushed
                wait_until(lambda: look(watching, found, 100.5).flushed > begun, deadline=30, waiting_for="a write")
                found = look(watching, found, 100.5)
                assert look(watching, found, 101.0).quiet == pytest.approx(dict.fromkeys(names, 0.5))
                found = look(watching, found, 102.5)
                confirming.keep(shop.engine.observe(), 102.5, quiet=found.quiet)
                assert all(name in asked(shop) for name in names)
                # Ten seconds after they confirmed last, whenever that was noticed.
                at = 100.5 + DEGRADE_SECONDS
                found = look(watching, found, at)
                assert confirming.keep(shop.engine.observe(), at, quiet=found.quiet)
                wait_until(lambda: asked(shop) == "", deadline=10, waiting_for="the names to be gone")
                assert behind.names(shop.project) == names
            finally:
                for (pid,) in pids:
                    os.kill(int(str(pid)), signal.SIGCONT)


def look(server: Kept, before: Flushes | None, at: float) -> Flushes:
    pulse = wait_until(lambda: server.ask(1.0), deadline=30, waiting_for="an answer")
    assert pulse.flushed
    return after(before, at, pulse.flushed, pulse.receivers)


@contextmanager
def writing(cluster: Cluster, node: str) -> Iterator[threading.Event]:
    """A client that writes once, when it is told to, and waits for its confirmation."""
    begin = threading.Event()

    def write() -> None:
        begin.wait()
        support.sql(cluster, node, "CREATE TABLE waits AS SELECT 1")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield begin
    finally:
        begin.set()
        thread.join()
