"""The guard's decisions, searched: whatever happens to a cluster and its guard, and whenever.

Held at each moment, by tests/unit/world.py: at most one node accepts writes; a node is promoted only when no other
with a primary's data is unfenced; no acknowledged write is missing on it where salvage could read the dead primary's
disk, and all of its WAL, else only where the decision was sure; no two timelines have one number; nobody is fenced who
serves; nothing is done in maintenance. And at last: once everything is left alone for long enough, there is one
primary, and all standbys follow it.
"""

import os
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from haop.guard.seen import Miss
from haop.model.probe import NoAnswer
from tests.conftest import SEED
from tests.unit.world import COMMAND, NO_WAL, PRIMARY, STANDBY, STEP, Guard, Server, World

pytestmark = pytest.mark.soak
EXAMPLES = 20_000 if os.environ.get("HAOP_SOAK") else 800
LONG_ENOUGH = 400.0
RESTART, PAUSED = COMMAND, "paused"

Event = tuple[float, str, int]  # how long after the one before, what, and to which node (0: the primary)


# --- What happens


def kill(world: World, node: Server) -> None:
    world.die(node)


def stop(world: World, node: Server) -> None:
    """Cleanly, by somebody else: standbys have received everything, and no policy starts it again."""
    world.die(node, policy=False)


def hang(_: World, node: Server) -> None:
    node.hung = node.runs


def resume(world: World, _: Server) -> None:
    for node in world.nodes.values():
        node.hung = False


def cut(_: World, node: Server) -> None:
    node.cut = True


def block(_: World, node: Server) -> None:
    node.blocked = True


def mend(world: World, _: Server) -> None:
    for node in world.nodes.values():
        node.blocked = node.cut = False


def follow_another(world: World, node: Server) -> None:
    """A standby follows another standby, which has a slot for it, or has none; it may not be consistent without."""
    others = [each for each in world.nodes.values() if each is not node and each.data == STANDBY]
    case = int(world.now / STEP) % 3
    if node.data == STANDBY and others:
        node.follows = others[0].name
        others[0].slots = frozenset({node.name}) if case == 0 else frozenset()
        node.process = "inconsistent" if case == 1 and node.process == "up" else node.process
    elif node.process == "rejoining" and others:
        node.told = others[0].name


def restart_the_guard(world: World, _: Server) -> None:
    """At whatever step it is."""
    world.doomed = world.guard is not None
    world.pending.append((world.now + 2 * STEP, partial(start_the_guard, world, _)))


def be_slow(world: World, node: Server) -> None:
    node.slow_until = world.now + 0.8


def lose_the_disk(_: World, node: Server) -> None:
    node.unreadable = True


def damage_the_wal(_: World, node: Server) -> None:
    """A few writes before its end: what it has sent is elsewhere, what it writes from now on lies beyond."""
    if node.data == PRIMARY:
        node.damaged = max(0, node.wal.length - 3)


def delete_the_data(world: World, node: Server) -> None:
    world.die(node)
    world.destroyed = world.destroyed or node.data == PRIMARY
    node.data, node.wal, node.timeline, node.damaged = None, NO_WAL, 1, None


def refuse_promotion(_: World, node: Server) -> None:
    node.promotable = False


def start(world: World, node: Server) -> None:
    """An operator's docker start: of a fenced node, too."""
    world.start(node)


def serve_by_hand(world: World, node: Server, until: float | None = None) -> None:
    """Somebody takes the seal away, and serves the data of a node by hand, as soon as it is fenced."""
    until = until or world.now + 10.0
    if node.marker == "fenced" and not node.runs and node.data:
        node.process, node.since, node.by_hand, node.due = "up", world.now, world.now, None
    elif world.now < until:
        world.pending.append((world.now + STEP, partial(serve_by_hand, world, node, until)))


def end_sessions(world: World, node: Server) -> None:
    """An administrator's pg_terminate_backend of everybody else."""
    if node.serves and node.session and world.guard:
        world.told.append((world.now, Miss(node.name, world.now, NoAnswer.ENDED, "terminated")))


def restart(world: World, node: Server) -> None:
    """haop restart: told to the guard, which waits for nothing but its own hands."""
    if world.maintenance == RESTART or (world.guard and world.guard.acting):
        world.pending.append((world.now + STEP, partial(restart, world, node)))
    elif node.serves:
        before, world.maintenance = world.maintenance, RESTART
        world.die(node, policy=False)
        world.start(node)
        world.pending.append((world.now + STEP, partial(_restarted, world, node, before, world.now)))


