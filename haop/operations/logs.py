"""`haop logs`: what the nodes and haop itself said, by time."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice, takewhile

from haop.errors import HaopError
from haop.model.service import LogLine
from haop.operations.cluster import Cluster
from haop.postgres.log import LEVELS
from haop.project import Event, Project


def merged(
    cluster: Cluster, nodes: Sequence[str], *, follow: bool, since: datetime | None, level: str | None
) -> Iterator[LogLine]:
    """Entries of these nodes (all: none named) and haop's own events, the oldest first."""
    names = [cluster.require_node(name) for name in nodes] or [node.name for node in cluster.project.spec.nodes]
    told = cluster.runtime.logs(names, follow=follow, since=since)
    own = iter(()) if nodes else _own(cluster.project, since)
    # The events of the past come in between; while following, those that are new are haop's own output elsewhere.
    lines: Iterator[LogLine] = heapq.merge(told, own, key=lambda line: line.at) if not follow else told
    floor = LEVELS.index(level) if level else 0
    return (line for line in lines if LEVELS.index(line.level) >= floor and not (level and line.level == "log"))


def events(project: Project, *, since: datetime | None = None, last: int | None = None) -> Iterator[Event]:
    """The audit trail, and in between how services ended by themselves, as far as the runtime can be asked.

    Args:
        project: whose.
        since: only what is not older.
        last: only so many, the last ones.
    """
    ended = [event for event in _endings(project) if since is None or event.at >= since]
    if last is None:
        return heapq.merge(project.events(since), ended, key=_at)
    newest = heapq.merge(project.newest_events(), reversed(ended), key=_at, reverse=True)
    found = [*takewhile(lambda event: since is None or event.at >= since, islice(newest, last))]
    return reversed(found)


def _at(event: Event) -> datetime:
    return event.at


def _endings(project: Project) -> list[Event]:
    try:
        found = Cluster.of(project).runtime.endings()
    except HaopError:  # no engine, no .env: the trail itself can still be read
        return []
    return sorted(
        (Event(at=e.at, actor="runtime", action="end", node=e.service, outcome="failed", detail=e.how) for e in found),
        key=_at,
    )


def _own(project: Project, since: datetime | None) -> Iterator[LogLine]:
    return (
        LogLine(event.at, "haop", "log" if event.outcome == "done" else "error", sentence(event))
        for event in events(project, since=since)
    )


def sentence(event: Event) -> str:
    """An event in one line."""
    parts = [event.actor, event.action, event.node or "", event.outcome]
    took = "" if event.duration_seconds is None else f" in {event.duration_seconds:.1f} s"
    return " ".join(part for part in parts if part) + took + (f": {event.detail}" if event.detail else "")
