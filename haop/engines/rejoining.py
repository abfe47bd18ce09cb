"""Making a node a standby of the primary: it follows where it can, else it is rewound; and waiting until it streams."""

from typing import TYPE_CHECKING

from haop.engines import upstream, words
from haop.engines.base import Note, Rejoining
from haop.engines.rebuilding import Rebuild
from haop.errors import HaopError, Refused
from haop.model.health import paused, resume
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable
from haop.waiting import wait_until

if TYPE_CHECKING:
    from haop.engines.streaming import StreamingEngine

REJOIN_SECONDS = 300.0


def rejoin(engine: "StreamingEngine", node: str, note: Note) -> None:
    """Follow where that is possible, else rewind; the node script finds out which. A rebuild is completed."""
    if engine.runtime.rebuilding(node):
        Rebuild(engine, engine.runtime, node).run(note, lambda _: None)
        return
    status = engine.observe()
    primary = engine.primary_for(status, node)
    if status.streams(node):
        return
    if isinstance(status.node(node), Reachable) and not engine.needs_rewind(status, node):
        engine.point(node, primary)
    elif isinstance(status.node(node), Reachable) or not engine.runtime.rejoining(node):
        _start_again(engine, status, node)
        note("started", node)
    await_streaming(engine, frozenset({node}), REJOIN_SECONDS)
    engine.drop_slots_of_standby(node)
    note(f"streams from {primary}", node)


def plan(engine: "StreamingEngine", status: ClusterStatus, node: str) -> Rejoining:
    """What `rejoin` would do.

    Raises:
        Refused: only a rebuild can help.
    """
    primary, slot = engine.primary_for(status, node), status.slot(engine.spec.node(node).slot)
    if status.streams(node):
        return Rejoining(f"{node} streams from {primary} already; nothing to do")
    if slot and slot.wal_status == "lost" and not engine.runtime.rebuilding(node):
        raise Refused(_removed(node), hint=f"clone it again: haop rebuild {node}")
    if status.node(node).service.needs_rebuild:
        told = f"{node} can neither follow {primary} nor be rewound"
        raise Refused(told, hint=f"clone it again: haop rebuild {node}")
    if not engine.needs_rewind(status, node):
        return Rejoining(f"start {node}; it follows {primary}")
    told = f"{node} follows {primary}; what only {node} has written since then is rewound, and its WAL kept"
    return Rejoining(told, rewinds=True)


def restart_as_standby(engine: "StreamingEngine", status: ClusterStatus, node: str) -> None:
    """Start it so that it becomes a standby.

    What runs there is taken down first where it has to be rewound, or lets nobody in and waits for what does not come.
    """
    service, rewind = status.node(node).service, engine.needs_rewind(status, node)
    in_vain = upstream.waits_in_vain(engine, status, node)
    if rewind and (service.state is not State.STOPPED or service.intruder):
        engine.take_down(status, node)
    elif in_vain or service.state is State.PAUSED:
        engine.runtime.stop(node)
    if rewind or in_vain or service.fenced or service.state in {State.STOPPED, State.PAUSED}:
        engine.runtime.readmit(node)
    engine.runtime.start(engine.services()[node])


def _start_again(engine: "StreamingEngine", status: ClusterStatus, node: str) -> None:
    """Start it as a standby; what was about to be one is awaited, and started with other words where it ended.

    An engine that starts again and again what refuses lets it run for a moment each time.
    """
    restart_as_standby(engine, status, node)
    if engine.runtime.rejoining(node) or engine.runtime.state(node).state is not State.RUNNING:
        return
    status = wait_until(
        lambda: _come_to_something(engine, node), deadline=REJOIN_SECONDS, pause=0.05,
        waiting_for=f"{node} to answer or to end", hint=f"haop logs --node {node}",
    )  # fmt: skip
    if status.node(node).service.state is State.STOPPED:
        restart_as_standby(engine, status, node)


def _come_to_something(engine: "StreamingEngine", node: str) -> ClusterStatus | None:
    status = engine.observe()
    there = status.node(node)
    return status if isinstance(there, Reachable) or there.service.state is not State.RUNNING else None


def await_streaming(engine: "StreamingEngine", names: frozenset[str], deadline: float) -> ClusterStatus:
    """Wait until these nodes stream from the primary; who follows another, since one changed, is led to it.

    Whom the primary waits for is not decided here.
    """
    return wait_until(
        lambda: _all_stream(engine, names), deadline=deadline, pause=0.05,
        waiting_for=f"{', '.join(sorted(names))} to stream", hint="haop status, then haop logs --level warning",
    )  # fmt: skip


def _all_stream(engine: "StreamingEngine", names: frozenset[str]) -> ClusterStatus | None:
    status = engine.observe()
    for name in names:
        if (found := engine.runtime.state(name)).state in {State.STOPPED, State.ABSENT}:
            hint = f"haop rebuild {name}" if found.needs_rebuild else f"haop logs --node {name}"
            raise HaopError(_end_of(engine, name), hint=hint)
        _require_hope(engine, status, name)
        if not status.streams(name):
            upstream.lead(engine, status, name)
    return status if all(status.streams(name) for name in names) else None


def _require_hope(engine: "StreamingEngine", status: ClusterStatus, name: str) -> None:
    """Waiting brings back neither removed WAL nor another timeline's."""
    node, slot = status.node(name), status.slot(engine.spec.node(name).slot)
    if isinstance(node, Reachable) and (why := status.diverged(node)):
        raise HaopError(f"{name} cannot follow: {why}", hint=f"haop rejoin {name}")
    if isinstance(node, Reachable) and node.server.replay_paused:
        raise HaopError(paused(name), hint=resume(name))
    if slot and slot.wal_status == "lost" and isinstance(node, Reachable) and not status.streams(name):
        raise HaopError(_removed(name), hint=f"clone it again: haop rebuild {name}")


def _end_of(engine: "StreamingEngine", name: str) -> str:
    """A node's last words, and those of a primary that went with it: a full disk ends both."""
    status = engine.observe()
    others = (n.name for n in status.nodes if n.name != name and not n.service.fenced)
    gone = () if status.primaries else [other for other in others if engine.was_primary(other)]
    return words.end_of(engine.runtime, name, gone)


def _removed(name: str) -> str:
    return f"{name} cannot follow: the primary no longer has the WAL that it needs"
