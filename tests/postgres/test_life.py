"""From nothing to a verified cluster, and down, and up again."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from haop.model.diagnosis import Gap
from haop.model.health import Health, Severity
from haop.model.service import State
from haop.operations import status
from haop.operations.cluster import Cluster
from haop.operations.doctor.examination import examine
from haop.operations.down import down
from haop.operations.up import up
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet


def states(cluster: Cluster) -> set[State]:
    return {cluster.runtime.state(node.name).state for node in cluster.project.spec.nodes}


def test_a_slot_that_somebody_makes_at_the_same_moment_is_no_error(shared: Cluster) -> None:
    """A standby's node script does, where a stack comes up by itself while haop does too."""
    endpoint, admin = shared.runtime.endpoint(support.primary_of(shared)), shared.engine.admin
    together = Barrier(4, timeout=30)

    def make(drops: bool) -> None:
        with connected(endpoint, admin) as link:
            for _ in range(50):
                together.wait()
                replication.ensure_slots(link, ["at_once"])
                together.wait()
                if drops:
                    replication.drop_slots(link, ["at_once"])

    with ThreadPoolExecutor() as threads:
        for made in [threads.submit(make, number == 0) for number in range(4)]:
            made.result()


def test_up_from_nothing_is_healthy_and_a_second_up_changes_nothing(folder: Path, runtime: str, major: int) -> None:
    made = support.make_project(folder / "shop", runtime=runtime, postgres=major, nodes=3)
    with support.running(made) as cluster:
        found = status.observe(cluster)
        assert found.health is Health.HEALTHY
        before = {node.name: node.server.started_at for node in found.status.reachable}
        assert len(before) == 3
        examined = examine(cluster.project)
        assert not [name for name in before if isinstance(examined.facts.servers[name], Gap)], "each version is known"
        errors = {finding.code for finding in examined.findings if finding.severity is Severity.ERROR}
        assert errors <= {"not-durable"}, "tests do without fsync"
        up(cluster, Quiet())
        after = {node.name: node.server.started_at for node in status.observe(cluster).status.reachable}
        assert after == before


def test_down_stops_cleanly_and_up_brings_the_rows_back(folder: Path, runtime: str, major: int) -> None:
    with support.running(support.make_project(folder / "shop", runtime=runtime, postgres=major)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        assert down(cluster, Quiet(), volumes=False, say=print) == ("db1", "db2"), "the primary first"
        assert states(cluster) == {State.STOPPED}
        assert not support.processes_in(folder)
        up(cluster, Quiet())
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == [(42,)]
        told = [line.message for line in cluster.runtime.logs(["db1", "db2"], follow=False, since=None)]
        assert any(message.startswith("database system was shut down") for message in told)
        assert not [message for message in told if "was not properly shut down" in message]


def test_up_brings_back_what_a_crash_of_the_machine_stopped(folder: Path, runtime: str, major: int) -> None:
    with support.running(support.make_project(folder / "shop", runtime=runtime, postgres=major)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        support.crash(cluster)
        assert states(cluster) == {State.STOPPED}
        found = up(cluster, Quiet())
        assert found.health is Health.HEALTHY
        assert support.primary_of(cluster) == "db1"
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == [(42,)]


def test_down_with_volumes_deletes_the_data_and_up_begins_anew(folder: Path, runtime: str) -> None:
    with support.running(support.make_project(folder / "shop", runtime=runtime)) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE gone AS SELECT 42 AS answer")
        said: list[str] = []
        down(cluster, Quiet(), volumes=True, say=said.append)
        assert states(cluster) == {State.ABSENT}
        for node in ("db1", "db2"):
            assert any(node in line for line in said), "each folder or volume that is deleted is named"
        assert up(cluster, Quiet()).health is Health.HEALTHY
        assert support.sql(cluster, "db1", "SELECT to_regclass('gone')") == [(None,)]


def test_ctrl_c_ends_the_clone_that_up_began_and_the_next_up_completes(folder: Path, runtime: str) -> None:
    cluster = support.make_project(folder / "shop", runtime=runtime)
    argv = (sys.executable, "-m", "haop", "-C", str(cluster.project.root), "up")
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(
        lambda: cluster.engine.last_decision("db2").startswith("clone: "),
        deadline=60, pause=0.005, waiting_for="the clone to begin",
    )  # fmt: skip
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    with support.running(cluster):  # runs `up` again
        support.await_health(cluster)
        data = data_of(cluster, "db2")
        left = [data, f"{data}.fence.room"] if runtime == "local" else [data, f"{data}.fence.room", f"{data}.lock"]
        assert support.by_hand(cluster, "db2", 'ls -d "$PGDATA"*').splitlines() == left


def data_of(cluster: Cluster, node: str) -> str:
    return support.by_hand(cluster, node, 'echo "$PGDATA"').strip()


def test_ctrl_c_leaves_no_clone_running(folder: Path, runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = support.make_project(folder / "shop", runtime=runtime)

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
