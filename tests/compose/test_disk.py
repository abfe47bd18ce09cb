"""A volume that is full while a node is cloned: named, cleaned up, and the primary goes on."""

import subprocess
from pathlib import Path

from tests import support
from tests.conftest import Haop, require_compose


def docker(*arguments: str) -> str:
    return subprocess.run(("docker", *arguments), check=True, capture_output=True, text=True).stdout


def test_a_clone_that_finds_no_room_is_removed_and_the_next_up_completes(folder: Path, haop: Haop) -> None:
    require_compose()
    cluster = support.make_project(folder / "shop", runtime="compose", postgres=15)
    name = cluster.project.spec.name
    small = f"{name}_db2"
    # A volume of 20 MB: a whole cluster needs more.
    options = ("type=tmpfs", "device=tmpfs", "o=size=20m")
    labels = (f"com.docker.compose.project={name}", "com.docker.compose.volume=db2",
              f"io.haop.id={cluster.secrets.cluster_id}")  # fmt: skip
    docker(
        "volume",
        "create",
        *(a for o in options for a in ("--opt", o)),
        *(a for x in labels for a in ("--label", x)),
        small,
    )
    try:
        failed = haop("-C", str(cluster.project.root), "up")
        assert failed.code == 1
        assert "db2 ended: refuse: the base backup from db1 failed" in failed.err
        assert "No space left on device" in failed.err
        assert "make room on the disk" in failed.err
        assert docker("inspect", "-f", "{{.State.Running}}", f"{name}-db2-1").strip() == "false", "it tries no more"
        assert support.sql(cluster, "db1", "SELECT count(*) FROM pg_stat_replication") == [(0,)]
        assert support.sql(cluster, "db1", "SELECT pg_is_in_recovery()") == [(False,)], "the primary goes on"
        docker("rm", f"{name}-db2-1")
        docker("volume", "rm", small)
        done = haop("-C", str(cluster.project.root), "up")
        assert done.code == 0, done.err
        support.await_health(cluster)
    finally:
        support.end(cluster)
