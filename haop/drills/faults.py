"""What a drill breaks. Written down before it is done, undone with the context."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum

from haop.errors import Refused
from haop.operations import heal
from haop.operations.cluster import Cluster
from haop.runtimes.base import Partitionable, Runtime


class Fault(StrEnum):
    """How the primary fails."""

    KILL = "kill"  # every process at once: a crash, an out-of-memory kill, a power cut of the container
    STOP = "stop"  # a clean stop by someone else: an update, `systemctl stop`, a mistake
    PAUSE = "pause"  # a hang: its sockets stay open and nothing answers
    PARTITION = "partition"  # cut off from clients and standbys, and unaware of it


def require(cluster: Cluster, fault: Fault) -> None:
    """Refuse a fault that the cluster's runtime cannot stage.

    Raises:
        Refused: with the reason.
    """
    if fault is Fault.PARTITION and not isinstance(cluster.runtime, Partitionable):
        runtime = cluster.project.spec.runtime
        raise Refused(f"the {runtime} runtime has no network that could be cut", hint="--fault kill, stop or pause")


@contextmanager
def injected(cluster: Cluster, fault: Fault, node: str, drill: str) -> Iterator[float]:
    """Break a node; yields the moment (monotonic clock) just before. A pause or a partition ends with the context.

    The record stays until the drill has restored redundancy: a node that was killed is not healed by leaving here.
    """
    record = heal.read(cluster.project) or heal.begin(cluster.project, drill, node)
    heal.write(cluster.project, replace(record, fault=str(fault)))
    runtime, begun = cluster.runtime, time.monotonic()
    try:
        _break(runtime, fault, node)
        yield begun
    finally:
        if fault is Fault.PAUSE:
            runtime.resume(node)
        elif fault is Fault.PARTITION and isinstance(runtime, Partitionable):
            runtime.mend(node)


def _break(runtime: Runtime, fault: Fault, node: str) -> None:
    match fault:
        case Fault.KILL:
            runtime.kill(node)
        case Fault.STOP:
            runtime.stop(node)
        case Fault.PAUSE:
            runtime.pause(node)
        case Fault.PARTITION:
            assert isinstance(runtime, Partitionable), "require() was asked first"
            runtime.cut(node)
