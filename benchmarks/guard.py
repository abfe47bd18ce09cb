"""What the guard costs while nothing happens, and whether load alone ever makes it fail over.

On each runtime: the guard's processor time and memory over some idle minutes, then the same while pgbench saturates
the machine for as long. A failover in either is a false one: nothing has failed.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import psutil

from benchmarks.haop_side import FAILOVER, MAJOR, HaopSide, haop_side
from haop.model.spec import RUNTIMES
from haop.operations import guarding
from haop.postgres.binaries import installation
from haop.process import run
from tests import support

T = TypeVar("T")
CPU_PERCENT, MEMORY_MIB = 0.5, 60
SETTLE_SECONDS = 40.0  # what has just come up is looked at more often
SCALE, CLIENTS, THREADS = 10, 16, 2


class Cost(NamedTuple):
    """Of the guard and of all that it started, over a span."""

    cpu_percent: float  # of one core
    memory_mib: float  # at most, since it was started
    failovers: int


def main(minutes: float) -> None:
    """So many idle minutes and so many under load, on each runtime."""
    print(f"the guard, PostgreSQL {MAJOR}, {psutil.cpu_count()} cores, {minutes:g} minutes idle and as long under load")
    print("| side | while | CPU, of one core | memory, at most | failovers | aim |")
    print("|---|---|---|---|---|---|")
    for runtime in RUNTIMES:
        with support.folder() as folder:
            (folder / "cluster").mkdir(mode=0o755)
            with haop_side(runtime, folder / "cluster") as side:
                watch(side, minutes * 60)


def watch(side: HaopSide, seconds: float) -> None:
    """The guard of one cluster, idle and under load."""
    side.await_ready()
    pgbench(side, "--initialize", "--quiet", "--scale", str(SCALE), seconds=300)
    time.sleep(SETTLE_SECONDS)
    idle, _ = observed(side, lambda: time.sleep(seconds))
    show(side, "idle", idle, met=idle.cpu_percent < CPU_PERCENT)
    load = ("--client", str(CLIENTS), "--jobs", str(THREADS), "--time", f"{seconds:.0f}")
    loaded, said = observed(side, lambda: pgbench(side, *load, seconds=seconds))
    rate = next(float(line.split()[2]) for line in said.splitlines() if line.startswith("tps"))
    show(side, f"pgbench, {rate:.0f} transactions a second", loaded, met=True)


def observed(side: HaopSide, meanwhile: Callable[[], T]) -> tuple[Cost, T]:
    """What the guard takes while something is done, and what that returned."""
    project, begun = side.cluster.project, time.time()
    guard = guarding.found(project)
    if guard is None:
        raise SystemExit("no guard runs")
    process = psutil.Process(guard.pid)
    before, since = sum(process.cpu_times()[:4]), time.monotonic()
    done = meanwhile()
    if guarding.found(project) != guard:
        raise SystemExit("the guard is not the process that it was")
    spent, passed = sum(process.cpu_times()[:4]) - before, time.monotonic() - since
    failovers = sum(event.action == FAILOVER and event.at.timestamp() >= begun for event in project.events())
    return Cost(100 * spent / passed, peak(process), failovers), done


def peak(process: psutil.Process) -> float:
    """MiB that it ever had in memory at once, and that its children have now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return own / 1024 + sum(child.memory_info().rss for child in process.children(recursive=True)) / 2**20


def pgbench(side: HaopSide, *words: str, seconds: float) -> str:
    """Run it against the primary, to its end; what it printed."""
    endpoint, login = side.nodes[side.await_ready()], side.application
    tls = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(login.ca)} if login.ca else {}
    argv = (
        str(installation(MAJOR).bindir / "pgbench"), "-h", endpoint.host, "-p", str(endpoint.port), "-U", login.user,
        *words, login.database,
    )  # fmt: skip
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": login.password, **tls}
    return run(argv, environment=environment, timeout=seconds + 120).stdout


def show(side: HaopSide, meanwhile: str, cost: Cost, *, met: bool) -> None:
    """A row of the table."""
    word = "met" if met and cost.memory_mib < MEMORY_MIB and not cost.failovers else "MISSED"
    cells = (side.name, meanwhile, f"{cost.cpu_percent:.2f} %", f"{cost.memory_mib:.0f} MiB", cost.failovers, word)
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
