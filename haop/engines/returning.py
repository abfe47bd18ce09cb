"""Bringing a node back without waiting for it: what the guard does between two looks."""

from haop.engines.streaming import StreamingEngine
from haop.errors import HaopError
from haop.model.status import ClusterStatus, Reachable, Slot


def bring_back(engine: StreamingEngine, name: str, *, rebuild: bool) -> str:
    """Begin it: in its place where nobody is primary; else as a standby that follows, is rewound, or is cloned.

    Args:
        engine: of the cluster.
        name: of a node that does not run, or that runs and does not stream.
        rebuild: whether its data may be replaced by a clone where nothing less helps.

    Returns:
        What was begun, in words.

    Raises:
        HaopError: nothing can be begun; only a rebuild would help, and it may not be done.
    """
    runtime, status = engine.runtime, engine.observe()
    if not status.primaries:
        runtime.start(engine.services()[name])
        return "started in its place"
    primary = engine.primary_for(status, name)
    slot = status.slot(engine.spec.node(name).slot)
    if status.streams(name) or runtime.rejoining(name):
        return "on its way already"
    if isinstance(status.node(name), Reachable) and not engine.needs_rewind(status, name) and not _is_lost(slot):
        engine.point(name, primary)
        return f"pointed at {primary}"
    if rebuild and (_is_lost(slot) or runtime.rebuilding(name)):
        return _clone(engine, status, name, primary)
    if _is_lost(slot):
        raise HaopError(f"{primary} no longer has the WAL that {name} needs", hint=f"haop rebuild {name}")
    try:
        engine.restart_as_standby(status, name)
    except HaopError:  # it can neither follow nor be rewound
        if not rebuild:
            raise
        return _clone(engine, status, name, primary)
    return f"started, to follow {primary}"


def _clone(engine: StreamingEngine, status: ClusterStatus, name: str, primary: str) -> str:
    engine.take_down(status, name)
    engine.runtime.readmit(name, rebuild=True)
    engine.runtime.start(engine.services()[name])
    return f"clones {primary}"


def _is_lost(slot: Slot | None) -> bool:
    return slot is not None and slot.wal_status == "lost"
