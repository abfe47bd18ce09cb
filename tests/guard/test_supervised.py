"""A guard that outlives what goes wrong in itself, is the only one, and says so where it does nothing."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from haop.errors import HaopError
from haop.guard.decide import decide
from haop.guard.decisions import Decision, FailOver
from haop.guard.guard import Guard
from haop.guard.trouble import Troubles
from haop.operations import guarding, heal, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.postgres.probing import Kept, knock
from haop.runtimes import processes
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, only_local
from tests.guard.clients import clients
from tests.guard.conftest import await_primary, await_whole
from tests.guard.events import events
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet


@contextmanager
def watching(cluster: Cluster) -> Iterator[None]:
    """A guard in this process, whose functions can be made to fail; the other one has ended."""
    guarding.stop(cluster.project)
    until = threading.Event()
    with guarding.held(cluster.project) as post:
        made = Guard(cluster, post)
        thread = threading.Thread(target=made.run, args=(until,))
        thread.start()
        try:
            wait_until(lambda: told(cluster).get("primary"), deadline=60, waiting_for="the guard to see the primary")
            yield
            assert thread.is_alive(), "it has ended"
        finally:
            until.set()
            thread.join()
            print("it saw", told(cluster))
            post.leave()
            guarding.ensure(cluster.project)


def told(cluster: Cluster) -> dict[str, Any]:
    there = guarding.found(cluster.project)
    return dict(guarding.told(cluster.project, there)) if there else {}


def failing(times: int, error: Exception, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but that its first calls fail."""
    left = iter(range(times))

    def called(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return function(*arguments, **named)

    return called


def test_whatever_fails_in_it_it_goes_on_and_fails_over(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    old, full = support.primary_of(shop), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")
    refused = iter((True, True))

    def broken(*arguments: Any) -> Decision | None:
        decision = decide(*arguments)
        if isinstance(decision, FailOver) and next(refused, False):
            raise AssertionError(f"a broken invariant: {decision}")
        return decision

    monkeypatch.setattr("haop.guard.guard.decide", broken)
    monkeypatch.setattr("haop.guard.probes.knock", failing(1, RuntimeError("a bug"), knock))
    monkeypatch.setattr(Kept, "ask", failing(2, OSError(errno.EMFILE, os.strerror(errno.EMFILE)), Kept.ask))
    monkeypatch.setattr(heal, "begin", failing(9, full, heal.begin))
    its = Cluster.of(shop.project)
    gone = HaopError("cannot look at db1: Connection aborted.")
    vars(its.runtime)["exits"] = failing(1, gone, failing(1, OSError(errno.EIO, "an error"), its.runtime.exits))
    with watching(its), clients(shop) as at_work:
        wait_until(lambda: "Connection aborted" in str(told(shop)), deadline=30, waiting_for="it to say so")
        vars(its.engine)["observe"] = failing(2, ValueError("an unknown answer"), its.engine.observe)
        shop.runtime.kill(old)
        await_primary(shop, but=old)
        at_work.await_writes()
        await_whole(shop)
        # What is over is not shown any more.
        wait_until(lambda: told(shop)["trouble"] == [], deadline=120, waiting_for="the guard to see no trouble")
    assert not at_work.lost()
    assert any("a broken invariant" in detail for detail in events(shop, "guard decide"))


@only_local  # the lock and the process are the same
def test_a_guard_whose_lock_is_removed_takes_it_again_and_of_two_one_remains(shop: Cluster) -> None:
    project, before = shop.project, guarding.found(shop.project)
    assert before
    shutil.rmtree(project.state / "guard")
    wait_until(lambda: guarding.found(project), deadline=30, waiting_for="the guard to take the lock again")
    assert running(shop) == [before.pid]
    os.kill(before.pid, signal.SIGSTOP)  # so that it cannot be quicker
    shutil.rmtree(project.state / "guard")
    after = guarding.ensure(project)
    assert after
    assert {*running(shop)} == {before.pid, after.pid}
    os.kill(before.pid, signal.SIGCONT)
    wait_until(lambda: running(shop) == [after.pid], deadline=30, waiting_for="one of two guards to end")
    os.kill(after.pid, signal.SIGSTOP)
    shutil.rmtree(project.state / "guard")
    guarding.stop(project)
    assert not running(shop), "a guard without a lock outlived its end"
    guarding.ensure(project)


def running(cluster: Cluster) -> list[int]:
    root = cluster.project.root
    return processes.running(("-m", "haop", "-C", str(root), "guard", "run"), root)


@only_local  # the same
def test_a_guard_that_is_stopped_is_a_finding_and_up_starts_another(shop: Cluster, haop: Haop) -> None:
    root, before = str(shop.project.root), guarding.found(shop.project)
    assert before
    assert haop("-C", root, "guard", "status").code == 0
    os.kill(before.pid, signal.SIGSTOP)
    wait_until(lambda: codes(shop) == {"guard-stalled"}, deadline=60, waiting_for="the finding")
    shown = haop("-C", root, "guard", "status")
    assert shown.code == 3
    assert "stopped by a signal" in shown.out
    assert "guard-stalled" in {code for code, _, _ in assert_all_agree(shop)}
    up(shop, Quiet())
    after = guarding.found(shop.project)
    assert after
    assert after.pid != before.pid
    assert not codes(shop)


WAITS = """
import queue, signal, threading
from haop.guard.probes import Probes
from haop.guard.trouble import Troubles

until = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: until.set())
seen = Probes(None, until, Troubles()).seen  # nothing is seen
print("waits", flush=True)
while not until.is_set():
    try:
        seen.get(timeout=0.25)
    except queue.Empty:
        pass
"""


def test_what_waits_for_news_ends_though_it_was_stopped_for_longer_than_it_waits() -> None:
    """As a guard that hangs, or a machine that slept, and then is told to end."""
    with subprocess.Popen((sys.executable, "-c", WAITS), stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout
            assert child.stdout.readline() == b"waits\n"
            child.send_signal(signal.SIGSTOP)
            time.sleep(0.5)  # longer than it waits
            child.send_signal(signal.SIGTERM)
            child.send_signal(signal.SIGCONT)
            assert child.wait(timeout=30) == 0
        finally:
            child.kill()


def codes(cluster: Cluster) -> set[str]:
    return {found.code for found in status.observe(cluster).findings if found.code.startswith("guard")}


def test_what_nobody_meets_any_more_is_forgotten() -> None:
    troubles = Troubles()
    assert troubles.meet("db1", "it is gone", lasts=0.2)
    assert not troubles.meet("db1", "it is gone", lasts=0.2), "told once in a while"
    troubles.meet("db2", "it is gone", lasts=3600)
    assert troubles.now() == ["db1: it is gone", "db2: it is gone"]
    wait_until(lambda: troubles.now() == ["db2: it is gone"], deadline=10, waiting_for="it to be forgotten")
    troubles.over("db2")
    assert not troubles.now()
