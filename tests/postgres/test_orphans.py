"""Processes of a server that outlive their postmaster, or work in its data by another path: a fence ends them all.

On processes: a container ends with its first process.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.conftest import only_local

_FOR_EVER = "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$"


@pytest.fixture
def elsewhere(runtime: str, folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster whose primary's data directory is a link, and where it leads."""
    cluster = support.make_project(folder / "shop", runtime=runtime, nodes=2)
    data = cluster.project.state / "local" / "db1" / "data"
    with support.running(cluster):
        cluster.runtime.stop("db1")
        there = data.rename(folder / "disk")
        data.symlink_to(there)
        cluster.runtime.start(cluster.services()["db1"])
        wait_until(lambda: cluster.engine.observe().primary, deadline=60, waiting_for="the primary")
        yield cluster, there


@only_local
def test_a_fence_ends_busy_sessions_by_whichever_path_they_work_in_the_data(
    elsewhere: tuple[Cluster, Path],
) -> None:
    """They notice neither that their postmaster is gone nor a signal less than SIGKILL, and could still commit."""
    cluster, data = elsewhere
    postmaster = int((data / "postmaster.pid").read_text().splitlines()[0])
    sessions = [support.connect(cluster, "db1", cluster.engine.admin) for _ in range(10)]
    for session in sessions:
        threading.Thread(target=_busy, args=[session], daemon=True).start()
    busy = "SELECT 1 WHERE (SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND state = 'active') = 10"
    wait_until(lambda: support.sql(cluster, "db1", busy), deadline=60, waiting_for="sessions to be busy")
    os.kill(postmaster, signal.SIGKILL)
    cluster.runtime.fence("db1")
    assert _working_in(data) == []
    for session in sessions:
        session.close()


def _busy(session: "psycopg.Connection[tuple[object, ...]]") -> None:
    with suppress(psycopg.Error):
        session.execute(_FOR_EVER)


def _working_in(data: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").samefile(data):
                found.append(entry.name)
        except OSError:
            continue
    return found


@pytest.fixture
def data(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """A project of which nothing runs, and the data directory of its first node."""
    cluster = support.make_project(folder / "shop")
    data = cluster.project.state / "local" / "db1" / "data"
    data.mkdir(parents=True)
    yield cluster, data
    for pid in _working_in(data):
        os.kill(int(pid), signal.SIGKILL)


def test_hundreds_of_busy_orphans_end_together(data: tuple[Cluster, Path]) -> None:
    """Found, killed and awaited one by one, 100 took 15 s: those that go on take the machine."""
    cluster, where = data
    _many(where, 100)
    began = time.monotonic()
    cluster.runtime.fence("db1")
    assert time.monotonic() - began < 10
    assert _working_in(where) == []


def test_an_operators_shell_in_the_data_directory_goes_on(data: tuple[Cluster, Path]) -> None:
    cluster, where = data
    with subprocess.Popen(["sleep", "60"], cwd=where) as shell:
        cluster.runtime.fence("db1")
        assert shell.poll() is None
        shell.kill()


def _many(folder: Path, count: int) -> None:
    """So many processes by the server's name, busy, whose parent is gone."""
    (folder / "postgres").symlink_to("/bin/sh")
    script = f"i=0; while [ $i -lt {count} ]; do ./postgres -c 'while :; do :; done' & i=$((i+1)); done; kill -9 $$"
    subprocess.run([str(folder / "postgres"), "-c", script], cwd=folder, check=False)
    assert len(_working_in(folder)) == count
