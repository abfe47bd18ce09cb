"""`haop failover`: the primary is gone; fence it, then promote the most advanced standby."""

from haop.engines.base import Note, Promotion
from haop.operations import heal, strays
from haop.operations.audit import audited
from haop.operations.cluster import Cluster


def plan(cluster: Cluster, to: str | None) -> Promotion:
    """What would be done; changes nothing.

    Raises:
        Refused: a primary answers, or the wanted node would lose what another has.
        NoPrimary: no standby answers.
    """
    if to:
        cluster.require_node(to)
    strays.find(cluster)  # refuses where one of them is the primary: it would not be fenced
    return cluster.engine.plan_failover(cluster.engine.observe(), to)


def execute(cluster: Cluster, to: str | None, note: Note) -> Promotion:
    """Do it. Returns what was done."""
    strays.find(cluster)
    with audited(cluster.project, "failover") as outcome:
        done = cluster.engine.failover(to, heal.noting(cluster.project, note))
        fenced = f"fenced {', '.join(done.fence)}; " if done.fence else ""
        outcome.detail = f"{fenced}promoted {done.node}"
        others = frozenset(
            node.name for node in cluster.engine.observe().standbys if node.name not in {done.node, *done.fence}
        )
        cluster.engine.await_streaming(others, deadline=60)
    return done
