"""haop finds the engine as `docker` does, and refuses one that it could not use."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
