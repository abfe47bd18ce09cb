"""From nothing to a verified cluster, and down, and up again."""

from pathlib import Path

from haop.model.health import Health
from haop.operations import status
from haop.operations.down import down
from haop.operations.progress import Quiet
from haop.operations.up import up
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
