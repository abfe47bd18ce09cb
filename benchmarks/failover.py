"""Write recovery of `haop drill failover --fault kill` against the limit of the machine, in one run, in turn.

The limit: SIGKILL to every process of the primary, `pg_promote` at once over a connection that is open, then fresh
connections to the standby until one INSERT is acknowledged. It knows the answer in advance: nothing is looked at,
chosen, fenced or verified.
"""

import statistics
import sys
import time

import psycopg

from benchmarks.timing import ratio
from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault
from haop.operations.cluster import Cluster
from haop.operations.progress import Quiet
from haop.postgres.connection import Login
from tests import support


def main(runs: int) -> None:
    """So many runs of both."""
    print(f"failover after SIGKILL, {runs} runs of each in turn")
    drills, limits = [], []
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", durability="sync")) as cluster,
    ):
        for _ in range(runs):
            report = FailoverDrill(cluster, Fault.KILL, Quiet()).run()
            assert report.measured.write_recovery_seconds is not None
            assert not report.measured.lost
            drills.append(report.measured.write_recovery_seconds)
            limits.append(limit(cluster))
    for name, values in (("haop drill failover: write recovery", drills), ("the limit", limits)):
        told = f"{min(values) * 1000:.0f} to {max(values) * 1000:.0f}"
        print(f"  {name:44} {statistics.median(values) * 1000:7.0f} ms  [{told}], {len(values)} runs")
    ratio("write recovery / limit", statistics.median(drills), statistics.median(limits), 3)
    print(f"  slowest of {runs}: {max(drills):.2f} s (under 1 s: {'met' if max(drills) < 1 else 'MISSED'})")


def limit(cluster: Cluster) -> float:
    """Seconds from SIGKILL to the first acknowledged write; the cluster is whole again afterwards."""
    old, new = support.primary_of(cluster), support.standby_of(cluster)
    support.sql(cluster, old, "CREATE TABLE IF NOT EXISTS bench (id int)", database="shop")
    support.sql(cluster, old, "GRANT ALL ON bench TO shop", database="shop")
    with support.connect(cluster, new, cluster.engine.admin) as ready:
        begun = time.perf_counter()
        cluster.runtime.kill(old)
        ready.execute("SELECT pg_promote(wait => false)")
        while not writes(cluster, new, cluster.engine.application):
            time.sleep(0.001)
        seconds = time.perf_counter() - begun
    cluster.runtime.fence(old)
    cluster.engine.rejoin(old, lambda *_: None)
    return seconds


def writes(cluster: Cluster, node: str, login: Login) -> bool:
    """Whether a fresh connection gets a write acknowledged."""
    try:
        with support.connect(cluster, node, login) as connection:
            connection.execute("INSERT INTO bench VALUES (1)")
    except psycopg.Error:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
