"""`haop switchover` against `repmgr standby switchover`: for how long was no write acknowledged that lasted?

Both commands run as whole processes, in turn, on clusters of the same PostgreSQL that commit alike (fsync on,
asynchronous), under a drill's clients: one list of hosts, a write every 5 ms, a new connection after each error. Both
sides are measured by the drill's own functions. What was acknowledged and is not in the new primary is lost.

repmgr is measured twice. With service commands, as its documentation asks for, the old primary's stop returns when it
has stopped. Without them, repmgr's own `pg_ctl` does not wait, and repmgr looks whether it has stopped once a second.
haop's clients connect with TLS, as by its defaults, repmgr's without.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peer_repmgr import repmgr_cluster
from benchmarks.timing import HAOP, ratio, show
from haop.drills.ledger import Ledger
from haop.drills.measure import Measurement, measure
from haop.drills.workload import Workload
from haop.errors import Refused
from haop.model.endpoint import Endpoint
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.postgres import drilling, replication
from haop.postgres.binaries import installation
from haop.postgres.connection import Login, connected
from haop.waiting import wait_until
from tests import support

MAJOR = 15
WARM_UP_SECONDS = 1.0
COOL_DOWN_SECONDS = 0.5
REPMGR_SECONDS = 1.06  # what `repmgr standby switchover` took where the peers were measured first


@dataclass(frozen=True, slots=True)
class Side:
    """Two nodes and a command that makes the other one primary; what its runs gave."""

    name: str
    nodes: Mapping[str, Endpoint]
    admin: Login
    application: Login
    switchover: Callable[[str], None]  # to that node; raises if it fails
    gaps: list[float] = field(default_factory=list)
    commands: list[float] = field(default_factory=list)
    measured: list[Measurement] = field(default_factory=list)


def main(runs: int) -> None:
    """So many switchovers of each side in turn, there and back."""
    print(f"switchover under load, PostgreSQL {MAJOR}, {runs} runs of each in turn; fsync on, durability async")
    with support.folder() as folder, ExitStack() as stack:
        sides = [haop_side(folder / "shop", stack)]
        try:
            sides += [repmgr_side(folder, stack, services=services) for services in (True, False)]
        except Refused as error:
            print(f"  repmgr's side is skipped: {error.message}; {error.hint}")
        for _ in range(runs):
            for side in sides:
                switch(side)
    tell(sides)


def haop_side(root: Path, stack: ExitStack) -> Side:
    """A cluster of haop's with its defaults, on local processes."""
    wishes = Wishes(
        name="shop", runtime="local", postgres=MAJOR, database="shop", first_port=support.free_ports(2)
    )  # fmt: skip
    cluster = stack.enter_context(support.running(Cluster.of(initialise(root, wishes).project)))
    nodes = {node.name: cluster.runtime.endpoint(node.name) for node in cluster.project.spec.nodes}

    def switchover(to: str) -> None:
        argv = (HAOP, "-C", str(root), "switchover", "--to", to, "--yes")
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"haop switchover ended with code {done.returncode}: {(done.stderr or done.stdout)[-500:]}"
            )

    return Side("haop switchover", nodes, cluster.engine.admin, cluster.engine.application, switchover)


def repmgr_side(folder: Path, stack: ExitStack, *, services: bool) -> Side:
    """Two nodes under repmgr.

    Raises:
        Refused: it is not installed.
    """
    name = "repmgr, service commands" if services else "repmgr, its own pg_ctl"
    place = "repmgr-services" if services else "repmgr"
    (folder / place).mkdir()
    peer = stack.enter_context(repmgr_cluster(installation(MAJOR).bindir, folder / place, services=services))
    return Side(name, peer.nodes, peer.admin, peer.application, peer.switchover)


def switch(side: Side) -> None:
    """One switchover under load, measured; both nodes replicate before and after it."""
    old = wait_until(lambda: primary_of(side), deadline=60, waiting_for=f"a primary that streams ({side.name})")
    [new] = side.nodes.keys() - {old}
    application, ledger = side.application, Ledger()
    made = drilling.make_ledger(side.nodes[old], side.admin, application.database, application.user)
    with connected(side.nodes[new], side.admin) as link:
        wait_until(lambda: replication.replayed(link, made), deadline=30, waiting_for=f"{new} to replay {made}")
    workload = Workload(ledger, side.nodes, application, old)
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # as in a drill: a thread must not keep the interpreter for a client's whole pace
    try:
        with workload.running():
            await_writes(workload, by_new_primary=False)
            time.sleep(WARM_UP_SECONDS)
            begun = time.monotonic()
            side.switchover(new)
            side.commands.append(time.monotonic() - begun)
            await_writes(workload, by_new_primary=True)
            time.sleep(COOL_DOWN_SECONDS)
    finally:
        sys.setswitchinterval(before)
    survivors = drilling.read_ledger(side.nodes[new], side.admin, application.database)
    found = measure(ledger, survivors, fault_at=begun, promoted_at=None, redundant_at=None, old_primary=old)
    assert found.longest_write_gap_seconds is not None, "writes were acknowledged before and after"
    side.gaps.append(found.longest_write_gap_seconds)
    side.measured.append(found)


def await_writes(workload: Workload, *, by_new_primary: bool) -> None:
    """Wait until a write was acknowledged."""
    wait_until(
        lambda: workload.acknowledges(by_new_primary=by_new_primary),
        deadline=60, waiting_for="an acknowledged write", pause=0.01,
    )  # fmt: skip


def primary_of(side: Side) -> str | None:
    """The node that another one streams from, if there is exactly one."""
    query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND NOT pg_is_in_recovery()"
    found = []
    for name, endpoint in side.nodes.items():
        with connected(endpoint, side.admin) as connection:
            if connection.execute(query).fetchone() == (1,):
                found.append(name)
    return found[0] if len(found) == 1 else None


def tell(sides: list[Side]) -> None:
    """Medians, the slowest, what was lost, and how one compares with the other."""
    for side in sides:
        show(f"{side.name}: longest write gap", side.gaps)
        show(f"{side.name}: the command", side.commands)
        acknowledged = sum(each.acknowledged_writes for each in side.measured)
        lost = sum(len(each.lost) for each in side.measured)
        print(f"  {side.name}: {lost} of {acknowledged} acknowledged writes lost")
    ours, *others = (statistics.median(side.gaps) for side in sides)
    for side, theirs in zip(sides[1:], others, strict=True):
        ratio(f"longest write gap, haop / {side.name}", ours, theirs, 1)
    slowest = max(sides[0].gaps)
    word = "met" if slowest <= REPMGR_SECONDS else "MISSED"
    print(f"  haop's slowest gap: {slowest:.2f} s (at most {REPMGR_SECONDS} s: {word})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
