"""Two haops do not work on one cluster at once. The one that holds the lock here is a process of its own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from haop.operations import lock
from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import Haop

# Takes the lock as `haop up` does, starts what outlives haop, says so, and works until its input ends.
WORKS = """
import sys
from pathlib import Path
from haop.operations import lock
from haop.process import spawn
from haop.project import load

project = load(Path(sys.argv[1]))
with lock.held(project, "up"):
    print(spawn(("sleep", "60"), log=Path("/dev/null")), flush=True)
    sys.stdin.read()
"""
# Enters as often as it can; two that are inside at once find each other's file.
COMES_AND_GOES = """
import os, sys
from pathlib import Path
from haop.errors import Refused
from haop.operations import lock
from haop.project import load

project, inside, entered = load(Path(sys.argv[1])), Path(sys.argv[2]), 0
for _ in range(300):
    try:
        with lock.held(project, "up"):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
            entered += 1
    except Refused:
        pass
print(entered)
"""
TRIES = """
import sys
from pathlib import Path
from haop.errors import Refused
from haop.operations import lock
from haop.project import load

try:
    with lock.held(load(Path(sys.argv[1])), "up"):
        print("held")
except Refused as error:
    print(error.message)
"""
CHANGES = [("up",), ("down",), ("render",), ("failover", "--yes"), ("rejoin", "db1"), ("drill", "failover", "--yes")]
LOOKS = [("events",), ("logs",), ("status",), ("render", "--check"), ("failover", "--dry-run")]


@pytest.fixture
def shop(folder: Path) -> Cluster:
    """A project that never ran."""
    return support.make_project(folder / "shop")


@contextmanager
def another_haop(root: Path) -> Iterator[subprocess.Popen[str]]:
    argv = (sys.executable, "-c", WORKS, str(root))
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        server = int(child.stdout.readline())
        try:
            yield child
            assert psutil.pid_exists(server), "what haop started runs on"
        finally:
            child.kill()
            os.kill(server, signal.SIGKILL)


def test_a_second_haop_is_refused_at_once_and_told_whose_turn_it_is(haop: Haop, shop: Cluster) -> None:
    with another_haop(shop.project.root) as other:
        for command in CHANGES:
            done = haop("-C", "shop", *command)
            assert done.code == 2, done
            told = (
                rf"error: \S+'s `haop up` \(process {other.pid}\) has worked on this cluster since [\d:]{{8}} \(\d+ s\)"
            )
            assert re.search(told, done.err), done.err
            assert "hint:  wait for its end" in done.err
        for command in LOOKS:
            assert "has worked on" not in haop("-C", "shop", *command).err, command
        other.communicate("")
        assert haop("-C", "shop", "down").code == 0
    assert not (shop.project.state / "lock").exists()


def test_the_lock_of_a_haop_that_was_killed_is_gone_and_its_servers_do_not_keep_it(haop: Haop, shop: Cluster) -> None:
    with another_haop(shop.project.root) as other:
        assert haop("-C", "shop", "down").code == 2
        other.kill()
        other.wait()
        left = lock._read(shop.project.state / "lock")
        assert left
        assert left.pid == other.pid
        assert haop("-C", "shop", "down").code == 0


def test_one_process_may_open_it_again_and_keeps_it_until_the_first_is_done(shop: Cluster) -> None:
    with lock.held(shop.project, "demo"):
        with lock.held(shop.project, "up"):
            pass
        found = lock._read(shop.project.state / "lock")
        assert found
        assert (found.command, found.pid) == ("demo", os.getpid())
    assert lock._read(shop.project.state / "lock") is None


def test_of_many_at_once_one_at_a_time_works(shop: Cluster) -> None:
    """Lock and unlock race with the removal of the file: whoever is let in is alone, the others are refused."""
    argv = (sys.executable, "-c", COMES_AND_GOES, str(shop.project.root), str(shop.project.root / "inside"))
    several = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [child.communicate(timeout=60)[0] for child in several]
    assert [child.returncode for child in several] == [0, 0, 0]
    assert sum(map(int, told)) > 100


def test_a_refused_command_leaves_nothing(haop: Haop, shop: Cluster) -> None:
    (shop.project.root / ".env").unlink()
    (shop.project.state / "rendered.json").unlink()
    (shop.project.state / "events.jsonl").unlink()
    shop.project.state.rmdir()
    assert haop("-C", "shop", "up").code == 2
    assert not shop.project.state.exists()


def test_a_project_of_another_user(shop: Cluster, other_user: dict[str, Any]) -> None:
    """Who may not write there is told so, or whose haop is at work; a stale lock of another user is replaced."""
    state = shop.project.state

    def as_nobody() -> str:
        argv = (sys.executable, "-c", TRIES, str(shop.project.root))
        return str(subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/", **other_user).stdout)

    assert f"cannot write to {state}" in as_nobody()
    with another_haop(shop.project.root) as other:
        assert f"(process {other.pid})" in as_nobody()
        other.kill()
        other.wait()
    assert f"cannot write to {state}" in as_nobody()
    state.chmod(0o777)
    assert as_nobody() == "held\n"
