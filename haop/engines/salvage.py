"""Salvage: what a dead primary has and a standby lacks is replayed by the standby before it is promoted.

The end of the dead primary's WAL is read first, so there is an exact position to wait for; where the standby has it
already nothing else is done. Only fenced nodes are read: nobody writes there any more.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from haop.clock import SYSTEM_CLOCK
from haop.engines.base import Salvage
from haop.errors import HaopError
from haop.model.lsn import Lsn
from haop.postgres import control, observe, replay, replication
from haop.postgres.connection import BoundedConnection
from haop.postgres.replication import Advance
from haop.postgres.wal import Layout, Source, Wal
from haop.runtimes.base import Runtime
from haop.waiting import wait_until

_WAL = PurePosixPath("pg_wal")
# What a receiver has in its socket is on the disk within a few milliseconds.
_RECEIVING_SECONDS = 0.25
# Longer than a disk may take for one segment.
_STUCK_SECONDS = 15.0
# Where replay has stood still for so long, it is looked whether the WAL goes on there at all.
_STILL_SECONDS = 0.5
_REPLAY_SECONDS = 3600.0


class _UnreadableError(HaopError):
    """The dead primary's WAL cannot be used: why, and where that lies."""

    def __init__(self, message: str, *, node: str | None) -> None:
        super().__init__(message)
        self.node = node


def salvaged(
    runtime: Runtime, dead: Sequence[str], standby: str, connection: BoundedConnection, highest: int = 0
) -> Salvage:
    """Let a standby replay what the last primary had and it lacks.

    Args:
        runtime: that has both.
        dead: fenced nodes with the data of a primary; those of earlier timelines are passed over.
        standby: that is going to be promoted.
        connection: to it.
        highest: timeline that may have been promoted to.

    Returns:
        What was replayed, and what not: it raises only where the standby does not answer. Something may be lent after
        it; see `StreamingEngine.tidy_promotion`.
    """
    began = SYSTEM_CLOCK.monotonic()
    at = replication.advance(connection)
    found = Salvage(node=None, standby=standby, begin=at.received, end=None, reached=at.received, seconds=0.0)
    try:
        node, timeline, unread = _last_primary(runtime, dead, at, highest)
        found = replace(found, node=node)
        layout = _layout(runtime, node, timeline, at)
        wal = Wal(_source(runtime, node), layout)
        end = wal.end(at.received)
        at = _received(connection, at, end)
        found = replace(found, begin=at.received, end=end, reached=max(at.received, min(at.replayed, end)))
        if end > at.received:
            files = [*_histories(at.timeline, timeline), *layout.names(at.received, end)]
            lent = runtime.lend(node, [_WAL / name for name in files], standby)
            with replication.restoring_from(connection, lent):
                found = _replayed(connection, found, at.replayed, end, wal)
        if unread and not found.trouble:
            found = replace(found, end=None, trouble=f"the last primary may have been another: {unread}")
    except (HaopError, OSError) as error:
        whose = error.node if isinstance(error, _UnreadableError) else found.node
        found = replace(found, node=whose, trouble=_reason(error))
    return replace(found, seconds=SYSTEM_CLOCK.monotonic() - began)


def _reason(error: HaopError | OSError) -> str:
    return error.message if isinstance(error, HaopError) else f"{error.filename}: {error.strerror}"


def _received(connection: BoundedConnection, at: Advance, end: Lsn) -> Advance:
    """How far the standby is once its receiver has written what had arrived."""
    since = SYSTEM_CLOCK.monotonic()
    while at.received < end and at.receiving and SYSTEM_CLOCK.monotonic() - since < _RECEIVING_SECONDS:
        SYSTEM_CLOCK.sleep(0.005)
        before, at = at, replication.advance(connection)
        if at.received > before.received:
            since = SYSTEM_CLOCK.monotonic()
    return at


