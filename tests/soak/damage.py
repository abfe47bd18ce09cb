"""What somebody can do to the data of a node that does not run: flip bytes in its WAL, start its volume elsewhere."""

import os
import signal

from haop.model.lsn import Lsn
from haop.operations.cluster import Cluster
from haop.runtimes.local import LocalRuntime
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks

_PAGE = 8192
_MESSAGES = "SELECT pg_logical_emit_message(false, 'soak', repeat('x', 7000)) FROM generate_series(1, 60)"


def damage(cluster: Cluster, node: str) -> str:
    """Kill the primary with WAL that it has sent to nobody, damaged in its middle; says what was done."""
    try:
        received, begin, end = _unsent(cluster, node)
        middle = (begin.position + end.position) // 2 // _PAGE * _PAGE
        [(name, offset)] = support.sql(cluster, node, f"SELECT * FROM pg_walfile_name_offset('{Lsn(middle)}')")
    finally:
        cluster.runtime.kill(node)
    support.by_hand(
        cluster, node,
        "printf '\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252\\252' | "
        f'dd of="$PGDATA/pg_wal/{name}" bs=1 seek={int(str(offset)) + 4000} conv=notrunc 2>/dev/null',
    )  # fmt: skip
    return f"damaged {Lsn(middle)} of {node}; standbys had received {received}, it had flushed {end}"


def _unsent(cluster: Cluster, node: str) -> tuple[Lsn, Lsn, Lsn]:
    """Let it write what no standby receives: how far these are, and from where to where the WAL is that only it has."""
    standbys = [other.name for other in cluster.project.spec.nodes if other.name != node]
    _stop_senders(cluster, node)
    received = max(_position(cluster, standby, "pg_last_wal_receive_lsn()") for standby in standbys)
    begin = _position(cluster, node, "pg_current_wal_insert_lsn()")
    support.sql(cluster, node, _MESSAGES)
    end = _position(cluster, node, "pg_current_wal_insert_lsn()")
    wait_until(
        lambda: _position(cluster, node, "pg_current_wal_flush_lsn()") >= end,
        deadline=20, waiting_for="WAL to be flushed",
    )  # fmt: skip
    return received, max(received, begin), end


def run_volume(cluster: Cluster, node: str) -> str:
    """Start a server on the data of a stopped container in another, with no script of haop's; its name."""
    stray = f"{stacks.container(cluster, node)}-stray"
    runtime = support.containers(cluster)
    stacks.ask("rm", "--force", stray)  # of an earlier event
    stacks.docker(
        "run", "--detach", "--name", stray, "--network", cluster.project.spec.name,
        "--volumes-from", stacks.container(cluster, node), "--user", "postgres", "--entrypoint", "sh",
        f"postgres:{cluster.project.spec.postgres}", "-euc",
        f'rm -f "{runtime._data}/postmaster.pid"; eval "set -- $(cat "{runtime._data}/postmaster.opts")"; exec "$@" '
        "-c ssl=off",  # the certificate is in the memory of the other container
    )  # fmt: skip
    return stray


def _stop_senders(cluster: Cluster, node: str) -> None:
    senders = [int(str(row[0])) for row in support.sql(cluster, node, "SELECT pid FROM pg_stat_replication")]
    for pid in senders:
        if isinstance(cluster.runtime, LocalRuntime):
            os.kill(pid, signal.SIGSTOP)
        else:
            stacks.execute(cluster, node, f"kill -STOP {pid}", user="postgres")


def _position(cluster: Cluster, node: str, function: str) -> Lsn:
    rows = support.sql(cluster, node, f"SELECT coalesce({function}, '0/0')")
    return Lsn.parse(str(rows[0][0]))
