"""The guard's decision: a pure function of what it has seen and of the time.

Invariants, checked by `decide` itself for every decision that it makes:

    1. Nothing in maintenance: while a command or a pause has the word, there is no decision but to end what serves the
       data of a fenced node, which a pause does not allow. While a command has the word, it is not carried out.
    2. Never on one missed probe: who is fenced has ended, by the word of the runtime, or has missed MISSES probes in
       a row over at least HANG_SECONDS in which the guard itself was awake, or has turned as many new clients away, or
       has crashed CRASHES times within a minute.
    3. Never without a candidate: a failover needs a standby that answers now. It is `sure` where that standby streamed
       until the primary failed; where it is not sure, it may be promoted only if salvage is complete.
    4. One thing at a time: there is at most one decision, and a failover comes before all else, but for that end.
    5. A fenced node is never taken for the primary, whatever it answers.

That an unfenced cluster is never promoted is the engine's order (fence, verify, salvage, promote), whatever is decided
here; that there is at most one guard is its process's lock.

Who is primary is never remembered beyond a guard's life: a new guard finds a node that answers as one, else the one
unfenced node whose data are a primary's; where every such node is fenced, a failover was begun and is completed.
"""

from haop.guard.decisions import BringBack, Decision, EndIntruder, FailOver, Reinstate, Tidy
from haop.guard.seen import CRASH_LOOP_SECONDS, Node, View
from haop.model.probe import NoAnswer
from haop.model.service import State
from haop.model.status import Role

MISSES = 3
HANG_SECONDS = 1.6
# A crash recovery that takes longer than that is slower than a failover.
STARTING_SECONDS = 5.0
TURNED_AWAY_SECONDS = 3.0
CRASHES = 3
# A guard that never saw the primary answer gives it so long: the machine may just have been booted.
UNKNOWN_SECONDS = 20.0
# A candidate answers now, and streamed until the primary was heard last.
_ANSWERS_SECONDS = 2.0
_STREAMED_SECONDS = 4.0
# A standby that answers and does not stream may be about to connect.
_IDLE_SECONDS = 5.0
# What a primary has only in memory yet is on its disk by then: its background writer sees to that each 15 seconds.
_VAIN_SECONDS = 20.0
# The runtime may start a node again by itself.
_ITSELF_SECONDS = 1.0
_TRIES_IN_PLACE = 2
_TRIES_TO_PROMOTE = 2
_LONGEST_PAUSE = 60.0
# What was tried and failed longer ago than that says nothing.
_FORGOTTEN_SECONDS = 600.0


def decide(view: View, now: float) -> Decision | None:
    """What to do now; None: nothing."""
    for node in view.nodes.values():
        if node.look and node.look.intruder:
            return EndIntruder(node.name, f"it is fenced, and {node.look.intruder} serves its data")
    if view.busy:
        return None
    primary = primary_of(view)
    decision = _without(view, now) if primary is None else _with(view, primary, now)
    if isinstance(decision, FailOver):
        _require_evidence(view, decision, now)
    return decision


def primary_of(view: View) -> Node | None:
    """The unfenced node that was primary when it answered last; of two, the one on the higher timeline."""
    known = [node for node in view.nodes.values() if node.role is Role.PRIMARY and not node.fenced]
    return max(known, key=lambda node: (node.timeline, node.answered), default=None)


def failure(view: View, node: Node, now: float) -> str | None:
    """The evidence that a primary which has answered before is to be replaced; None where it is not."""
    if node.down:
        return _ended(node)
    if len([at for at in node.crashes if now - at <= CRASH_LOOP_SECONDS]) >= CRASHES:
        return f"it crashed {CRASHES} times within a minute"
    silent = now - max(node.lived, view.watched_since)
    misses = [miss for miss in node.misses if miss.at >= view.watched_since]
    if len(misses) >= MISSES and silent >= (STARTING_SECONDS if _starting(node) else HANG_SECONDS):
        return f"no answer for {silent:.1f} s, {len(misses)} probes missed ({misses[-1].why})"
    away = [miss for miss in node.turned_away if miss.at >= view.watched_since]
    if len(away) >= MISSES and away[-1].at - away[0].at >= TURNED_AWAY_SECONDS and not _starting(node):
        return f"it lets no new client in: {away[-1].why}"
    return None


