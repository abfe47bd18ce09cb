"""What the guard does. Each act is recorded with its evidence and its times, and can be repeated after a guard died."""

import json
import logging
import time
from dataclasses import replace
from datetime import timedelta

from haop.clock import SYSTEM_CLOCK
from haop.engines import switching
from haop.engines.returning import bring_back
from haop.errors import HaopError, NoPrimary, Refused
from haop.guard.decide import FailOver
from haop.guard.seen import Look
from haop.model.service import State
from haop.model.spec import Durability
from haop.operations import behind, failover, heal, last, salvage
from haop.operations.cluster import Cluster
from haop.operations.confirming import Confirming
from haop.postgres import replication
from haop.postgres.connection import connected

_LOG = logging.getLogger(__name__)
FAILOVER = "guard failover"
# After something has changed it is looked at each second for so long, else seldom.
_UNSETTLED_SECONDS, _SELDOM_SECONDS = 30.0, 60.0
_SAME_TROUBLE_SECONDS = 300.0


class Acts:
    """The hands of one guard."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._confirming = Confirming(cluster)
        self._confirmed = (
            "",
            -_SELDOM_SECONDS,
            0.0,
        )  # what the primary said; when it was looked at; since when it says so
        self._troubles: dict[str, float] = {}

    def look(self, name: str) -> Look:
        """What the runtime says of a node."""
        engine, runtime, at = self._cluster.engine, self._cluster.runtime, time.monotonic()
        found = runtime.state(name)
        primarys = found.state is not State.ABSENT and engine.has_primarys_data(name)
        ended = found.remark if found.state is State.STOPPED else None
        return Look(name, at, found.state, found.fenced, primarys, runtime.rejoining(name), ended, found.intruder)

    def fail_over(self, decision: FailOver, silent: frozenset[str]) -> str:
        """Fence, salvage, promote; the name of the new primary.

        Raises:
            HaopError: nobody was promoted.
        """
        project, engine, begun = self._cluster.project, self._cluster.engine, time.monotonic()
        mine = heal.read(project) is None
        if mine:
            heal.begin(project, FAILOVER, decision.old or "nobody")
        phases: list[str] = []

        def note(event: str, node: str) -> None:
            phases.append(f"{event} {node} +{time.monotonic() - begun:.3f} s")

        unsure = frozenset() if decision.sure else frozenset(node.name for node in project.spec.nodes)
        terms = failover.terms(self._cluster)
        terms = replace(terms, behind=terms.behind | unsure)
        _LOG.info("%s: %s; failing over", decision.old or "nobody is primary", decision.why)
        try:
            done = engine.failover(None, heal.noting(project, note), terms=terms, silent=silent)
        except HaopError as error:
            self._record(
                FAILOVER, "failed", decision.old, f"{decision.why}; {', '.join(phases)}; {error.message}", begun
            )
            if mine and not phases and isinstance(error, NoPrimary | Refused):  # nothing was begun after all
                heal.clear(project)
            raise
        told = "".join(f"; {each.told}" for each in done.salvaged)
        self._record(
            FAILOVER, "done", done.node, f"{decision.old or 'nobody'}: {decision.why}; {', '.join(phases)}{told}", begun
        )
        behind.settle(project, done.node)
        if mine:
            heal.clear(project)
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
        if (record := heal.read(project)) and record.action == FAILOVER:
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

    def confirming_is_due(self, said: str, now: float) -> bool:
        """Whether who confirms is to be looked at: it has just changed, or was not looked at for long."""
        if self._cluster.project.spec.durability is not Durability.SYNC:
            return False
        before, looked, since = self._confirmed
        if said != before:
            since = now
        self._confirmed = (said, looked, since)
        return now - looked >= (1.0 if now - since < _UNSETTLED_SECONDS else _SELDOM_SECONDS)

    def confirm(self, now: float) -> None:
        """Keep the standbys that the primary waits for true to those that stream."""
        said, _, since = self._confirmed
        self._confirmed = (said, now, since)
        for told in self._confirming.keep(self._cluster.engine.observe(), now):
            self._record("guard sync", "done", None, told, now)

    def trouble(self, what: str, error: HaopError, node: str | None = None) -> None:
        """Something did not work. It is told once in a while, not each time."""
        now, key = time.monotonic(), f"{what}{f' {node}' if node else ''}: {error.message}"
        if now - self._troubles.get(key, -_SAME_TROUBLE_SECONDS) < _SAME_TROUBLE_SECONDS:
            return
        self._troubles[key] = now
        _LOG.warning("%s%s", key, f" ({error.hint})" if error.hint else "")
        if what != FailOver.what:  # that is recorded with its times
            self._record(f"guard {what}", "failed", node, error.message, now)

    def write_state(self, busy: str | None, primary: str | None, trouble: dict[str, str]) -> None:
        """What `haop guard status` shows, whole or not at all."""
        path = self._cluster.project.state / "guard" / "state.json"
        document = {
            "at": SYSTEM_CLOCK.now().isoformat(timespec="milliseconds"), "primary": primary, "doing": busy or "watches",
            "trouble": [f"{node}: {why}" for node, why in sorted(trouble.items())],
        }  # fmt: skip
        making = path.with_suffix(".new")
        try:
            making.write_text(json.dumps(document), encoding="utf-8")
            making.replace(path)
        except OSError as error:  # a full disk must not end the guard
            _LOG.warning("cannot write %s: %s", path, error.strerror)

    def _record(self, action: str, outcome: str, node: str | None, detail: str, begun: float) -> None:
        _LOG.info("%s %s: %s", action, node or "", detail)
        try:
            self._cluster.project.record(
                action, outcome, at=SYSTEM_CLOCK.now(), node=node, detail=detail,
                duration_seconds=time.monotonic() - begun,
            )  # fmt: skip
        except OSError as error:
            _LOG.warning("cannot record it: %s", error.strerror)
