"""`haop rejoin NODE`: make a former primary, or a standby that cannot follow, a standby of the primary."""

from haop.clock import SYSTEM_CLOCK
from haop.engines.base import Note, Rejoining
from haop.operations import confirming, salvage
from haop.operations.audit import audited
from haop.operations.cluster import Cluster


def plan(cluster: Cluster, node: str) -> Rejoining:
    """What would be done; changes nothing.

    Raises:
        Refused: there is no such node, it is the primary that the others follow, or only a rebuild can help.
        NoPrimary: there is nothing to follow.
    """
    return cluster.engine.plan_rejoin(cluster.engine.observe(), cluster.require_node(node))


def execute(cluster: Cluster, node: str, note: Note) -> str:
    """Do it; returns what the node script decided, and what was kept of the WAL that only this node had."""
    begun = SYSTEM_CLOCK.now()
    with audited(cluster.project, "rejoin", node=node) as outcome:
        cluster.engine.rejoin(node, note)
        confirming.restore(cluster)
        outcome.detail = cluster.engine.last_decision(node, begun) + salvage.collected(cluster)
    return outcome.detail