def _restarted(world: World, node: Server, before: str | None, begun: float) -> None:
    """It waits until that answers; for a server that hangs, not for ever."""
    if node.runs and not node.serves and not (node.hung and world.now - begun > 5.0):
        world.pending.append((world.now + STEP, partial(_restarted, world, node, before, begun)))
    else:
        world.maintenance = before


def pause_the_guard(world: World, node: Server) -> None:
    if world.guard and world.guard.acting:
        world.pending.append((world.now + STEP, partial(pause_the_guard, world, node)))
    elif not world.maintenance:
        world.maintenance = PAUSED


def resume_the_guard(world: World, _: Server) -> None:
    if world.maintenance == PAUSED:
        world.maintenance = None


def kill_the_guard(world: World, _: Server) -> None:
    world.doomed = True


def start_the_guard(world: World, _: Server) -> None:
    if world.guard is None:
        world.guard = Guard(world)


def freeze_the_guard(world: World, _: Server) -> None:
    if world.guard and not world.guard.acting:
        world.guard.frozen_until = world.now + 4.0


def lose_the_events(world: World, _: Server) -> None:
    world.deaf_until = world.now + 10.0


HAPPENINGS: dict[str, Callable[[World, Server], None]] = {
    each.__name__: each
    for each in (
        kill, stop, hang, resume, cut, block, mend, be_slow, lose_the_disk, damage_the_wal, delete_the_data,
        refuse_promotion, start, end_sessions, restart, pause_the_guard, resume_the_guard, kill_the_guard,
        start_the_guard, freeze_the_guard, lose_the_events, serve_by_hand, follow_another,
        restart_the_guard,
    )
}  # fmt: skip
PAUSES = st.sampled_from((0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0, 2.0, 3.0, 6.0, 15.0, 30.0))
# Twice: what most bad days begin with.
WHAT = st.sampled_from(
    (
        *sorted(HAPPENINGS),
        *("kill", "hang", "cut", "kill_the_guard", "start_the_guard", "serve_by_hand", "follow_another") * 2,
    )
)
EVENTS = st.lists(st.tuples(PAUSES, WHAT, st.integers(0, 2)), max_size=20)


def live(count: int, *, sturdy: bool, events: list[Event]) -> World:
    """Let that happen, then leave everything alone for long enough."""
    world = World.of(count, sturdy=sturdy)
    at = world.now
    for pause, what, which in events:
        at += pause
        world.pending.append((at, partial(_happen, world, what, which)))
    while world.pending:  # a command may wait for the guard
        world.run(STEP)
    _leave_alone(world)
    end = world.now + LONG_ENOUGH
    while world.now < end and not world.healthy():
        world.run(1.0)
    return world


def _happen(world: World, what: str, which: int) -> None:
    """To the primary (0), or to one of the others."""
    names = sorted(world.nodes, key=lambda name: (world.nodes[name].data != PRIMARY, name))
    HAPPENINGS[what](world, world.nodes[names[which % len(names)]])


def _leave_alone(world: World) -> None:
    for node in world.nodes.values():
        node.hung = node.cut = node.blocked = node.unreadable = False
        node.promotable = True
    if world.maintenance == PAUSED:
        world.maintenance = None
    if world.guard is None:
        world.guard = Guard(world)


@seed(SEED)
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)  # fmt: skip
@given(count=st.integers(2, 3), sturdy=st.booleans(), events=EVENTS)
# A standby needs, to become consistent, what the primary has lost when it recovers.
@example(
    count=2, sturdy=False,
    events=[(0.0, "damage_the_wal", 0), (0.0, "cut", 1), (0.0, "kill", 1), (6.0, "kill", 0)],
)  # fmt: skip
def test_whatever_happens_nothing_is_lost_and_one_primary_remains(
    count: int, sturdy: bool, events: list[Event]
) -> None:
    world = live(count, sturdy=sturdy, events=events)
    # What was, or may have been, only on a disk that somebody has emptied is an operator's to give up.
    assert world.healthy() or world.destroyed or world.may_have_been_destroyed(), world.told_of_nodes()
