"""The proof that replication works now: a token written on the primary is replayed by every standby."""

from haop.clock import SYSTEM_CLOCK
from haop.model.status import ClusterStatus
from haop.operations.cluster import Cluster
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.waiting import wait_until


def token_replayed(cluster: Cluster, observed: ClusterStatus) -> None:
    """Write a token and wait until each standby that was observed has replayed it.

    Raises:
        DeadlineExceeded: one of them did not.
    """
    assert observed.primary
    admin = cluster.engine.admin
    with connected(observed.primary.endpoint, admin, answer_seconds=10) as link:
        token = replication.write_token(link, f"haop {SYSTEM_CLOCK.now().isoformat()}")
    for standby in observed.standbys:
        with connected(standby.endpoint, admin) as link:
            wait_until(
                lambda link=link: replication.replayed(link, token),  # type: ignore[misc]
                deadline=60, pause=0.005, waiting_for=f"{standby.name} to replay {token}",
                hint="a long query on the standby may hold replay back",
            )  # fmt: skip
