"""What a drill breaks. Written down before it is done, undone with the context."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

from haop.errors import Refused
from haop.interrupts import held_back
from haop.operations import heal
from haop.operations.cluster import Cluster
from haop.runtimes.base import Partitionable, Runtime


class Fault(StrEnum):
    """How the primary fails."""

    KILL = "kill"
    STOP = "stop"
    PAUSE = "pause"
    PARTITION = "partition"


@dataclass(frozen=True, slots=True)
class Description:
    """What a fault does, what it rehearses, and what a drill with it shows beside the figures of every drill."""

    does: str
    rehearses: str
    shows: str


CATALOG: Mapping[Fault, Description] = {
    Fault.KILL: Description(
        "ends every process of the primary at once",
        "a crash, an out-of-memory kill, a power cut",
        "which acknowledged writes the primary had not sent",
    ),
    Fault.STOP: Description(
        "stops the primary cleanly",
        "an update, `systemctl stop`, a mistake",
        "whether the end of the WAL reached a standby",
    ),
    Fault.PAUSE: Description(
        "stops its processes by a signal; sockets stay open and nothing answers",
        "a hang: a stuck disk, a machine that swaps",
        "how long clients wait for a server that says nothing; whether it takes writes when it goes on",
    ),
    Fault.PARTITION: Description(
        "cuts it off from clients and standbys; it runs on, unaware",
        "a network that fails",
        "whether the old primary takes writes after another was promoted",
    ),
}


def obstacle(cluster: Cluster, fault: Fault) -> str | None:
    """Why the cluster's runtime cannot stage a fault; None where it can."""
    if fault is Fault.PARTITION and not isinstance(cluster.runtime, Partitionable):
        return f"the {cluster.project.spec.runtime} runtime has no network that could be cut"
    return None


def require(cluster: Cluster, fault: Fault) -> None:
    """Refuse a fault that the cluster's runtime cannot stage.

    Raises:
        Refused: with the reason.
    """
    if reason := obstacle(cluster, fault):
        raise Refused(reason, hint="--fault kill, stop or pause")


@contextmanager
def injected(cluster: Cluster, fault: Fault, record: heal.Open) -> Iterator[float]:
    """Break the record's node; yields the moment (monotonic clock) just before. A pause or a partition ends here.

    The record stays until the drill has restored redundancy: a node that was killed is not healed by leaving here.
    Ctrl-C waits until the node is broken: what an engine was asked for it does, though nobody waits for its answer, and
    a pause that begins after it was ended would stay.
    """
    heal.write(cluster.project, replace(record, fault=str(fault)))
    runtime, node, begun = cluster.runtime, record.node, time.monotonic()
    try:
        with held_back():
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
