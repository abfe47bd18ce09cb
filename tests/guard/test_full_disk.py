"""The disk of the primary is full until PostgreSQL ends of it: the fence has its room, and nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from haop.errors import HaopError
from haop.operations import guarding
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.guard.clients import clients
from tests.guard.conftest import await_primary, await_whole
from tests.guard.events import await_event
from tests.support import Quiet

_SIZE = 200 * 2**20


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def small_disk(cluster: Cluster, node: str, folder: Path) -> Iterator[None]:
    """A file system of its own for a node's data."""
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(_SIZE)
    run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", str(image))
    device = run("losetup", "--find", "--show", str(image))
    home = cluster.project.state / "local" / node
    try:
        if cluster.project.spec.runtime == "compose":
            name, cluster_id = cluster.project.spec.name, cluster.secrets.cluster_id
            labels = (
                f"com.docker.compose.project={name}",
                f"com.docker.compose.volume={node}",
                f"io.haop.id={cluster_id}",
            )
            options = ("type=ext4", f"device={device}")
            run(
                "docker", "volume", "create", *(a for o in options for a in ("--opt", o)),
                *(a for label in labels for a in ("--label", label)), f"{name}_{node}",
            )  # fmt: skip
        else:
            home.mkdir(parents=True)
            run("mount", device, str(home))
        yield
    finally:
        support.end(cluster)
        if home.is_mount():
            run("umount", str(home))
        run("losetup", "--detach", device)


def no_loop_device() -> str | None:
    """Why: root of a container may have no devices."""
    with support.folder() as folder, (folder / "disk").open("wb") as file:
        file.truncate(2**20)
        try:
            run("losetup", "--detach", run("losetup", "--find", "--show", file.name))
            return None if shutil.which("mkfs.ext4") else "mkfs.ext4 is not on this machine"
        except (OSError, subprocess.CalledProcessError) as error:
            return str(error)


def fill(cluster: Cluster, node: str) -> None:
    """To the last block: what the file system refuses to a large file it may still give to small ones."""
    support.by_hand(
        cluster, node,
        'cat /dev/zero >"$PGDATA.filler" 2>/dev/null || true; n=0; '
        'while echo >"$PGDATA.filler.$n"; do n=$((n + 1)); sync -f "$PGDATA.filler"; done 2>/dev/null',
    )  # fmt: skip


def test_a_full_disk_ends_the_primary_and_nothing_else(runtime: str) -> None:
    if os.geteuid():
        pytest.skip("only root makes file systems")
    if problem := no_loop_device():
        pytest.skip(f"no file system of a file's can be mounted here: {problem}")
    with support.folder() as folder:
        shop = support.make_project(folder / "shop", runtime=runtime, guard=True)
        with small_disk(shop, "db1", folder):
            up(shop, Quiet())
            assert support.primary_of(shop) == "db1"
            with clients(shop) as at_work:
                fill(shop, "db1")
                wait_until(lambda: ended(shop), deadline=60, waiting_for="PostgreSQL to end for want of room")
                new = await_primary(shop, but="db1")
                at_work.await_writes()
                assert "fenced db1" in await_event(shop, "guard failover")
                support.by_hand(shop, "db1", 'rm "$PGDATA".filler*')
                await_whole(shop)
                assert support.primary_of(shop) == new
            assert not at_work.lost()
            guarding.stop(shop.project)
            shop.runtime.kill("db1")
            fill(shop, "db1")  # PostgreSQL left room as it ended; now there is none
            shop.runtime.fence("db1")
            assert shop.runtime.state("db1").fenced


def ended(cluster: Cluster) -> bool:
    """Each call needs another WAL segment, until there is no room for one."""
    try:
        support.sql(cluster, "db1", "SELECT pg_switch_wal()")
        support.sql(cluster, "db1", "INSERT INTO ledger VALUES (-1); DELETE FROM ledger WHERE id < 0", database="shop")
    except (HaopError, psycopg.Error):
        return cluster.engine.observe().primary is None or support.primary_of(cluster) != "db1"
    return False
