"""haop finds the engine as `docker` does, and refuses one that it could not use."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from haop.docker.containers import Containers
from haop.docker.lookup import IDENTITY
from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import Haop, require_compose


@pytest.fixture(scope="module")
def shop() -> Iterator[Cluster]:
    require_compose()
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime="compose")) as cluster,
    ):
        yield cluster


@pytest.fixture
def config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's own configuration, empty, of this test alone; the plugins are found as before."""
    folder = folder / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    return folder


def engine_address() -> str:
    return os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


def make_context(name: str, address: str) -> None:
    subprocess.run(
        ("docker", "context", "create", name, "--docker", f"host={address}"), check=True, capture_output=True
    )


def test_a_context_is_followed(shop: Cluster, haop: Haop, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_context("near", engine_address())
    make_context("gone", "unix:///nonexistent.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert haop("-C", str(shop.project.root), "status").code == 0
    monkeypatch.setenv("DOCKER_CONTEXT", "gone")
    refused = haop("-C", str(shop.project.root), "status")
    assert refused.code == 2
    assert "no Docker engine answers at unix:///nonexistent.sock" in refused.err
    monkeypatch.setenv("DOCKER_CONTEXT", "unknown")
    assert "there is no Docker context 'unknown'" in haop("-C", str(shop.project.root), "status").err
    monkeypatch.delenv("DOCKER_CONTEXT")
    (config / "config.json").write_text(json.dumps({"currentContext": "gone"}))
    assert "unix:///nonexistent.sock" in haop("-C", str(shop.project.root), "status").err


def test_docker_host_goes_before_the_context(
    shop: Cluster, haop: Haop, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_context("gone", "unix:///nonexistent.sock")
    (config / "config.json").write_text(json.dumps({"currentContext": "gone"}))
    monkeypatch.setenv("DOCKER_HOST", engine_address())
    assert haop("-C", str(shop.project.root), "status").code == 0


@pytest.mark.parametrize("address", ["ssh://db.example", "tcp://192.0.2.1:2375"])
def test_an_engine_of_another_machine_is_refused(
    haop: Haop, folder: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    assert haop("init", "far", "--runtime", "compose").code == 0
    monkeypatch.setenv("DOCKER_HOST", address)
    refused = haop("-C", "far", "up")
    assert refused.code == 2
    assert f"the Docker engine at {address} is on another machine" in refused.err
    chosen = haop("init", "near")
    assert "runtime local: the Docker engine at" in chosen.out


def test_a_container_that_ends_at_any_moment_is_looked_at_and_held_back(folder: Path) -> None:
    """At some moments of its end the runtime fails, in a dozen different words, what the engine still asks of it."""
    require_compose()
    containers, volume = Containers(folder.name, "of this test"), f"{folder.name}_db1"
    labels = {IDENTITY: "of this test", "com.docker.compose.project": folder.name, "com.docker.compose.service": "db1"}
    client = containers.client
    made = client.create_container(
        "postgres:17", ["1000"], entrypoint=["sleep"], labels={**labels, "com.docker.compose.oneoff": "False"},
        host_config=client.create_host_config(binds=[f"{volume}:/kept"], network_mode="none"),
    )["Id"]  # fmt: skip
    try:
        with ThreadPoolExecutor() as pool, over_at_the_end() as over:
            looks = [pool.submit(until, over, lambda: containers.servers("db1"))]
            looks += [pool.submit(until, over, lambda: containers.set_restart("db1", "no"))]
            for _ in range(25):
                client.start(made)
                time.sleep(0.1)
                client.kill(made)
                time.sleep(0.05)
        assert [look.result() for look in looks] == [None, None]
    finally:
        client.remove_container(made, force=True, v=True)
        client.remove_volume(volume)


@contextmanager
def over_at_the_end() -> Iterator[threading.Event]:
    over = threading.Event()
    try:
        yield over
    finally:
        over.set()


def until(over: threading.Event, act: Callable[[], object]) -> None:
    while not over.is_set():
        act()
