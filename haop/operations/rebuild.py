"""`haop rebuild NODE`: discard a node's data and clone the primary again; until the clone is whole, the data stay."""

from haop.clock import SYSTEM_CLOCK
from haop.engines import rebuilding
from haop.operations import confirming, salvage
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress


def plan(cluster: Cluster, node: str) -> str:
    """What would be done, in a sentence; changes nothing.

    Raises:
        Refused: there is no such node, or it is the primary.
        NoPrimary: there is nothing to clone.
    """
    status = cluster.engine.observe()
    return rebuilding.plan(cluster.engine, cluster.runtime, status, cluster.require_node(node))


def execute(cluster: Cluster, node: str, progress: Progress) -> str:
    """Do it; returns what the node script decided, and what was kept of the WAL that only this node had.

    Raises:
        HaopError: the clone failed, and the node has its data as they were; or it does not follow after it.
    """
    begun = SYSTEM_CLOCK.now()
    with audited(cluster.project, "rebuild", node=node) as outcome:
        with progress.step(f"rebuild {node}: stop it, clone the primary, follow") as say:
            rebuilding.Rebuild(cluster.engine, cluster.runtime, node).run(_nothing, say)
            confirming.restore(cluster)
        outcome.detail = cluster.engine.last_decision(node, begun) + salvage.collected(cluster)
    return outcome.detail


def _nothing(event: str, node: str) -> None:
    """The step says where it is."""
