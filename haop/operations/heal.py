"""The record of what haop has begun to do to a primary, and what undoes or completes it.

A drill or a switchover writes down what it is about to do before it does it, and takes the record away once redundancy
is back. One that is still there belongs to a haop that was killed: the next `haop up` settles it.
"""

import json
from dataclasses import asdict, dataclass, replace

from haop.clock import SYSTEM_CLOCK
from haop.engines import switching
from haop.engines.base import Note
from haop.operations.cluster import Cluster
from haop.project import Project

_RECORD = "open.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What was begun, and how far it came."""

    action: str  # "drill failover kill", "switchover"
    node: str  # the primary that it is done to
    at: str  # ISO 8601, UTC
    fault: str | None = None  # what a drill breaks it with; None while nothing is broken
    promoting: str | None = None  # the node that it was about to promote: from then on it can only be completed


def begin(project: Project, action: str, node: str) -> Open:
    """Write down, before anything is changed, what is going to be done to which primary."""
    begun = Open(action=action, node=node, at=SYSTEM_CLOCK.now().isoformat(timespec="milliseconds"))
    write(project, begun)
    return begun


def write(project: Project, record: Open) -> None:
    """Write the record, whole or not at all."""
    path = project.state / _RECORD
    making = path.with_suffix(".new")
    making.write_text(json.dumps(asdict(record)), encoding="utf-8")
    making.replace(path)


def read(project: Project) -> Open | None:
    """What is open, if anything is."""
    try:
        return Open(**json.loads((project.state / _RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Open(action="something that its record does not tell any more", node="unknown", at="an unknown time")


def clear(project: Project) -> None:
    """It is settled."""
    (project.state / _RECORD).unlink(missing_ok=True)


def noting(project: Project, note: Note) -> Note:
    """Pass on what the engine notes; that a promotion begins is written down before it does."""

    def noted(event: str, node: str) -> None:
        if event == "promoting" and (record := read(project)):
            write(project, replace(record, promoting=node))
        note(event, node)

    return noted


def settle(cluster: Cluster, record: Open) -> str | None:
    """Give a cluster that has lost its primary to this record a primary again.

    Before a promotion was begun that is the old one, so that nothing is lost.

    Returns:
        The node that is primary now; None where nothing had to be done.
    """
    engine, runtime = cluster.engine, cluster.runtime
    names = [node.name for node in cluster.project.spec.nodes]
    if record.node not in names or engine.observe().primaries or not runtime.state(record.node).fenced:
        return None
    if record.promoting in names:
        return switching.settle(engine, record.node, record.promoting)
    switching.reinstate(engine, record.node)
    return record.node
