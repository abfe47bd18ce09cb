"""What the guard has recorded."""

from haop.operations.cluster import Cluster
from haop.waiting import wait_until


def events(cluster: Cluster, action: str) -> list[str]:
    """Details of the events of one kind, the oldest first."""
    return [event.detail or "" for event in cluster.project.events() if event.action == action]


def await_event(cluster: Cluster, action: str) -> str:
    """Details of the newest: clients write again a moment before the guard has recorded why they can."""
    return wait_until(lambda: events(cluster, action), deadline=30, waiting_for=f"the event {action}")[-1]
