"""The guard of one cluster."""

import threading

from haop.operations.cluster import Cluster


class Guard:
    """Watches a cluster and keeps it with one primary."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def run(self, until: threading.Event) -> None:
        """Do so until the event is set."""
        until.wait()
