"""From nothing to a verified cluster, and down, and up again."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from haop.model.health import Health
from haop.model.service import State
from haop.operations import status
from haop.operations.down import down
from haop.operations.progress import Quiet
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support


def test_up_from_nothing_is_healthy_and_a_second_up_changes_nothing(folder: Path, major: int) -> None:
    with support.running(support.make_project(folder / "shop", postgres=major, nodes=3)) as cluster:
        found = status.observe(cluster)
        assert found.health is Health.HEALTHY
        before = {node.name: node.server.started_at for node in found.status.reachable}
        assert len(before) == 3
        up(cluster, Quiet())
        after = {node.name: node.server.started_at for node in status.observe(cluster).status.reachable}
        assert after == before


def test_down_stops_cleanly_and_up_brings_the_rows_back(folder: Path, major: int) -> None:
    with support.running(support.make_project(folder / "shop", postgres=major)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        down(cluster, Quiet(), volumes=False, say=print)
        assert not support.processes_in(folder)
        up(cluster, Quiet())
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == [(42,)]
        log = (cluster.project.state / "local" / "db1" / "log").read_text()
        assert "database system was not properly shut down" not in log


def test_up_brings_back_what_a_crash_of_the_machine_stopped(folder: Path, major: int) -> None:
    with support.running(support.make_project(folder / "shop", postgres=major)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        support.end(cluster)
        found = up(cluster, Quiet())
        assert found.health is Health.HEALTHY
        assert support.primary_of(cluster) == "db1"
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == [(42,)]


def test_ctrl_c_ends_the_clone_that_up_began_and_the_next_up_completes(folder: Path) -> None:
    cluster = support.make_project(folder / "shop")
    argv = (sys.executable, "-m", "haop", "-C", str(cluster.project.root), "up")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    side = cluster.project.state / "local" / "db2" / "data.clone"
    wait_until(side.exists, deadline=30, pause=0.001, waiting_for="the clone to begin")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    with support.running(cluster):  # runs `up` again
        assert status.observe(cluster).health is Health.HEALTHY
        assert not side.exists()


def test_ctrl_c_leaves_no_clone_running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = support.make_project(folder / "shop")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("haop.postgres.roles.ensure_database", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            up(cluster, Quiet())
        assert cluster.runtime.state("db1").state is State.RUNNING
        assert cluster.runtime.state("db2").state is not State.RUNNING
    finally:
        support.end(cluster)
