"""Compose stacks of tests: made, looked at with `docker` itself, and gone afterwards."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from haop.operations import render
from haop.operations import up as operation
from haop.operations.cluster import Cluster
from haop.operations.status import Assessment
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet

SECONDS = 90.0


def docker(*arguments: str, stdin: str | None = None) -> str:
    """What `docker` prints on both streams; it must do well."""
    done = ask(*arguments, stdin=stdin)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def ask(*arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ("docker", *arguments), capture_output=True, text=True, errors="replace", input=stdin, check=False
    )


def compose(cluster: Cluster, *arguments: str) -> str:
    """Docker Compose as the head of compose.yaml says: from the folder of haop.toml, with no haop around."""
    argv = ("docker", "compose", "--env-file", ".env", "-f", "stack/compose.yaml", *arguments)
    done = subprocess.run(argv, cwd=cluster.project.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def apart(where: Path, *arguments: str, seconds: float = 60, **more: Any) -> support.Finished:
    """A haop command in a process of its own, which is killed when it takes longer than that."""
    argv = (sys.executable, "-m", "haop", *arguments)
    done = subprocess.run(argv, cwd=where, capture_output=True, text=True, timeout=seconds, check=False, **more)
    return support.Finished(done.returncode, done.stdout, done.stderr)


def container(cluster: Cluster, service: str) -> str:
    return f"{cluster.project.spec.name}-{service}-1"


def nodes(cluster: Cluster) -> list[str]:
    return [node.name for node in cluster.project.spec.nodes]


def services(cluster: Cluster) -> list[str]:
    return [*nodes(cluster), *cluster.project.spec.addons]


def inspect(cluster: Cluster, service: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", container(cluster, service)))[0]
    return found


def started(cluster: Cluster) -> dict[str, str]:
    """When each container was started."""
    return {name: inspect(cluster, name)["State"]["StartedAt"] for name in services(cluster)}


def running(cluster: Cluster, service: str) -> bool:
    return bool(inspect(cluster, service)["State"]["Running"])


def restart_policy(cluster: Cluster, service: str) -> str:
    return str(inspect(cluster, service)["HostConfig"]["RestartPolicy"]["Name"])


def execute(cluster: Cluster, service: str, script: str, *, user: str | None = None) -> str:
    """What a shell in the container says."""
    return docker("exec", *(("--user", user) if user else ()), container(cluster, service), "sh", "-c", script)


_EAT = r"""
my @eaten; while (1) { push @eaten, "x" x 1048576 }
"""


def run_out_of_memory(cluster: Cluster, node: str) -> None:
    """A process in the node's container takes all; the kernel is told to end the server for it."""
    execute(cluster, node, "echo 1000 >/proc/1/oom_score_adj", user="postgres")
    before = inspect(cluster, node)["State"]["StartedAt"]
    ask("exec", container(cluster, node), "perl", "-e", _EAT)
    wait_until(
        lambda: (found := inspect(cluster, node)["State"])["StartedAt"] != before or not found["Running"],
        deadline=60, waiting_for=f"{node} to be killed",
    )  # fmt: skip


def left(name: str) -> list[str]:
    """Containers, volumes and networks of that Compose project."""
    mine = f"label=com.docker.compose.project={name}"
    listed = docker("ps", "--all", "--quiet", "--filter", mine)
    listed += docker("volume", "ls", "--quiet", "--filter", mine)
    return (listed + docker("network", "ls", "--quiet", "--filter", mine)).split()


def more_toml(cluster: Cluster, text: str) -> Cluster:
    """The cluster with more tables in its haop.toml."""
    with (cluster.project.root / "haop.toml").open("a") as file:
        file.write(text)
    return loaded(cluster.project.root)


def rendered(cluster: Cluster) -> None:
    """Its files are as its haop.toml says, as `haop render` leaves them."""
    render.refresh(cluster)


def loaded(root: Path) -> Cluster:
    """The cluster as its haop.toml says now."""
    return Cluster.of(load(root))


@contextmanager
def ended(cluster: Cluster) -> Iterator[Cluster]:
    """Nothing of the cluster is left afterwards; the tail of its logs is printed on failure."""
    try:
        yield cluster
    except BaseException:
        support.print_logs(cluster)
        raise
    finally:
        support.end(cluster)
        assert left(cluster.project.spec.name) == []


@contextmanager
def up_and_running(
    where: Path, change: Callable[[Cluster], Cluster] = lambda it: it, **wishes: Any
) -> Iterator[Cluster]:
    """A stack, up and verified."""
    made = change(support.make_project(where, runtime="compose", **wishes))
    with ended(made):
        up(made)
        yield made


def up(cluster: Cluster) -> Assessment:
    return operation.up(cluster, Quiet())


def streaming(cluster: Cluster, primary: str, *standbys: str) -> None:
    """Wait until exactly that node is primary and those stream from it."""

    def well() -> bool:
        found = cluster.engine.observe()
        is_primary = [node.name for node in found.primaries] == [primary]
        return is_primary and sorted(n.name for n in found.standbys if found.streams(n.name)) == sorted(standbys)

    wait_until(well, deadline=SECONDS, pause=0.1, waiting_for=f"{primary} with {', '.join(standbys)} streaming")


def has_ended(cluster: Cluster, service: str) -> None:
    wait_until(lambda: not running(cluster, service), deadline=SECONDS, pause=0.1, waiting_for=f"{service} to end")


def log(cluster: Cluster, service: str) -> str:
    return docker("logs", container(cluster, service))
