"""What a drill breaks. Written down before it is done, undone with the context."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from haop.clock import SYSTEM_CLOCK
from haop.operations import heal
from haop.operations.cluster import Cluster


class Fault(StrEnum):
    """How the primary fails."""

    KILL = "kill"  # every process at once: a crash, an out-of-memory kill, a power cut of the container
    STOP = "stop"  # a clean stop by someone else: an update, `systemctl stop`, a mistake
    PAUSE = "pause"  # a hang: its sockets stay open and nothing answers


@contextmanager
def injected(cluster: Cluster, fault: Fault, node: str, drill: str) -> Iterator[float]:
    """Break a node; yields the moment (monotonic clock) just before. A pause ends with the context.

    The record stays until the drill has restored redundancy: a node that was killed is not healed by leaving here.
    """
    at = SYSTEM_CLOCK.now().isoformat(timespec="milliseconds")
    heal.write(cluster.project, heal.OpenFault(fault=str(fault), node=node, at=at, drill=drill))
    act = {
        Fault.KILL: cluster.runtime.kill,
        Fault.STOP: cluster.runtime.stop,
        Fault.PAUSE: cluster.runtime.pause,
    }
    begun = time.monotonic()
    try:
        act[fault](node)
        yield begun
    finally:
        if fault is Fault.PAUSE:
            cluster.runtime.resume(node)
