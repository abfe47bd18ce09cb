"""What the guard does. Each act is recorded with its evidence and its times, and can be repeated after a guard died."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from haop.clock import SYSTEM_CLOCK
from haop.engines import switching, upstream
from haop.engines.returning import bring_back
from haop.errors import HaopError, NoPrimary, Refused
from haop.guard.decisions import FailOver
from haop.guard.seen import Look
from haop.guard.trouble import Troubles, described, expected
from haop.guard.written import Written
from haop.model.service import State
from haop.model.spec import Durability
from haop.operations import behind, failover, guarding, heal, last, maintenance, salvage
from haop.operations.cluster import Cluster
from haop.operations.confirming import QUIET_SECONDS, Confirming
from haop.postgres import control, replication
from haop.postgres.connection import connected

_LOG = logging.getLogger(__name__)
_RECORDED = f"guard {FailOver.what}"  # in the audit trail, and in the record of what was begun
# After something has changed it is looked at each second for so long, else seldom.
_UNSETTLED_SECONDS, _SELDOM_SECONDS = 30.0, 60.0
_OFTEN_SECONDS = 0.5  # while writes may hang
# What failed is tried again within a minute, and may be looked at until then.
_FAILED_SECONDS = 90.0
_UNRECORDED = 100
# What nobody can mend is shown for a day; the audit trail keeps it.
_REMEMBERED_SECONDS = 86400.0


class Acts:
    """The hands of one guard."""

    def __init__(self, cluster: Cluster, troubles: Troubles) -> None:
        self._cluster = cluster
        self._troubles = troubles
        self._unrecorded: deque[Callable[[], object]] = deque(maxlen=_UNRECORDED)  # events, until there is room
        self._confirming = Confirming(cluster)
        self._confirmed = (
            "",
            -_SELDOM_SECONDS,
            0.0,
        )  # what the primary said; when it was looked at; since when it says so

    def prepare(self) -> None:
        """Keep room for what must be written while something fails: the disk may be full then."""
        for keep in (heal.reserve, behind.reserve, last.reserve, maintenance.prepare):
            self._attempt("room for records", partial(keep, self._cluster.project))

    def look(self, name: str, *, silent: bool, primary: Written | None) -> Look:
        """What the runtime says of a node; of one that runs and is silent, what its files say, too.

        Args:
            name: of the node.
            silent: whether its server does not answer.
            primary: the node that is primary, where it answers, and how far it has written.
        """
        engine, runtime, at = self._cluster.engine, self._cluster.runtime, time.monotonic()
        found = runtime.state(name)
        primarys = found.state is not State.ABSENT and engine.has_primarys_data(name)
        ended = found.remark if found.state is State.STOPPED else None
        follows = upstream.by_files(engine, name) if silent and found.state is State.RUNNING and not primarys else None
        lacks = (
            primary is not None and follows == primary.node
            and upstream.seems_to_wait_for_what_is_lost(engine, name, primary.node, primary.timeline, primary.lsn)
        )  # fmt: skip
        return Look(
            name,
            at,
            found.state,
            found.fenced,
            primarys,
            runtime.rejoining(name),
            ended,
            found.intruder,
            follows,
            lacks,
        )

    def fail_over(self, decision: FailOver, silent: frozenset[str]) -> str:
        """Fence, salvage, promote; the name of the new primary.

        Raises:
            HaopError: nobody was promoted.
        """
        project, engine, begun = self._cluster.project, self._cluster.engine, time.monotonic()
        mine = heal.read(project) is None
        if mine:  # it helps whoever comes after a guard that was killed in the middle; who is fenced says most of it
            self._attempt("record of the failover", partial(heal.begin, project, _RECORDED, decision.old or "nobody"))
        phases: list[str] = []

        def note(event: str, node: str) -> None:
            phases.append(f"{event} {node} +{time.monotonic() - begun:.3f} s")

        unsure = frozenset() if decision.sure else frozenset(node.name for node in project.spec.nodes)
        terms = failover.terms(self._cluster)
        terms = replace(terms, behind=terms.behind | unsure)
        _LOG.info("%s: %s; failing over", decision.old or "nobody is primary", decision.why)
        try:
            done = engine.failover(None, heal.noting(project, note), terms=terms, silent=silent)
        except Exception as error:
            told = f"{decision.why}; {', '.join(phases)}; {described(error)}"
            self._record(_RECORDED, "failed", decision.old, told, begun)
            if mine and not phases and isinstance(error, NoPrimary | Refused):  # nothing was begun after all
                heal.clear(project)
            raise
        told = "".join(f"; {each.told}" for each in done.salvaged)
        told = f"{decision.old or 'nobody'}: {decision.why}; {', '.join(phases)}{told}"
        self._record(_RECORDED, "done", done.node, told, begun)
        # It is done, whatever becomes of this: what is left of it is cleared later.
        self._attempt("record of who may lack writes", partial(behind.settle, project, done.node))
        if mine:
            self._attempt("record of the failover", partial(heal.clear, project))
        return done.node

    def end_intruder(self, name: str, why: str) -> None:
        """Nothing serves the data of a fenced node any more."""
        begun = time.monotonic()
        if ended := self._cluster.runtime.enforce(name):
            self._record("guard end intruder", "done", name, f"{why}; ended {ended}", begun)

    def bring_back(self, name: str, why: str) -> None:
        """Begin to bring a node back."""
        begun = time.monotonic()
        told = bring_back(self._cluster.engine, name, rebuild=self._cluster.project.spec.guard.rebuild)
        self._record("guard bring back", "done", name, f"{why}; {told}", begun)

    def settle_in(self, name: str, seconds: float) -> None:
        """It streams again: what it holds from its time as primary goes."""
        engine = self._cluster.engine
        engine.drop_slots_of_standby(name)
        begun = SYSTEM_CLOCK.now() - timedelta(seconds=seconds)
        told = engine.last_decision(name, begun) + salvage.collected(self._cluster)
        self._record("guard brought back", "done", name, told, time.monotonic() - seconds)

    def tidy(self, primary: str) -> None:
        """Clear what a promotion, or a guard that died in the middle of one, may have left."""
        engine, project = self._cluster.engine, self._cluster.project
        engine.tidy_promotion(primary)
        last.note(project, primary)
        with connected(self._cluster.runtime.endpoint(primary), engine.admin) as link:
            replication.ensure_slots(link, [node.slot for node in project.spec.nodes if node.name != primary])
        heal.point_the_lost(self._cluster)
        if (record := heal.read(project)) and record.action == _RECORDED:
            heal.clear(project)

    def reinstate(self, why: str) -> None:
        """The fenced primary is primary again, if it is certain that nobody else is."""
        engine, runtime, begun = self._cluster.engine, self._cluster.runtime, time.monotonic()
        names = [node.name for node in self._cluster.project.spec.nodes]
        fenced = [name for name in names if runtime.state(name).fenced and engine.was_primary(name)]
        record = heal.read(self._cluster.project)
        if record and record.node in fenced:
            heal.settle(self._cluster, record)
        elif len(fenced) == 1 and all(
            engine.is_standby(name) or engine.is_empty(name) for name in names if name not in fenced
        ):
            heal.require_last(self._cluster, fenced[0])
            if record and record.promoting in names:  # it may be about to end its recovery
                switching.settle(engine, fenced[0], record.promoting)
            else:
                switching.reinstate(engine, fenced[0])
        else:
            raise HaopError("nobody can say who may be primary", hint="haop status")
        self._record("guard reinstate", "done", ", ".join(fenced), why, begun)

    def confirming_is_due(self, said: str, quiet: Mapping[str, float], now: float) -> bool:
        """Whether who confirms is to be looked at: it has just changed, somebody is quiet, or it was long ago."""
        if self._cluster.project.spec.durability is not Durability.SYNC:
            return False
        before, looked, since = self._confirmed
        if any(QUIET_SECONDS <= seconds < _UNSETTLED_SECONDS for seconds in quiet.values()):
            return now - looked >= _OFTEN_SECONDS
        if said != before:
            since = now
        self._confirmed = (said, looked, since)
        return now - looked >= (1.0 if now - since < _UNSETTLED_SECONDS else _SELDOM_SECONDS)

    def confirm(self, quiet: Mapping[str, float], silent: frozenset[str], now: float) -> None:
        """Keep the standbys that the primary waits for true to those that stream. Who is silent is not waited for."""
        said, _, since = self._confirmed
        self._confirmed = (said, now, since)
        for told in self._confirming.keep(self._cluster.engine.observe(silent), time.monotonic(), quiet=quiet):
            self._record("guard sync", "done", None, told, now)

    def system(self, node: str) -> str:
        """PostgreSQL's identifier of the cluster whose data a node has, by its files; "" where nobody can tell."""
        try:
            return control.parse(self._cluster.runtime.read(node, control.PATH) or b"").system
        except (HaopError, OSError):
            return ""

    def lost(self, node: str, why: str) -> None:
        """A primary came back without WAL that it had: nothing can be done, but somebody must know."""
        if self._troubles.meet(f"WAL of {node}", why, lasts=_REMEMBERED_SECONDS):
            self._record("guard lost WAL", "failed", node, why, time.monotonic())

    def trouble(self, what: str, error: Exception, node: str | None = None) -> None:
        """Something did not work. It is logged and recorded once in a while, and shown for as long as it lasts."""
        about = f"{what} {node}" if node else what
        if not self._troubles.meet(about, described(error), lasts=_FAILED_SECONDS):
            return
        hint = f" ({error.hint})" if isinstance(error, HaopError) and error.hint else ""
        _LOG.warning("%s: %s%s", about, described(error), hint, exc_info=None if expected(error) else error)
        if what != FailOver.what:  # that is recorded with its times
            self._record(f"guard {what}", "failed", node, described(error), time.monotonic())

    def works(self, what: str, node: str | None = None) -> None:
        """It does, now."""
        self._troubles.over(f"{what} {node}" if node else what)

    def tell(self, busy: str | None, primary: str | None, written: Written | None) -> None:
        """What `haop guard status` shows, and what the next guard begins with; whole or not at all."""
        while self._unrecorded and self._recorded(self._unrecorded[0]):
            self._unrecorded.popleft()
        told = {
            "primary": primary, "doing": busy or guarding.WATCHES, "trouble": self._troubles.now(),
            "written": written.document if written else None,
        }  # fmt: skip
        self._attempt("state of the guard", partial(guarding.tell, self._cluster.project, told))

    def _attempt(self, about: str, write: Callable[[], object]) -> None:
        """Write something that nothing depends on."""
        try:
            write()
        except (OSError, HaopError) as error:
            if self._troubles.meet(about, described(error)):
                _LOG.warning("%s: %s", about, described(error))
        else:
            self._troubles.over(about)

    def _record(self, action: str, outcome: str, node: str | None, detail: str, begun: float) -> None:
        """In the audit trail; on a full disk as soon as there is room."""
        _LOG.info("%s %s: %s", action, node or "", detail)
        at, seconds = SYSTEM_CLOCK.now(), time.monotonic() - begun

        def write() -> object:
            return self._cluster.project.record(
                action, outcome, at=at, node=node, detail=detail, duration_seconds=seconds
            )

        if self._unrecorded or not self._recorded(write):
            self._unrecorded.append(write)

    def _recorded(self, write: Callable[[], object]) -> bool:
        try:
            write()
        except OSError as error:
            if self._troubles.meet("audit trail", described(error)):
                _LOG.warning("audit trail: %s", described(error))
            return False
        self._troubles.over("audit trail")
        return True