def _ended(node: Node) -> str:
    """How, as the runtime said last: a look may come before the news, and the kernel's reason after it."""
    if node.look and node.look.ended and (node.exit is None or node.look.at > node.exit.at):
        return node.look.ended
    return node.exit.how if node.exit else "it does not run"


def candidates(view: View, primary: Node | None, now: float) -> tuple[list[Node], list[Node]]:
    """Standbys that answer now; and those of them that streamed from that primary until it was heard last."""
    answering = [
        node for node in view.nodes.values()
        if node.role is Role.STANDBY and not node.down and now - node.answered <= _ANSWERS_SECONDS
    ]  # fmt: skip
    if primary is None:
        return answering, []
    since = primary.answered - _STREAMED_SECONDS
    return answering, [node for node in answering if node.source == primary.name and node.streamed >= since]


def _with(view: View, primary: Node, now: float) -> Decision | None:
    """There is a primary, or there was one until now."""
    if why := failure(view, primary, now):
        return _replace(view, primary, why, now)
    if now - primary.answered > _ANSWERS_SECONDS:
        return None  # it is late: wait and see
    if view.tidied != (primary.name, primary.timeline) and not _too_soon(view.untidy, now):
        return Tidy(primary.name, primary.timeline)
    return _redundancy(view, primary, now)


def _replace(view: View, primary: Node, why: str, now: float) -> Decision | None:
    """It has failed: by a standby that streamed; else it is started in its place; else by whom salvage makes whole."""
    answering, streamed = candidates(view, primary, now)
    if streamed:
        return _failover(view, primary.name, why, now, sure=True)
    there = primary.look is None or primary.look.state is not State.ABSENT
    if primary.down and there and not (answering and len(_recent(primary.tried, now)) >= _TRIES_IN_PLACE):
        return _bring_back(primary, f"{why}; no standby that streamed can take over", now)
    if answering and (primary.down or now - primary.answered > UNKNOWN_SECONDS):
        return _failover(view, primary.name, why, now, sure=False)
    return _anybody(view, now, but=primary)


def _without(view: View, now: float) -> Decision | None:
    """No node has answered as primary since this guard began, or who did is fenced."""
    looks = [node.look for node in view.nodes.values() if node.look]
    able = [look.node for look in looks if look.primarys and not look.fenced and not look.on_its_way]
    if len(looks) < len(view.nodes) or len(able) > 1:
        return None  # not everybody was looked at; or nobody can say which of them is the newest
    if able:
        return _start_up(view, view.nodes[able[0]], now)
    return _complete(view, [view.nodes[look.node] for look in looks if look.fenced], now)


def _complete(view: View, fenced: list[Node], now: float) -> Decision | None:
    """Who was primary is fenced: a failover was begun. Where it comes to nothing, that one is primary again."""
    names, dead = ", ".join(node.name for node in fenced), bool(fenced) and all(node.down for node in fenced)
    if fenced and candidates(view, None, now)[0]:
        failures = len(_recent(view.failures, now))
        if dead and failures % (_TRIES_TO_PROMOTE + 1) == _TRIES_TO_PROMOTE and not _too_soon(view.failures, now):
            return Reinstate(f"{names} is fenced, and nobody could be promoted")
        return _failover(view, None, f"{names} is fenced, nobody is primary", now, sure=view.sure)
    if decision := _anybody(view, now):
        return decision
    quiet = now - max(view.began, view.watched_since, *(node.answered for node in view.nodes.values()))
    if dead and quiet > UNKNOWN_SECONDS and not _too_soon(view.failures, now):
        return Reinstate(f"{names} is fenced, and no standby has answered for {quiet:.0f} s")
    return None


def _start_up(view: View, primary: Node, now: float) -> Decision | None:
    """One node alone can be primary, and has not answered yet."""
    answering, _ = candidates(view, None, now)
    if primary.down:
        if answering and len(_recent(primary.tried, now)) >= _TRIES_IN_PLACE:
            return _failover(view, primary.name, "it cannot be started", now, sure=False)
        return _bring_back(primary, "it does not run, and nobody is primary", now)
    silent = now - max(view.began, view.watched_since)
    if answering and len(primary.misses) >= MISSES and silent > UNKNOWN_SECONDS and not _starting(primary):
        return _failover(
            view, primary.name, f"no answer for {silent:.0f} s ({primary.misses[-1].why})", now, sure=False
        )
    return _anybody(view, now, but=primary)


