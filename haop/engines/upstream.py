"""Whom standbys follow. After two promotions in a row one may be left with a node that is not primary any more."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from haop.model.endpoint import Endpoint
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable
from haop.postgres.pointing import told_by

if TYPE_CHECKING:
    from haop.engines.streaming import StreamingEngine

_SETTINGS = PurePosixPath("postgresql.auto.conf")


def by_files(engine: "StreamingEngine", name: str) -> str | None:
    """Whom a running standby that lets nobody in follows; None where nobody can tell, or it is about to change.

    It may wait for WAL to become consistent, and whoever it follows may not have that.
    """
    if engine.runtime.rejoining(name) or not engine.is_standby(name):
        return None
    place = told_by((engine.runtime.read(name, _SETTINGS) or b"").decode(errors="replace"))
    return _at(engine, place) if place else None


def misled(engine: "StreamingEngine", status: ClusterStatus, name: str) -> str | None:
    """Whom that running standby follows instead of the primary; None where it does not, or nobody can tell."""
    node = status.node(name)
    if not status.primary or node is status.primary or node.service.fenced or node.service.state is not State.RUNNING:
        return None
    if isinstance(node, Reachable):
        followed = _at(engine, node.server.upstream) if node.server.upstream else None
    else:
        followed = by_files(engine, name)
    return None if followed == status.primary.name else followed


def lead(engine: "StreamingEngine", status: ClusterStatus, name: str) -> None:
    """Let a standby that follows another than the primary follow that; one that lets nobody in is started again."""
    if not status.primary or not misled(engine, status, name):
        return
    if not isinstance(node := status.node(name), Reachable):
        engine.restart_as_standby(status, name)
    elif not status.diverged(node):
        engine.point(name, status.primary.name)


def _at(engine: "StreamingEngine", place: Endpoint) -> str:
    places = engine.runtime.places().items()
    return next((name for name, each in places if each == place), f"{place.host}:{place.port}")
