"""Clusters with a guard: one a runtime and module, whole before each test and whole after it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from haop.errors import DeadlineExceeded
from haop.model.health import Health
from haop.operations import guarding, maintenance, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime, guard=True)) as cluster,
    ):
        yield cluster


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    maintenance.resume(shared.project)
    with maintenance.told(shared.project, "up"):
        assert up(shared, Quiet()).health is Health.HEALTHY
    assert guarding.found(shared.project)
    await_watching(shared)
    yield shared
    await_whole(shared)


def await_watching(cluster: Cluster) -> None:
    """Its guard has seen everything that it needs."""
    wait_until(lambda: _watches(cluster), deadline=60, waiting_for="the guard to watch")


def _watches(cluster: Cluster) -> bool:
    """It may have been started a moment ago."""
    try:
        seen = json.loads((cluster.project.state / "guard" / "state.json").read_text())
    except FileNotFoundError:
        return False
    return bool(seen["doing"] == "watches" and seen["primary"] == support.primary_of(cluster))


def await_whole(cluster: Cluster) -> None:
    """The guard brings everything back by itself."""
    with _evidence(cluster):
        wait_until(
            lambda: status.observe(cluster).health is Health.HEALTHY,
            deadline=120, pause=0.2, waiting_for="a whole cluster",
        )  # fmt: skip


def await_primary(cluster: Cluster, *, but: str) -> str:
    """Another node than that one is primary."""

    def found() -> str | None:
        return next((node.name for node in cluster.engine.observe().primaries if node.name != but), None)

    with _evidence(cluster):
        return wait_until(found, deadline=60, pause=0.05, waiting_for=f"another primary than {but}")


@contextmanager
def _evidence(cluster: Cluster) -> Iterator[None]:
    """What there is to see where the guard did not get there."""
    try:
        yield
    except DeadlineExceeded as error:
        findings = (f"{found.code}: {found.message}" for found in status.observe(cluster).findings)
        events = (str(event) for event in [*cluster.project.events()][-20:])
        log = (cluster.project.state / "guard" / "log").read_text().splitlines()[-30:]
        pytest.fail("\n".join((str(error), *findings, *events, *log)))
