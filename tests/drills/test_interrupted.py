"""A drill that ends at any instant, by any signal, leaves a cluster that `haop drill heal` brings back.

One cluster for each runtime goes through all of it: synchronous as processes, asynchronous as containers.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from haop.cli.app import app
from haop.drills import past
from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault, injected, obstacle
from haop.model.containers_health import CUT_OFF
from haop.model.health import Health
from haop.model.service import State
from haop.operations import heal, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.process import run
from haop.waiting import wait_until
from tests import support
from tests.conftest import only_local
from tests.support import Quiet

CONTENT = "SELECT count(*), md5(string_agg(orders::text, ',' ORDER BY id)) FROM orders"
SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = 'haop_drill'"


@dataclass
class Shop:
    """A running cluster with a user's table, and what is known of its drills."""

    cluster: Cluster
    lengths: dict[Fault, float] = field(default_factory=dict)

    @property
    def faults(self) -> list[Fault]:
        return [fault for fault in Fault if not obstacle(self.cluster, fault)]

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "haop", "-C", str(self.cluster.project.root), "drill", *arguments, "--yes"]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def length(self, fault: Fault) -> float:
        """How long a drill takes that nobody interrupts, in seconds."""
        if fault not in self.lengths:
            begun = time.monotonic()
            process = self.begin("failover", "--fault", fault)
            said = process.communicate(timeout=120)
            self.lengths[fault] = time.monotonic() - begun
            assert process.returncode in {0, 3}, said  # asynchronous, the last writes may be lost: the clients' own
            assert heal.read(self.cluster.project) is None, said
        return self.lengths[fault]

    def order(self) -> list[tuple[object, ...]]:
        """Buy something; what the table holds then, on every node."""
        cluster, primary = self.cluster, support.primary_of(self.cluster)
        support.sql(cluster, primary, "INSERT INTO orders (item) VALUES (gen_random_uuid())", database="shop")
        content = support.sql(cluster, primary, CONTENT, database="shop")
        for node in cluster.engine.observe().standbys:
            has_it = partial(self._holds, node.name, content)
            wait_until(has_it, deadline=20, waiting_for=f"{node.name} to have the order")
        return content

    def _holds(self, node: str, content: list[tuple[object, ...]]) -> bool:
        return support.sql(self.cluster, node, CONTENT, database="shop") == content

    def heal(self) -> None:
        done = CliRunner().invoke(app, ["-C", str(self.cluster.project.root), "drill", "heal", "--yes"])
        assert done.exit_code == 0, (done.output, done.exception)

    def assert_whole(self, content: list[tuple[object, ...]]) -> None:
        """Healthy, nothing open, nothing of the drill left, and the user's table as it was, on every node."""
        cluster = self.cluster
        found = status.observe(cluster)
        assert found.health is Health.HEALTHY, found.findings
        assert heal.read(cluster.project) is None
        for node in cluster.project.spec.nodes:
            assert self._holds(node.name, content), node.name
            assert support.sql(cluster, node.name, SCHEMA, database="shop") == [], node.name
        drills = cluster.project.state / "drills"
        assert not past.history(cluster.project).damaged
        assert not drills.exists() or {path.suffix for path in drills.iterdir()} <= {".json"}
        self.assert_no_strays()

    def assert_no_strays(self) -> None:
        nodes = [node.name for node in self.cluster.project.spec.nodes]
        processes = [command for command in support.processes_in(self.cluster.project.root) if "-m haop" in command]
        if self.cluster.project.spec.runtime == "local":
            processes += support.processes_in(self.cluster.project.state)
            servers = [f"{self.cluster.project.state}/local/{name}/data" for name in nodes]
            assert sorted(server for command in processes for server in servers if server in command) == sorted(servers)
            assert len(processes) == len(nodes), processes
        else:
            label = f"label=com.docker.compose.project={self.cluster.project.spec.name}"
            said = run(("docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}")).stdout.split()
            assert len(said) == len(nodes), said
            assert processes == []


@pytest.fixture(scope="module")
def shop(runtime: str) -> Iterator[Shop]:
    durability = "sync" if runtime == "local" else "async"
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, durability=durability)) as cluster,
    ):
        table = "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, item uuid)"
        support.sql(cluster, "db1", table, database="shop")
        rows = "INSERT INTO orders (item) SELECT gen_random_uuid() FROM generate_series(1, 1000)"
        support.sql(cluster, "db1", rows, database="shop")
        yield Shop(cluster)


