"""Write and read recovery of each fault on each runtime, as `haop drill failover` reports them."""

import statistics
import subprocess
import sys

from benchmarks.limit import drill
from benchmarks.timing import HAOP
from haop.drills.faults import Fault
from haop.model.spec import RUNTIMES
from tests import support

MAJOR = 15


def main(runs: int) -> None:
    """So many drills of each fault, with haop's defaults."""
    print(f"haop drill failover, PostgreSQL {MAJOR}, {runs} runs each; haop's defaults: fsync on, durability async")
    print(f"  {'runtime':9}{'fault':11}{'writes failed':>24}{'reads failed':>24}{'redundancy':>12}{'lost writes':>16}")
    for runtime in RUNTIMES:
        with support.folder() as folder:
            root = folder / "shop"
            argv = (HAOP, "init", str(root), "--runtime", runtime, "--postgres", str(MAJOR), "--name", "haop-bench")
            subprocess.run((*argv, "--first-port", str(support.free_ports(3))), check=True, stdout=subprocess.DEVNULL)
            subprocess.run((HAOP, "-C", str(root), "up"), check=True, capture_output=True)
            for fault in Fault:
                if runtime == "local" and fault is Fault.PARTITION:
                    continue  # processes on loopback have no network that could be cut
                reports = [drill(root, fault) for _ in range(runs)]
                writes = [report["write_recovery_seconds"] for report in reports]
                reads = [report["read_recovery_seconds"] for report in reports]
                back = statistics.median(report["redundancy_seconds"] for report in reports)
                lost = sum(report["lost_writes"] for report in reports)
                total = sum(report["acknowledged_writes"] for report in reports)
                told = f"{lost} of {total}"
                print(
                    f"  {runtime:9}{fault:11}{told_of(writes):>24}{told_of(reads):>24}{back:10.1f} s{told:>16}",
                    flush=True,
                )
            subprocess.run((HAOP, "-C", str(root), "down", "--volumes", "--yes"), check=True, capture_output=True)


def told_of(values: list[float]) -> str:
    """Median and maximum."""
    return f"{statistics.median(values):.2f} s, max {max(values):.2f} s"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
