"""Whom standbys follow. After two promotions in a row one may be left with a node that is not primary any more."""

from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from haop.errors import HaopError
from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.model.status import ClusterStatus, NodeStatus, Reachable, leads_to
from haop.postgres import control, observe
from haop.postgres.pointing import told_by

if TYPE_CHECKING:
    from haop.engines.streaming import StreamingEngine

_SETTINGS, _WAL = PurePosixPath("postgresql.auto.conf"), PurePosixPath("pg_wal")


def by_files(engine: "StreamingEngine", name: str) -> str | None:
    """Whom a running standby that lets nobody in follows; None where nobody can tell, or it is about to change.

    It may wait for WAL to become consistent, and whoever it follows may not have that.
    """
    if engine.runtime.rejoining(name) or not engine.is_standby(name):
        return None
    place = told_by((engine.runtime.read(name, _SETTINGS) or b"").decode(errors="replace"))
    return _at(engine, place) if place else None


def waits_for_what_is_lost(engine: "StreamingEngine", name: str, primary: str) -> bool:
    """Whether a standby that lets nobody in, and follows the primary, never will: that has lost what it needs first.

    It has written down how far it needs to replay; a primary that was promoted, or recovered, short of that has none
    for it, and it asks again and again.
    """
    with suppress(HaopError, OSError):  # what cannot be read, or asked, is looked at again
        needs = _needs(engine, name)
        # Asked after that was read: until then a primary may have written what it sends.
        others = frozenset(node.name for node in engine.spec.nodes if node.name != primary)
        return engine.observe(others).has_lost(needs.needed, needs.needed_timeline)
    return False


def seems_to_wait_for_what_is_lost(
    engine: "StreamingEngine", name: str, primary: str, timeline: int, flushed: Lsn
) -> bool:
    """The same of a standby that follows the primary, by files alone: who asks a server may have to wait.

    It is so only if it is so for a while: a primary may have in memory what it has not flushed.
    """
    with suppress(HaopError, OSError):
        needs, history = _needs(engine, name), _WAL / f"{timeline:08X}.history"
        earlier = needs.needed_timeline < timeline
        told = (engine.runtime.read(primary, history) or b"").decode(errors="replace") if earlier else ""
        return not leads_to(needs.needed, needs.needed_timeline, timeline, flushed, observe.forks(told))
    return False


def _needs(engine: "StreamingEngine", name: str) -> control.Control:
    return control.parse(engine.runtime.read(name, control.PATH) or b"")


def waits_in_vain(engine: "StreamingEngine", status: ClusterStatus, name: str) -> bool:
    """Whether that running standby lets nobody in, and waits for WAL from one that has none for it."""
    node = status.node(name)
    if not status.primary or isinstance(node, Reachable) or not _is_to_follow(node):
        return False
    followed = by_files(engine, name)
    if followed == status.primary.name:
        return waits_for_what_is_lost(engine, name, followed)
    return followed is not None


def lead(engine: "StreamingEngine", status: ClusterStatus, name: str) -> None:
    """Let a standby that follows another than the primary follow that; one that waits in vain is started again."""
    node, primary = status.node(name), status.primary
    if not isinstance(node, Reachable):
        if waits_in_vain(engine, status, name):
            engine.restart_as_standby(status, name)
    elif primary and node is not primary and _is_to_follow(node) and not status.diverged(node):
        told = node.server.upstream
        if told and _at(engine, told) != primary.name:
            engine.point(name, primary.name)


def _is_to_follow(node: NodeStatus) -> bool:
    return node.service.state is State.RUNNING and not node.service.fenced


def _at(engine: "StreamingEngine", place: Endpoint) -> str:
    places = engine.runtime.places().items()
    return next((name for name, each in places if each == place), f"{place.host}:{place.port}")
