"""Days on which more than one thing goes wrong: the guard dies as well, or the machine, or memory runs out."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from haop.model.containers_health import OUT_OF_MEMORY
from haop.model.service import State
from haop.operations import guarding, heal
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import only_compose
from tests.guard.clients import Clients, clients
from tests.guard.conftest import await_primary, await_whole
from tests.guard.events import events


@contextmanager
def guard_that_dies(cluster: Cluster, moment: str) -> Iterator[Callable[[], None]]:
    """It guards the cluster instead of the other; what is given waits for its end."""
    guarding.stop(cluster.project)
    (cluster.project.state / "guard" / "state.json").unlink(missing_ok=True)
    primary = support.primary_of(cluster)
    argv = (sys.executable, str(Path(__file__).with_name("mortal.py")), str(cluster.project.root), moment)
    with subprocess.Popen(argv, cwd=Path.cwd()) as mortal:

        def await_death() -> None:
            assert mortal.wait(90) == -9

        try:
            wait_until(
                lambda: primary_seen(cluster) == primary, deadline=60, waiting_for="the guard that will be killed"
            )
            wait_until(lambda: sees(cluster), deadline=60, waiting_for="it to see that each node answers")
            yield await_death
        finally:
            mortal.kill()


def primary_seen(cluster: Cluster) -> str | None:
    """Whom the guard that runs takes for the primary; one that never saw it would start it again where it is."""
    path = cluster.project.state / "guard" / "state.json"
    if not path.exists():
        return None
    told: str | None = json.loads(path.read_text())["primary"]
    return told


def sees(cluster: Cluster) -> bool:
    """A guard has asked each node, and has had its answer."""
    answered = (
        "SELECT 1 FROM pg_stat_activity "
        "WHERE application_name = 'haop guard' AND state = 'idle' AND query LIKE '%received_tli%'"
    )
    return all(support.sql(cluster, node.name, answered) for node in cluster.project.spec.nodes)


def await_all(cluster: Cluster, at_work: Clients) -> None:
    """Another guard completes what there is to complete."""
    guarding.ensure(cluster.project)
    at_work.await_writes()
    await_whole(cluster)
    assert heal.read(cluster.project) is None


@pytest.mark.parametrize("moment", ["fencing", "fenced", "promoting", "promoted"])
def test_a_guard_that_is_killed_in_the_middle_is_completed_by_the_next(shop: Cluster, moment: str) -> None:
    with clients(shop) as at_work, guard_that_dies(shop, moment) as await_death:
        shop.runtime.kill(support.primary_of(shop))
        await_death()
        await_all(shop, at_work)
    assert not at_work.lost()


def test_a_guard_that_is_killed_after_it_salvaged_is_completed_by_the_next(shop: Cluster) -> None:
    old, standby = support.primary_of(shop), support.standby_of(shop)
    with clients(shop) as at_work, guard_that_dies(shop, "salvaged") as await_death:
        support.cut_stream(shop, standby)
        at_work.await_writes()  # which the standby never received
        shop.runtime.kill(old)
        await_death()
        assert shop.runtime.state(old).fenced
        assert support.sql(shop, standby, "SELECT pg_is_in_recovery()") == [(True,)]
        await_all(shop, at_work)
    assert not at_work.lost()


@pytest.mark.parametrize("moment", ["readmitted", "started"])
def test_a_guard_that_is_killed_while_it_brings_a_node_back_is_completed_by_the_next(
    shop: Cluster, moment: str
) -> None:
    old = support.primary_of(shop)
    with clients(shop) as at_work, guard_that_dies(shop, moment) as await_death:
        shop.runtime.kill(old)
        await_death()
        await_primary(shop, but=old)
        assert moment == "started" or shop.runtime.state(old).state is State.STOPPED
        await_all(shop, at_work)
    assert not at_work.lost()


@pytest.mark.parametrize("moment", ["fenced", "promoted"])
def test_a_machine_that_is_rebooted_in_the_middle_of_a_failover_comes_back_whole(shop: Cluster, moment: str) -> None:
    """An engine starts its containers by itself, whatever they were; processes wait for a guard."""
    old = support.primary_of(shop)
    with clients(shop) as at_work, guard_that_dies(shop, moment) as await_death:
        shop.runtime.kill(old)
        await_death()
        support.crash(shop)
        if shop.project.spec.runtime == "compose":
            for node in (old, *(node.name for node in shop.project.spec.nodes if node.name != old)):
                stacks.docker("start", stacks.container(shop, node))
        await_all(shop, at_work)
    assert not at_work.lost()


@only_compose  # a process has no limit
def test_a_container_that_runs_out_of_memory_is_replaced(shop: Cluster) -> None:
    time.sleep(
        1.5
    )  # an end within a second of a command may be that command's own, and is left to the engine (seen.py)
    old = support.primary_of(shop)
    limit = ("update", "--memory-swap", "192m", "--memory", "192m", stacks.container(shop, old))
    with clients(shop) as at_work:
        stacks.docker(*limit)
        stacks.run_out_of_memory(shop, old)
        await_primary(shop, but=old)
        at_work.await_writes()
        stacks.docker(*(word.replace("192m", "8g") for word in limit))
        await_whole(shop)
    assert not at_work.lost()
    assert OUT_OF_MEMORY in events(shop, "guard failover")[-1]
