"""`haop status` against `patronictl list`, of two nodes each; of nine nodes; with silent nodes."""

import socket
from contextlib import ExitStack
from pathlib import Path

from benchmarks.peer_patroni import patroni_cluster, same_python
from benchmarks.timing import HAOP, in_turn, ratio, succeeds, wall
from haop.postgres.answers import CONNECT_SECONDS
from haop.postgres.binaries import installations
from tests import support


def status(root: Path) -> float:
    """One `haop status`."""
    return wall((HAOP, "-C", str(root), "status"))


def main() -> None:
    """All sides in turn, on clusters of one PostgreSQL."""
    print("status, whole processes; patronictl on the same Python as haop")
    system = next(found for found in installations() if not found.wheel)
    with ExitStack() as stack:
        folder = stack.enter_context(support.folder())
        roots = {}
        for count in (2, 9):
            project = support.make_project(folder / f"of{count}", nodes=count, postgres=system.major)
            roots[count] = stack.enter_context(support.running(project)).project.root
        (folder / "peer").mkdir()
        peer = stack.enter_context(patroni_cluster(system.bindir, folder / "peer"))
        patronictl = same_python(folder / "peer")
        listing = (patronictl, *peer.patronictl[1:], "list")
        for argv in (listing, *((HAOP, "-C", str(root), "status") for root in roots.values())):
            succeeds(argv)
        found = in_turn({
            "haop status, 2 nodes": lambda: status(roots[2]),
            "patronictl list, 2 nodes": lambda: wall(listing),
            "haop status, 9 nodes": lambda: status(roots[9]),
        })  # fmt: skip
        ratio("haop status / patronictl list", found["haop status, 2 nodes"], found["patronictl list, 2 nodes"], 0.65)
        ratio("haop status, 9 nodes / 2 nodes", found["haop status, 9 nodes"], found["haop status, 2 nodes"], 1.5)
        silent_node(folder, system.major)
        deadline(folder, system.major)


def silent_node(folder: Path, major: int) -> None:
    """Nodes that are stopped or hang: on this runtime the process table tells, so that no deadline passes."""
    cluster = support.make_project(folder / "silent", postgres=major)
    timed: dict[str, float] = {}
    with support.running(cluster):
        timed |= in_turn({"both nodes run": lambda: status(cluster.project.root)})
        cluster.runtime.pause("db2")
        cluster.runtime.pause("db1")
        timed |= in_turn({"both nodes paused": lambda: status(cluster.project.root)})
        cluster.runtime.resume("db1")
        cluster.runtime.resume("db2")
        cluster.runtime.stop("db2")
        timed |= in_turn({"db2 stopped": lambda: status(cluster.project.root)})
    running = timed["both nodes run"]
    ratio("haop status, paused / running", timed["both nodes paused"], running, 1.5)
    ratio("haop status, one stopped / running", timed["db2 stopped"], running, 1.5)
    print(f"  a stopped node adds {(timed['db2 stopped'] - running) * 1000:.0f} ms; no deadline was waited for")


def deadline(folder: Path, major: int) -> None:
    """Nodes that accept connections and never say a word: each costs its deadline, all of them together once."""
    cluster = support.make_project(folder / "deadline", nodes=4, postgres=major)
    config = cluster.project.root / "haop.toml"
    timed: dict[str, float] = {}
    with support.running(cluster), ExitStack() as stack:
        timed |= in_turn({"4 nodes": lambda: status(cluster.project.root)}, runs=7)
        for silent, node in enumerate(("db2", "db3", "db4"), start=1):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = cluster.project.spec.node(node).port
            config.write_text(config.read_text().replace(f"port = {port}", f"port = {listener.getsockname()[1]}"))
            timed |= in_turn({f"4 nodes, {silent} of them silent": lambda: status(cluster.project.root)}, runs=7)
    one, three = (timed[f"4 nodes, {count} of them silent"] - timed["4 nodes"] for count in (1, 3))
    print(f"  one silent node adds {one:.2f} s; three add {three:.2f} s (a deadline is {CONNECT_SECONDS} s)")
    ratio("three silent nodes / one", three, one, 1.2)


if __name__ == "__main__":
    main()
