"""The proof that replication works now: a token written on the primary is replayed by every standby."""

from collections.abc import Iterable
from functools import partial

from haop.clock import SYSTEM_CLOCK
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable
from haop.operations.cluster import Cluster
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.waiting import wait_until

_REPLAY_SECONDS = 60.0
_OVER = {State.STOPPED, State.ABSENT}


def token_replayed(cluster: Cluster, observed: ClusterStatus) -> None:
    """Write a token and wait until each standby that was observed has replayed it.

    Raises:
        DeadlineExceeded: one of them did not.
    """
    assert observed.primary
    with connected(observed.primary.endpoint, cluster.engine.admin, answer_seconds=10) as link:
        token = replication.write_token(link, f"haop {SYSTEM_CLOCK.now().isoformat()}")
    replayed(cluster, token, observed.standbys)


def replayed(cluster: Cluster, position: Lsn, standbys: Iterable[Reachable]) -> None:
    """Wait until each of these standbys has replayed that position.

    Raises:
        DeadlineExceeded: one of them did not.
    """
    for standby in standbys:
        with connected(standby.endpoint, cluster.engine.admin) as link:
            wait_until(
                partial(replication.replayed, link, position), deadline=_REPLAY_SECONDS, pause=0.005,
                waiting_for=f"{standby.name} to replay {position}",
                hint="a long query on the standby may hold replay back",
            )  # fmt: skip


def settled(cluster: Cluster, names: Iterable[str]) -> bool:
    """Whether each of these nodes answers, or has ended."""
    observed = cluster.engine.observe()
    nodes = [observed.node(name) for name in names]
    return all(isinstance(node, Reachable) or node.service.state in _OVER for node in nodes)
