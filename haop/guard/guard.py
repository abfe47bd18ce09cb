"""The guard of one cluster: takes in what its probes see, decides, acts; one thing at a time."""

import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from haop.errors import HaopError
from haop.guard.acts import Acts
from haop.guard.decide import BringBack, Decision, EndIntruder, FailOver, Reinstate, Tidy, decide, primary_of
from haop.guard.probes import Probes
from haop.guard.seen import FailedOver, Node, Seen, Tick, Tidied, Tidying, Tried, View, see
from haop.model.service import State
from haop.operations import maintenance
from haop.operations.cluster import Cluster
from haop.project import CONFIG

TICK_SECONDS = 0.25
_LOOK_SECONDS, _SELDOM_SECONDS, _FENCED_SECONDS = 1.0, 30.0, 0.5
_TELL_SECONDS = 5.0


class Guard:
    """Watches a cluster and keeps it with one primary, and its standbys following that."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._acts = Acts(cluster)
        self._view = View.of([node.name for node in cluster.project.spec.nodes], time.monotonic())
        self._returning: dict[str, float] = {}  # who was brought back, and does not stream yet; since when
        self._told: tuple[str | None, str | None] | None = None
        self._told_at = 0.0

    def run(self, until: threading.Event) -> None:
        """Do so until the event is set, or until the project is gone."""
        self._probes = Probes(self._cluster, until)
        self._probes.start()
        while not until.is_set() and (self._cluster.project.root / CONFIG).exists():
            waiting = time.monotonic()
            self._take_in()
            self._see(Tick(time.monotonic(), waiting))
            self._mind_maintenance()
            # A pause allows nobody to serve fenced data.
            if not self._view.busy or maintenance.paused(self._cluster.project):
                self._step()
            self._tell()
        until.set()

    def _take_in(self) -> None:
        """Wait a moment for something new; what has come meanwhile is taken in, too."""
        try:
            self._see(self._probes.seen.get(timeout=TICK_SECONDS))
            while True:
                self._see(self._probes.seen.get_nowait())
        except queue.Empty:
            pass

    def _see(self, seen: Seen) -> None:
        self._view = see(self._view, seen)

    def _mind_maintenance(self) -> None:
        self._view = self._view.but(maintenance.reason(self._cluster.project), time.monotonic())

    def _step(self) -> None:
        decision = decide(self._view, time.monotonic())
        if not isinstance(decision, FailOver):
            self._look_around()
            decision = decide(self._view, time.monotonic())
        if decision:
            with maintenance.acting(self._cluster.project) as mine:
                if mine:
                    self._carry_out(decision)
        elif not self._view.busy:
            self._attend()

    def _carry_out(self, decision: Decision) -> None:
        """An error is a fact to go on from, not the guard's end."""
        try:
            match decision:
                case FailOver():
                    self._fail_over(decision)
                case BringBack(node, why):
                    self._see(Tried(node, begun := time.monotonic()))
                    self._acts.bring_back(node, why)
                    self._returning.setdefault(node, begun)
                case Tidy(primary, timeline):
                    self._see(Tidying(time.monotonic()))
                    self._acts.tidy(primary)
                    self._see(Tidied(primary, timeline))
                case EndIntruder(node, why):
                    self._acts.end_intruder(node, why)
                case Reinstate(why):
                    self._see(FailedOver(time.monotonic(), None))
                    self._acts.reinstate(why)
        except HaopError as error:
            self._acts.trouble(
                decision.what, error, decision.node if isinstance(decision, BringBack | EndIntruder) else None
            )
        self._look_around(everywhere=True)

    def _fail_over(self, decision: FailOver) -> None:
        silent = frozenset(n.name for n in self._view.nodes.values() if n.down or n.name == decision.old)
        promoted = None
        try:
            promoted = self._acts.fail_over(decision, silent)
        finally:
            self._see(FailedOver(time.monotonic(), promoted, decision.sure))

    def _attend(self) -> None:
        """Nothing is to be decided: who came back is welcomed, and sync is kept true."""
        now, primary = time.monotonic(), primary_of(self._view)
        for name, since in tuple(self._returning.items()):
            if self._view.nodes[name].streamed > since:
                self._attempt("settle in", partial(self._settle_in, name, now - since))
        if primary and self._acts.confirming_is_due(self._probes.confirming.get(primary.name, ""), now):
            self._attempt("confirm", partial(self._acts.confirm, now))

    def _settle_in(self, name: str, seconds: float) -> None:
        self._returning.pop(name)
        self._acts.settle_in(name, seconds)

    def _attempt(self, what: str, act: Callable[[], None]) -> None:
        with maintenance.acting(self._cluster.project) as mine:
            if not mine:
                return
            try:
                act()
            except HaopError as error:
                self._acts.trouble(what, error)

    def _look_around(self, *, everywhere: bool = False) -> None:
        """Ask the runtime about nodes that do not answer, and seldom about those that do."""
        for node in self._view.nodes.values():
            if everywhere or self._is_due(node, time.monotonic()):
                try:
                    self._see(self._acts.look(node.name))
                except HaopError as error:
                    self._acts.trouble("look", error)

    def _is_due(self, node: Node, now: float) -> bool:
        if node.look is None or (node.exit and node.look.at < node.exit.at):
            return True
        if node.fenced:
            return node.answered > node.look.at or now - node.look.at > _FENCED_SECONDS
        healthy = now - node.answered < _LOOK_SECONDS and node.look.state is State.RUNNING
        return now - node.look.at > (_SELDOM_SECONDS if healthy else _LOOK_SECONDS)

    def _tell(self) -> None:
        """What `haop guard status` shows: at once where it is something else than before."""
        now, primary = time.monotonic(), primary_of(self._view)
        sees = (self._view.busy, primary.name if primary else None)
        if sees == self._told and now - self._told_at < _TELL_SECONDS:
            return
        self._told, self._told_at = sees, now
        self._acts.write_state(*sees, self._probes.trouble)