def _redundancy(view: View, primary: Node, now: float) -> Decision | None:
    """All is well with the primary: whoever does not follow it is brought back."""
    for node in view.nodes.values():
        if node is primary or (node.look and node.look.on_its_way and not node.down):
            continue
        if node.down:
            if decision := _bring_back(node, _ended(node), now):
                return decision
        elif node.role is Role.STANDBY and now - node.answered <= _ANSWERS_SECONDS:
            idle = now - max(node.streamed, view.watched_since, view.began)
            if idle > _IDLE_SECONDS and (decision := _bring_back(node, f"it has not streamed for {idle:.0f} s", now)):
                return decision
        elif _misled(node, primary, now) and (decision := _bring_back(node, _why_misled(node), now)):
            return decision
    return None


def _misled(node: Node, primary: Node, now: float) -> bool:
    """It runs, lets nobody in, and waits for WAL from one that has lost it, or may not give it to a standby."""
    look, silent = node.look, now - node.answered
    if look is None or look.at <= node.answered or silent <= _IDLE_SECONDS:
        return False
    in_vain = node.lacking is not None and now - node.lacking > _VAIN_SECONDS
    return in_vain or look.follows not in {None, primary.name}


def _why_misled(node: Node) -> str:
    look = node.look
    if look and look.lacks:
        return f"it lets nobody in, and waits for WAL that {look.follows} has lost"
    return f"it lets nobody in, and follows {look.follows if look else None}, which is not the primary"


def _anybody(view: View, now: float, but: Node | None = None) -> BringBack | None:
    """Nobody can take over: start what does not run, because a standby that runs may."""
    for node in view.nodes.values():
        if node is but or not node.down or not node.look or node.look.fenced or node.look.primarys:
            continue
        if node.look.state is State.STOPPED and (decision := _bring_back(node, "no standby runs", now)):
            return decision
    return None


def _failover(view: View, old: str | None, why: str, now: float, *, sure: bool) -> FailOver | None:
    """Unless one has just failed: then later."""
    if _too_soon(view.failures, now):
        return None
    return FailOver(old, why, sure)


def _bring_back(node: Node, why: str, now: float) -> BringBack | None:
    """Unless it was tried just now, or the runtime may be about to do it: then later."""
    if _too_soon(node.tried, now):
        return None
    fenced = node.look is not None and node.look.fenced
    if node.exit and not fenced and now - node.exit.at < _ITSELF_SECONDS:
        return None
    if node.look is None or (node.exit and node.look.at < node.exit.at):
        return None
    return BringBack(node.name, why)


def _recent(attempts: tuple[float, ...], now: float) -> list[float]:
    return [at for at in attempts if now - at < _FORGOTTEN_SECONDS]


def _too_soon(attempts: tuple[float, ...], now: float) -> bool:
    recent = _recent(attempts, now)
    return bool(recent) and now - recent[-1] < _pause(len(recent))


def _pause(times: int) -> float:
    """Seconds until something that failed so many times is tried again.

    >>> [_pause(times) for times in (1, 2, 3, 20)]
    [2.0, 4.0, 8.0, 60.0]
    """
    return float(min(2.0**times, _LONGEST_PAUSE))


def _starting(node: Node) -> bool:
    return bool(node.misses) and node.misses[-1].kind is NoAnswer.STARTING


def _require_evidence(view: View, decision: FailOver, now: float) -> None:
    """The invariants of the docstring. One that does not hold is a bug, and nothing is fenced."""
    answering, _ = candidates(view, None, now)
    if view.busy or not answering:
        raise AssertionError(f"a failover {'in maintenance' if view.busy else 'without a candidate'}: {decision}")
    if decision.old is None:
        return
    node = view.nodes[decision.old]
    probes = max(len(node.misses), len(node.turned_away), len(node.crashes))
    if not node.down and probes < MISSES:
        raise AssertionError(f"a failover on {probes} missed probes: {decision}")
