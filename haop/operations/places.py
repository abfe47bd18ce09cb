"""Data that would go with a container: nothing that removes one begins."""

from collections.abc import Collection

from haop.errors import Refused
from haop.model import outside
from haop.operations.cluster import Cluster


def require_own(cluster: Cluster, names: Collection[str]) -> None:
    """Make sure that these nodes have all their data in their volumes, before anything is stopped.

    Raises:
        Refused: a container of theirs that is removed takes data along.
    """
    spec = cluster.project.spec
    if spec.runtime != "compose":
        return
    for node in cluster.engine.observe().reachable:
        if node.name not in names:
            continue
        for finding in outside.of_node(spec, node):
            if finding.code == "tablespace":
                raise Refused(finding.message, hint=finding.hint)
