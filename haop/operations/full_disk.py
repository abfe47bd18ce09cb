"""A disk without room shows in many ways: what is told is the room, and the way on."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from haop.clock import SYSTEM_CLOCK
from haop.errors import HaopError
from haop.operations.cluster import Cluster
from haop.postgres.answers import DISK_FULL

_SAYS = "No space left on device"


@contextmanager
def named(cluster: Cluster) -> Iterator[None]:
    """An error says that the disk is full where that is behind it, as a node's log tells."""
    since = SYSTEM_CLOCK.now()
    try:
        yield
    except HaopError as error:
        said = _SAYS in error.message
        if not said and not _was_full(cluster, since):
            raise
        error.hint = "make room on the disk, then run haop up again: it goes on from where it stopped"
        error.message = error.message if said else f"{_SAYS}: {error.message}"
        raise


def _was_full(cluster: Cluster, since: datetime) -> bool:
    names = [node.name for node in cluster.project.spec.nodes]
    lines = cluster.runtime.logs(names, follow=False, since=since)
    # The second is what programs say that are no server.
    return any(line.code == DISK_FULL or _SAYS in line.message for line in lines)
