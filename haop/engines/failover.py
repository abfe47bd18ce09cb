"""Replacing a primary that is gone: fence, salvage, promote, in this order."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from haop.engines.base import Note, Promotion, Salvage, Terms
from haop.engines.candidate import candidate, sooner
from haop.engines.salvage import salvaged
from haop.errors import HaopError, Refused
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable, Unreachable
from haop.postgres.connection import BoundedConnection, connected

if TYPE_CHECKING:
    from haop.engines.streaming import StreamingEngine


def plan(engine: "StreamingEngine", status: ClusterStatus, to: str | None, terms: Terms) -> Promotion:
    """See `StreamingEngine.plan_failover`.

    Where a dead primary's data are there nothing is refused for what a standby may lack: salvage will tell.
    """
    chosen = candidate(status, to)
    # Only what says that it is a standby is none: a server may run on though its data were deleted.
    fence = tuple(name for name in _unfenced(status) if not engine.is_standby(name))
    fence += tuple(node.name for node in status.breached)
    if terms.accept_loss or (terms.salvage and (fence or _fenced_primaries(engine, status))):
        return Promotion(chosen, fence, rather=sooner(status, chosen) if terms.salvage and to is None else None)
    if mute := _mute(engine, status, to):
        raise Refused(
            f"{' and '.join(mute)} does not answer, and may have confirmed writes that {chosen} lacks",
            hint=f"bring it back: haop up; or do without what only it may have: haop failover --to {chosen}",
        )
    if chosen in terms.behind:
        raise Refused(f"{chosen} may lack writes that were acknowledged without it", hint=_hint(chosen))
    return Promotion(chosen, fence)


class Failover:
    """One failover. Nothing is promoted before every node that could be primary is fenced and salvage was tried."""

    def __init__(
        self, engine: "StreamingEngine", to: str | None, note: Note, terms: Terms, silent: frozenset[str]
    ) -> None:
        self._engine = engine
        self._to = to
        self._note = note
        self._terms = terms
        self._silent = silent

    def run(self) -> Promotion:
        """Do it; returns what was done."""
        engine = self._engine
        status = engine.observe(self._silent)
        planned = plan(engine, status, self._to, self._terms)
        with ThreadPoolExecutor(max_workers=len(status.nodes), thread_name_prefix="fence") as pool:
            fences = [pool.submit(self._fence, name) for name in planned.fence]
            with self._connected(planned.node) as standby:
                for fence in fences:
                    fence.result()  # raises where a node is not fenced: then nothing is promoted
                # Until it was fenced a primary that only haop did not reach went on: another may have got more.
                status = engine.observe(self._silent) if len(status.standbys) > 1 else status
                foremost, ready = self._foremost(status) if len(status.standbys) > 1 else (planned.node, None)
                if foremost == planned.node and not ready:
                    return self._promote(standby, status, planned, self._salvage(standby, status, planned))
        if ready and (done := self._promoted_sooner(status, replace(planned, node=ready), foremost)):
            return done
        planned = replace(planned, node=foremost)
        with self._connected(foremost) as standby:
            return self._promote(standby, status, planned, self._salvage(standby, status, planned))

    def _fence(self, name: str) -> None:
        self._engine.runtime.fence(name)
        self._note("fenced", name)

    def _foremost(self, status: ClusterStatus) -> tuple[str, str | None]:
        """Whom to promote now that no primary lives any more; and who would be primary sooner, were it as far.

        Raises:
            HaopError: the wanted one would lose what another has; nothing was promoted.
        """
        try:
            foremost = candidate(status, self._to)
        except Refused as error:
            raise HaopError(f"the primary is fenced and nothing promoted: {error.message}", hint=error.hint) from error
        return foremost, sooner(status, foremost) if self._terms.salvage and self._to is None else None

    def _promoted_sooner(self, status: ClusterStatus, planned: Promotion, foremost: str) -> Promotion | None:
        """Promote that one if salvage gives it all that the foremost has; else None, and nothing is changed."""
        best, found = status.node(foremost), None
        assert isinstance(best, Reachable)
        with suppress(HaopError), self._connected(planned.node) as standby:  # it may not answer any more; the other may
            found = self._salvage(standby, status, planned)
        if not found or found.reached < best.server.reach:
            self._tidy(planned.node)
            return None
        with self._connected(planned.node) as standby:
            return self._promote(standby, status, planned, found)

    def _connected(self, name: str) -> AbstractContextManager[BoundedConnection]:
        return connected(self._engine.runtime.endpoint(name), self._engine.admin)

    def _salvage(self, standby: BoundedConnection, status: ClusterStatus, planned: Promotion) -> Salvage | None:
        """What it came to; None where none is wanted. Where it fails, what was lent is taken back at once."""
        if not self._terms.salvage:
            return None
        engine, name = self._engine, planned.node
        try:
            dead = [*planned.fence, *_fenced_primaries(engine, status)]
            found = salvaged(engine.runtime, dead, name, standby, engine.timelines.highest(status))
            others = self._terms.last - {found.node, name} if found.complete else ()
            if gone := [other for other in others if engine.is_empty(other)]:
                found = replace(found, node=None, end=None, trouble=f"{' or '.join(gone)} was primary last")
        except BaseException:
            self._tidy(name)
            raise
        if found.bytes:
            self._note("salvaged", name)
        return found

    def _promote(
        self, standby: BoundedConnection, status: ClusterStatus, planned: Promotion, found: Salvage | None
    ) -> Promotion:
        """Judge, promote, let the others follow; where it comes to nothing, what was lent is taken back at once."""
        try:
            self._judge(status, planned.node, found)
            self._engine.crown(standby, status, planned.node, self._note)
        except BaseException:
            self._tidy(planned.node)
            raise
        self._engine.point_others(status, planned.node, self._note)
        self._tidy(planned.node)
        return replace(planned, salvaged=(found,) if found else ())

    def _tidy(self, name: str) -> None:
        """What cannot be cleared now is by the next failover, by the guard, or when the node becomes a standby."""
        try:
            self._engine.tidy_promotion(name)
        except (HaopError, OSError) as error:
            self._note(f"keeps what it was lent: {error}", name)

    def _judge(self, status: ClusterStatus, name: str, found: Salvage | None) -> None:
        """Whether that standby may be promoted with what it has.

        Raises:
            HaopError: acknowledged writes may be missing on it, and nobody has accepted that.
        """
        if self._terms.accept_loss or (found and found.complete):
            return
        why = [f"{other} does not answer, and may have more" for other in _mute(self._engine, status, self._to)]
        if name in self._terms.behind:
            why.append(f"{name} may lack writes that were acknowledged without it")
        if why:
            told = "; ".join([*why, *([found.told] if found else [])])
            raise HaopError(f"the primary is fenced and nothing promoted: {told}", hint=_hint(name))


def _hint(name: str) -> str:
    return f"bring back who may have more: haop up; or accept the loss: haop failover --to {name} --accept-loss"


def _unfenced(status: ClusterStatus) -> list[str]:
    """Nodes that do not answer, and could be running for all that their servers say."""
    return [
        node.name for node in status.nodes
        if isinstance(node, Unreachable) and not node.service.fenced and node.service.state is not State.ABSENT
    ]  # fmt: skip


def _fenced_primaries(engine: "StreamingEngine", status: ClusterStatus) -> list[str]:
    """Nodes that were fenced before this began: an earlier attempt may have come so far, and no further.

    Not those of which only a clone makes a standby: they were about to follow a later primary, and their WAL was kept.
    """
    gone = [node for node in status.nodes if isinstance(node, Unreachable) and node.service.fenced]
    return [node.name for node in gone if not node.service.needs_rebuild and engine.has_primarys_data(node.name)]


def _mute(engine: "StreamingEngine", status: ClusterStatus, to: str | None) -> list[str]:
    """Standbys that do not answer, and may have confirmed what nobody else has; none where an operator has chosen."""
    return [name for name in _unfenced(status) if engine.is_standby(name)] if engine.sync and to is None else []