def _replayed(connection: BoundedConnection, found: Salvage, reached: Lsn, end: Lsn, wal: Wal) -> Salvage:
    """Wait until the standby has replayed all of it, for as long as it comes nearer and there is more of it there.

    Nothing may hold it meanwhile.
    """
    since, looked = SYSTEM_CLOCK.monotonic(), False
    damaged: Lsn | None = None

    def settled() -> bool:
        nonlocal reached, since, looked, damaged
        replay.release(connection)
        now, still = replication.advance(connection).replayed, SYSTEM_CLOCK.monotonic() - since
        if now > reached:
            reached, since, looked = now, SYSTEM_CLOCK.monotonic(), False
        elif still > _STILL_SECONDS and now >= found.begin and not looked:
            looked, damaged = True, None if wal.goes_on(now) else now
        return reached >= end or damaged is not None or still > _STUCK_SECONDS

    wait_until(settled, deadline=_REPLAY_SECONDS, pause=0.005, waiting_for=f"{found.standby} to replay {end}")
    if reached >= end:
        return replace(found, reached=end)
    why = f"that WAL is damaged at {damaged}" if damaged else f"no progress in {_STUCK_SECONDS:g} s"
    return replace(found, reached=max(found.begin, reached), trouble=why)


def _last_primary(runtime: Runtime, dead: Sequence[str], at: Advance, highest: int) -> tuple[str, int, str]:
    """The node that was primary last, as far as can be told; the timeline of its data; why others cannot be read.

    Raises:
        _UnreadableError: there is none, or its data cannot be read.
    """
    later: dict[str, int] = {}
    unread: dict[str, str] = {}
    for name in dict.fromkeys(dead):
        try:
            timeline = _timeline(runtime, name, at, highest)
        except (HaopError, OSError) as error:
            unread[name] = _reason(error)
            continue
        if timeline >= at.timeline:
            later[name] = timeline
    if not later:
        why = "; ".join(unread.values()) or "no node has the data of the last primary"
        raise _UnreadableError(why, node=" or ".join(unread) or None)
    last = max(later.values())
    node, *others = [name for name in later if later[name] == last]
    if others:
        raise _UnreadableError(f"{node} and {', '.join(others)} were both primary on timeline {last}", node=node)
    return node, last, "; ".join(f"{name}: {why}" for name, why in unread.items())


def _timeline(runtime: Runtime, name: str, at: Advance, highest: int) -> int:
    """The timeline of a primary's data; the control file, which lags, is read only where its WAL does not tell."""
    timeline = _newest(runtime, name, at.timeline, highest)
    here = Layout(system=at.system, segment=at.segment, page=at.page, timeline=at.timeline, forks=at.forks)
    if timeline > at.timeline or runtime.holds(name, _WAL / here.name(at.received.position // at.segment)):
        return timeline
    return _newest(runtime, name, control.parse(runtime.read(name, control.PATH) or b"").timeline, highest)


def _newest(runtime: Runtime, name: str, timeline: int, highest: int) -> int:
    """A primary's timeline is the last of those that have a history; numbers in between may be other nodes'."""
    newest = timeline
    while timeline < max(highest, newest + 1):
        timeline += 1
        if runtime.holds(name, _WAL / f"{timeline:08X}.history"):
            newest = timeline
    return newest


def _layout(runtime: Runtime, node: str, timeline: int, at: Advance) -> Layout:
    """How its WAL is cut.

    Raises:
        HaopError: its history is gone, or the standby cannot go down its timeline.
    """
    forks = at.forks
    if timeline > 1:
        history = runtime.read(node, _WAL / f"{timeline:08X}.history")
        forks = observe.forks((history or b"").decode()) if timeline > at.timeline or history else at.forks
    if forks[: len(at.forks)] != at.forks:
        raise HaopError(f"timeline {at.timeline}, which {at.received} is on, is not the one that {node} had")
    if timeline > at.timeline:
        fork = next((fork for fork in forks if fork.timeline == at.timeline), None)
        if fork is None or fork.at < at.received:
            left = f"left it at {fork.at}" if fork else "does not come from it"
            raise HaopError(f"{at.received} is on timeline {at.timeline}, and {node}'s timeline {timeline} {left}")
    return Layout(system=at.system, segment=at.segment, page=at.page, timeline=timeline, forks=forks)


def _histories(standby: int, primary: int) -> list[str]:
    return [f"{timeline:08X}.history" for timeline in range(standby + 1, primary + 1)]


def _source(runtime: Runtime, node: str) -> Source:
    def pieces(name: str, offset: int) -> Generator[bytes, None, None]:
        return runtime.pieces(node, _WAL / name, offset)

    return pieces
