"""File systems of their own for the data of nodes, small enough to be filled. Root makes them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support

_SIZE = 200 * 2**20


def no_disks() -> str | None:
    """Why none can be made here; None where they can. Root of a container may have no devices."""
    if os.geteuid():
        return "only root makes file systems"
    with support.folder() as folder, (folder / "disk").open("wb") as file:
        file.truncate(2**20)
        try:
            _run("losetup", "--detach", _run("losetup", "--find", "--show", file.name))
        except (OSError, subprocess.CalledProcessError) as error:
            return f"no file system of a file's can be mounted here: {error}"
    return None if shutil.which("mkfs.ext4") else "mkfs.ext4 is not on this machine"


@contextmanager
def small_disks(cluster: Cluster, nodes: Sequence[str], folder: Path) -> Iterator[None]:
    """One for each of these nodes, before the cluster is up; all of the cluster is gone when they are taken away."""
    with ExitStack() as made:
        for node in nodes:
            made.enter_context(_small_disk(cluster, node, folder / f"disk-{node}"))
        made.callback(support.end, cluster)
        yield


@contextmanager
def _small_disk(cluster: Cluster, node: str, image: Path) -> Iterator[None]:
    with image.open("wb") as file:
        file.truncate(_SIZE)
    _run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", str(image))
    device = _run("losetup", "--find", "--show", str(image))
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
            _run(
                "docker", "volume", "create", *(a for o in options for a in ("--opt", o)),
                *(a for label in labels for a in ("--label", label)), f"{name}_{node}",
            )  # fmt: skip
        else:
            home.mkdir(parents=True)
            _run("mount", device, str(home))
        yield
    finally:
        _unmount(home)
        _run("losetup", "--detach", device)


def _unmount(home: Path) -> None:
    wait_until(lambda: _unmounted(home), deadline=60, pause=0.2, waiting_for=f"{home} to be left by all")


def _unmounted(home: Path) -> bool:
    """Whether it is; what has just been killed may keep it busy for a moment."""
    return not home.is_mount() or not subprocess.run(("umount", str(home)), check=False, capture_output=True).returncode


@contextmanager
def small_project(runtime: str, folder: Path) -> Iterator[Cluster]:
    """A cluster, not up yet, whose project is on a small file system, and its data on another; gone afterwards."""
    image, home, data = folder / "disk", folder / "small", folder / "data"
    home.mkdir()
    data.mkdir(mode=0o755)
    with image.open("wb") as file:
        file.truncate(_SIZE // 4)
    _run("mkfs.ext4", "-q", "-m", "0", "-b", "4096", str(image))
    device = _run("losetup", "--find", "--show", str(image))
    with ExitStack() as made:
        made.callback(_run, "losetup", "--detach", device)
        _run("mount", device, str(home))
        made.callback(_unmount, home)
        cluster = support.make_project(home / "shop", runtime=runtime, guard=True, nodes=3, durability="sync")
        if runtime == "local":
            local = cluster.project.state / "local"
            local.mkdir(parents=True)
            _run("mount", "--bind", str(data), str(local))
            made.callback(_unmount, local)
        made.callback(support.end, cluster)
        yield cluster


def fill(cluster: Cluster, node: str) -> None:
    """To the last block: what the file system refuses to a large file it may still give to small ones."""
    support.by_hand(
        cluster, node,
        'cat /dev/zero >"$PGDATA.filler" 2>/dev/null || true; n=0; '
        'while echo >"$PGDATA.filler.$n"; do n=$((n + 1)); sync -f "$PGDATA.filler"; done 2>/dev/null',
    )  # fmt: skip


def clear(cluster: Cluster, node: str) -> None:
    """Room again."""
    support.by_hand(cluster, node, 'rm -f "$PGDATA".filler*')


def fill_folder(folder: Path) -> list[Path]:
    """To the last block, and the last entry of the folder."""
    made: list[Path] = []
    for size in (2**20, 4096, 1):
        with suppress(OSError):
            while True:
                made.append(folder / f"filler.{len(made)}")
                with made[-1].open("wb") as file:
                    file.write(bytes(size))
                    file.flush()
                    os.fsync(file.fileno())
    return [file for file in made if file.exists()]


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
