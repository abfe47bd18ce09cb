"""How long writes hang, in sync, when both WAL senders of a primary are stopped while they say that they stream.

End to end: a client's INSERT, a guard's probes, a record that is durable before anybody is not waited for any more.
One side only: no other manager stops to wait for a standby that streams; theirs hang until somebody's timeout.
"""

import os
import signal
import statistics
import sys
import time

from haop.operations import behind
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support

AT_MOST_SECONDS = 11.0


def main(runs: int) -> None:
    """So many times; prints the median and the longest."""
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", durability="sync", nodes=3, guard=True)) as shop,
    ):
        up(shop, support.Quiet())
        primary = support.primary_of(shop)
        support.sql(shop, primary, "CREATE TABLE written (at timestamptz DEFAULT now())")
        taken = [hang(shop, primary, 2 + 0.37 * number % 1) for number in range(runs)]
    word = "met" if max(taken) <= AT_MOST_SECONDS else "MISSED"
    print(
        f"both senders stopped, durability sync: writes hung for {statistics.median(taken):.2f} s "
        f"[{min(taken):.2f} to {max(taken):.2f}], {runs} runs (at most {AT_MOST_SECONDS:g} s: {word})",
        flush=True,
    )


def hang(cluster: Cluster, primary: str, after: float) -> float:
    """Seconds between the last write that was confirmed and the first that is again.

    It writes for so many seconds before: at another moment of the guard's round each time.
    """
    senders = [int(str(pid)) for (pid,) in support.sql(cluster, primary, "SELECT pid FROM pg_stat_replication")]
    with support.connect(cluster, primary, cluster.engine.admin) as client:
        client.autocommit = True
        end = time.monotonic() + after
        while time.monotonic() < end:
            client.execute("INSERT INTO written DEFAULT VALUES")
            time.sleep(0.01)
        begun = time.monotonic()
        for pid in senders:
            os.kill(pid, signal.SIGSTOP)
        try:
            client.execute("INSERT INTO written DEFAULT VALUES")
            return time.monotonic() - begun
        finally:
            for pid in senders:
                os.kill(pid, signal.SIGCONT)
            wait_until(lambda: not behind.names(cluster.project), deadline=120, waiting_for="both to confirm again")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
