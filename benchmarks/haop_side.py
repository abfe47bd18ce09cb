"""haop with its guard as a side of a benchmark of failovers, with its defaults: TLS, fsync on, durability async."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.side import APPLICATION, Side
from benchmarks.timing import HAOP
from haop import __version__
from haop.errors import CommandFailed, Refused
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.project import Project
from haop.runtimes.compose import ComposeRuntime
from tests import support

MAJOR = 15
FAILOVER = "guard failover"
_PHASE = re.compile(r"(?P<event>[a-z][a-z ]*?) (?P<node>[\w.-]+) \+(?P<seconds>[0-9.]+) s")


class HaopSide(Side):
    """Two nodes on local processes or in containers, and one guard on the host."""

    alone = True

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        runtime = cluster.project.spec.runtime
        self.name = "haop, Compose" if runtime == "compose" else "haop, local processes"
        self.version = f"haop {__version__}"
        self.nodes = {node.name: cluster.runtime.endpoint(node.name) for node in cluster.project.spec.nodes}
        self.admin, self.application = cluster.engine.admin, cluster.engine.application

    def switchover(self, to: str) -> None:
        """`haop switchover`."""
        haop(self.cluster.project.root, "switchover", "--to", to, "--yes")

    def stop(self, node: str) -> None:
        """By the runtime, whom the guard knows nothing from: `docker stop`, or SIGINT to the postmaster."""
        self.cluster.runtime.stop(node)

    def bring_back(self, node: str, primary: str) -> None:
        """Nothing: the guard does."""

    def postmaster(self, node: str) -> psutil.Process:
        """By its file; in a container, among the processes of the container."""
        if isinstance(self.cluster.runtime, ComposeRuntime):
            first = container_process(self.cluster, node)
            return next(each for each in (first, *first.children(recursive=True)) if each.name() == "postgres")
        data = self.cluster.project.state / "local" / node / "data"
        return psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))

    def kill(self, node: str) -> None:
        """`docker kill`; without containers, as of the peers."""
        if isinstance(self.cluster.runtime, ComposeRuntime):
            self.cluster.runtime.kill(node)
        else:
            super().kill(node)

    def hang(self, node: str) -> list[psutil.Process]:
        """`docker pause`; without containers, as of the peers."""
        if isinstance(self.cluster.runtime, ComposeRuntime):
            self.cluster.runtime.pause(node)
            return []
        return super().hang(node)

    def resume(self, node: str, hung: list[psutil.Process]) -> None:
        """`docker unpause`, if it is paused still; without containers, as of the peers."""
        if isinstance(self.cluster.runtime, ComposeRuntime):
            self.cluster.runtime.resume(node)
        super().resume(node, hung)

    def settled(self) -> bool:
        """Whether the guard runs, and does nothing but watch."""
        return guard_says(self.cluster.project).get("doing") == "watches"

    def account(self, since: float) -> Mapping[str, float]:
        """The phases of the guard's failover, by its event.

        Raises:
            Refused: the guard promoted nobody since then.
        """
        for event in self.cluster.project.events():
            if event.action == FAILOVER and event.outcome == "done" and event.at.timestamp() >= since:
                begun = event.at.timestamp() - (event.duration_seconds or 0.0)
                return {"noticed": begun - since} | {
                    f"{word} at": begun - since + seconds for word, seconds in phases(event.detail or "").items()
                }
        raise Refused(f"{self.name}: the guard promoted nobody; only what it did counts")


def phases(detail: str) -> dict[str, float]:
    """Seconds from the beginning of a failover to the end of each of its steps, as its event tells them.

    >>> phases("db1: it was killed; fenced db1 +0.041 s, promoted db2 +0.102 s")
    {'fenced': 0.041, 'promoted': 0.102}
    """
    return {found["event"]: float(found["seconds"]) for found in _PHASE.finditer(detail)}


def guard_says(project: Project) -> dict[str, object]:
    """What the guard last wrote down of itself; empty where there is none."""
    try:
        return dict(json.loads((project.state / "guard" / "state.json").read_text()))
    except (OSError, ValueError):
        return {}


def container_process(cluster: Cluster, node: str) -> psutil.Process:
    """The first process of a node's container."""
    label = f"label=com.docker.compose.project={cluster.project.spec.name}"
    listed = ("docker", "ps", "-q", "--filter", label, "--filter", f"label=com.docker.compose.service={node}")
    container = _output(listed)
    return psutil.Process(int(_output(("docker", "inspect", "-f", "{{.State.Pid}}", container))))


def haop(root: Path, *words: str) -> str:
    """Run the command in that project; what it printed.

    Raises:
        CommandFailed: it ended with an error.
    """
    done = subprocess.run((HAOP, "-C", str(root), *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"haop {words[0]} ended with code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
    return done.stdout


@contextmanager
def haop_side(runtime: str, folder: Path) -> Iterator[HaopSide]:
    """A cluster of haop's in a new folder, with its guard; at the end nothing of it is left.

    Raises:
        HaopError: it did not come up.
    """
    name = f"shop-{os.getpid()}-bench"
    wishes = Wishes(
        name=name, runtime=runtime, postgres=MAJOR, database=APPLICATION, first_port=support.free_ports(3)
    )  # fmt: skip
    cluster = Cluster.of(initialise(folder / "shop", wishes).project)
    root = cluster.project.root
    try:
        haop(root, "up")
        yield HaopSide(cluster)
    finally:
        haop(root, "down", "--volumes", "--yes")


def _output(argv: tuple[str, ...]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
