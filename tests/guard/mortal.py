"""A guard that kills itself, as kill -9 would, at a moment of its next failover, or as it brings a node back."""

import os
import signal
import sys
import threading
from pathlib import Path

from haop.engines.base import Note
from haop.guard import acts
from haop.guard.guard import Guard
from haop.model.service import Service
from haop.operations import guarding, heal
from haop.operations.cluster import Cluster
from haop.project import Project, load


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(project: Project, note: Note) -> Note:
    moment = sys.argv[2]
    if moment == "fencing":
        die()
    whole = heal.noting(project, note)

    def noted(event: str, node: str) -> None:
        whole(event, node)
        if event == moment:
            die()

    return noted


class _Heal:
    """`haop.operations.heal`, but for one function."""

    noting = staticmethod(dying)
    begin, read, clear, settle, point_the_lost = heal.begin, heal.read, heal.clear, heal.settle, heal.point_the_lost
    reserve = staticmethod(heal.reserve)


def dies_starting(cluster: Cluster) -> None:
    """A node is started by this guard only after it was let in again."""
    start = cluster.runtime.start

    def started(service: Service) -> None:
        if sys.argv[2] == "started":
            start(service)
        die()

    vars(cluster.runtime)["start"] = started


if __name__ == "__main__":
    vars(acts)["heal"] = _Heal
    cluster = Cluster.of(load(Path(sys.argv[1])))
    if sys.argv[2] in {"readmitted", "started"}:
        dies_starting(cluster)
    with guarding.held(cluster.project) as post:
        Guard(cluster, post).run(threading.Event())
