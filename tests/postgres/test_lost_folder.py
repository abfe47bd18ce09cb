"""The project's folder moved, lost, or there twice, beside its running cluster: told as that, nothing locked out."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from haop.operations import status
from haop.operations.cluster import Cluster
from haop.project import load
from tests import support
from tests.conftest import Haop, only_compose, only_local


@pytest.fixture(scope="module")
def shop(runtime: str) -> Iterator[Cluster]:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime)) as cluster,
    ):
        try:
            yield cluster
        finally:
            with suppress(OSError):  # a test that failed has left it there
                (folder / "moved").rename(folder / "shop")


@pytest.fixture(autouse=True)
def whole(shop: Cluster) -> Iterator[None]:
    """Each test leaves everything as it was, and everything goes on meanwhile."""
    before = support.sql(shop, "db1", "SELECT pg_postmaster_start_time()")
    yield
    support.await_health(shop)
    assert support.sql(shop, "db1", "SELECT pg_postmaster_start_time()") == before


def refused(haop: Haop, folder: Path, command: str, *says: str) -> None:
    done = haop("-C", str(folder), command)
    assert done.code == 2, done
    assert done.err.count("error: ") == 1
    for word in says:
        assert word in done.err


def test_a_folder_that_was_moved(shop: Cluster, haop: Haop) -> None:
    root = shop.project.root
    moved = root.rename(root.with_name("moved"))
    found = status.observe(Cluster.of(load(moved)))
    (finding,) = (f for f in found.findings if f.code == "folder-lost")
    assert f"db1 and db2 run with files of {root}/.haop that are gone" in finding.message
    refused(haop, moved, "up", f"run with files of {root}/.haop that are gone", "haop down, haop up")
    shutil.rmtree(root, ignore_errors=True)  # the engine makes the folders of a container that it starts again
    moved.rename(root)
    assert haop("-C", str(root), "up").code == 0, "put back, everything is as it was"


@only_compose  # the data of local servers are in it
def test_haops_own_folder_that_was_deleted(shop: Cluster, haop: Haop) -> None:
    root, state = shop.project.root, shop.project.state
    state.rename(root.with_name("kept"))
    codes = {f.code for f in status.observe(Cluster.of(load(root))).findings}
    assert "folder-lost" in codes
    refused(haop, root, "up", f"run with files of {root}/.haop that are gone")
    refused(haop, root, "render", "certificates of an authority that ", f"started from {root}")
    shutil.rmtree(state, ignore_errors=True)
    root.with_name("kept").rename(state)
    assert haop("-C", str(root), "up").code == 0


def test_a_second_checkout_with_the_same_secrets(shop: Cluster, haop: Haop) -> None:
    root = shop.project.root
    second = root.with_name("second")
    shutil.copytree(root, second, ignore=shutil.ignore_patterns(".haop"))
    if shop.project.spec.runtime == "local":
        port = shop.project.spec.nodes[0].port
        refused(haop, second, "up", f"port {port} of db1 is in use by process", f"{root}/.haop/local/db1/data")
        told = haop("-C", str(second), "status")
        assert f"{root}/.haop/local/db1/data" in told.out.replace("\n", ""), told.out
    else:
        refused(haop, second, "up", "certificates of an authority that ", f"they were started from {root}")
    assert not (second / ".haop" / "tls").exists()
    shutil.rmtree(second)


@only_local  # the same files on both, and quick here
def test_a_project_in_a_repository(folder: Path, haop: Haop, runtime: str) -> None:
    """`init` and the first `up` say what git would delete; with a link to haop.toml both lie elsewhere."""
    (folder / "work" / ".git").mkdir(parents=True)
    ports = str(support.free_ports(2))
    made = haop("init", "work/shop", "--runtime", runtime, "--first-port", ports)
    assert "git clean -x would delete .env and .haop/ (passwords, certificates, the databases themselves)" in made.err
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in (".env", ".haop", "stack"):
        (folder / "work/shop" / name).rename(elsewhere / name)
    (elsewhere / "haop.toml").symlink_to(folder / "work/shop/haop.toml")
    try:
        first = haop("-C", "elsewhere", "up")
        assert (first.code, "git clean" in first.err) == (0, False), first.err
        assert haop("-C", "elsewhere", "status").code == 0
        assert [path.name for path in (folder / "work/shop").iterdir()].count(".haop") == 0
        (elsewhere / ".git").mkdir()
        (elsewhere / ".haop/events.jsonl").unlink()
        told = [haop("-C", "elsewhere", "up").err for _ in range(2)]
        assert ["git clean -x" in text for text in told] == [True, False]
    finally:
        support.end(Cluster.of(load(elsewhere)))