@pytest.mark.repeated(30)
def test_a_drill_that_is_killed_at_a_random_instant_is_healed(shop: Shop, repetition: int) -> None:
    randomly = random.Random(random.random() + repetition)
    fault = randomly.choice(shop.faults if os.environ.get("HAOP_SOAK") else [Fault.KILL])
    instant = randomly.random() * shop.length(fault)
    content, begun = shop.order(), time.monotonic()
    process = shop.begin("failover", "--fault", fault)
    time.sleep(max(0.0, instant - (time.monotonic() - begun)))
    process.kill()
    process.communicate(timeout=30)
    print(f"{fault}: killed after {instant:.2f} of {shop.length(fault):.2f} s; open: {heal.read(shop.cluster.project)}")
    shop.heal()
    shop.assert_whole(content)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_drill_that_is_told_to_end_says_how_to_heal(shop: Shop, ending: signal.Signals) -> None:
    fault, content = shop.faults[-1], shop.order()  # the one that is undone when the drill ends, not when it is healed
    process = shop.begin("failover", "--fault", fault)
    wait_until(lambda: _open(shop, broken=True), deadline=30, waiting_for="the fault", pause=0.005)
    process.send_signal(ending)
    said = process.communicate(timeout=60)[1]
    if ending is signal.SIGINT:
        assert process.returncode == 130
        assert "bring everything back: haop drill heal" in said
        services = [node.service for node in shop.cluster.engine.observe().nodes]
        assert not any(service.state is State.PAUSED or CUT_OFF in (service.remark or "") for service in services)
    found = {finding.code: finding for finding in status.observe(shop.cluster).findings}
    assert f"drill failover {fault} of " in found["interrupted"].message
    assert found["interrupted"].hint == "bring everything back: haop drill heal"
    shop.heal()
    shop.assert_whole(content)


@pytest.mark.parametrize("fault", [Fault.PAUSE, Fault.KILL])
def test_what_begins_to_break_breaks_before_it_is_mended(
    shop: Shop, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine does what it was asked for, though nobody waits for its answer any more."""
    cluster, content, primary = shop.cluster, shop.order(), support.primary_of(shop.cluster)
    really = getattr(cluster.runtime, fault)

    def interrupted(node: str) -> None:
        signal.raise_signal(signal.SIGINT)
        really(node)

    monkeypatch.setattr(cluster.runtime, fault, interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), injected(cluster, fault, heal.begin(cluster.project, "drill", primary)):
            pytest.fail("it was interrupted")
    finally:
        signal.signal(signal.SIGINT, before)
    assert cluster.runtime.state(primary).state is (State.RUNNING if fault is Fault.PAUSE else State.STOPPED)
    shop.heal()
    shop.assert_whole(content)


def test_a_drill_that_is_interrupted_before_anything_is_broken_leaves_nothing(shop: Shop) -> None:
    content, primary = shop.order(), support.primary_of(shop.cluster)
    process = shop.begin("failover")
    made = lambda: _open(shop) and support.sql(shop.cluster, primary, SCHEMA, database="shop")  # noqa: E731
    wait_until(made, deadline=30, waiting_for="the schema", pause=0.005)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "haop drill heal" not in said
    assert support.primary_of(shop.cluster) == primary
    gone = lambda: not support.sql(shop.cluster, support.standby_of(shop.cluster), SCHEMA, database="shop")  # noqa: E731
    wait_until(gone, deadline=20, waiting_for="the standby to replay that")
    shop.assert_whole(content)


def test_a_heal_that_is_killed_is_completed_by_the_next(shop: Shop) -> None:
    content = shop.order()
    process = shop.begin("failover")
    wait_until(lambda: _open(shop, broken=True), deadline=30, waiting_for="the fault", pause=0.005)
    process.kill()
    process.communicate(timeout=30)
    healing = shop.begin("heal")
    time.sleep(random.random() * 2)
    healing.kill()
    healing.communicate(timeout=30)
    shop.heal()
    shop.assert_whole(content)


def test_what_is_open_is_healed_first_and_only_after_asking(shop: Shop) -> None:
    content, cluster = shop.order(), shop.cluster
    old = support.primary_of(cluster)
    root = ["-C", str(cluster.project.root)]
    heal.write(cluster.project, heal.Open(action="drill failover kill", fault="kill", node=old, at="noon"))
    cluster.runtime.fence(old)  # by a drill that has promoted nobody
    for command in (["drill", "failover"], ["drill", "heal"]):
        refused = CliRunner().invoke(app, [*root, *command])
        assert refused.exit_code == 2
        assert f"Interrupted: drill failover kill of {old}, begun at noon" in refused.stderr
    assert "haop drill heal" in CliRunner().invoke(app, [*root, "drill", "failover"]).stderr
    assert cluster.runtime.state(old).fenced, "nothing was changed"
    assert up(cluster, Quiet()).health is Health.HEALTHY
    assert support.primary_of(cluster) == old, "nobody was promoted, so nothing may be lost"
    shop.assert_whole(content)
    nothing = CliRunner().invoke(app, [*root, "drill", "heal"])
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing is open\n")


@only_local  # who follows whom is a matter of the servers
def test_a_standby_that_was_not_told_of_the_new_primary_follows_it_once_healed(
    folder: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with support.running(support.make_project(folder / "shop", nodes=3)) as cluster:
        monkeypatch.setattr(cluster.engine, "point_others", killed)
        with pytest.raises(KeyboardInterrupt):
            FailoverDrill(cluster, Fault.KILL, Quiet()).run()
        found = cluster.engine.observe()
        assert [node.name for node in found.standbys if not found.streams(node.name)], "the third follows nobody"
        assert up(cluster, Quiet()).health is Health.HEALTHY
        assert support.primary_of(cluster) != "db1"


def _open(shop: Shop, *, broken: bool = False) -> bool:
    record = heal.read(shop.cluster.project)
    return record is not None and (not broken or record.fault is not None)
