"""The guard of one cluster: takes in what its probes see, decides, acts; one thing at a time."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial

from haop.guard.acts import Acts
from haop.guard.decide import decide, primary_of
from haop.guard.decisions import BringBack, Decision, EndIntruder, FailOver, Reinstate, Tidy
from haop.guard.probes import Probes
from haop.guard.seen import Answer, FailedOver, Node, Seen, Tick, Tidied, Tidying, Tried, View, see
from haop.guard.trouble import Troubles
from haop.guard.written import Written
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.operations import guarding, maintenance
from haop.operations.cluster import Cluster
from haop.operations.guarding import Post
from haop.project import CONFIG

_LOG = logging.getLogger(__name__)
TICK_SECONDS = 0.25
_LOOK_SECONDS, _SELDOM_SECONDS, _FENCED_SECONDS = 1.0, 30.0, 0.5
_TELL_SECONDS = 5.0
_CHECK_SECONDS, _GONE_SECONDS = 1.0, 5.0


class Guard:
    """Watches a cluster and keeps it with one primary, and its standbys following that.

    Nothing but its end by a signal, or that it is another's to watch, ends it: what fails is told, and tried again.
    """

    def __init__(self, cluster: Cluster, post: Post) -> None:
        self._cluster = cluster
        self._post = post
        self._troubles = Troubles()
        self._acts = Acts(cluster, self._troubles)
        self._view = View.of([node.name for node in cluster.project.spec.nodes], time.monotonic())
        self._returning: dict[str, float] = {}  # who was brought back, and does not stream yet; since when
        self._told: tuple[str | None, str | None] | None = None
        self._written: Written | None = None  # by the primary, as far as this guard and those before it know
        self._told_at = self._checked_at = 0.0
        self._project_seen = time.monotonic()

    def run(self, until: threading.Event) -> None:
        """Do so until the event is set, until another guard has taken over, or until the project is gone."""
        self._acts.prepare()
        self._written = Written.parse(guarding.told_last(self._cluster.project).get("written"))
        self._probes = Probes(self._cluster, until, self._troubles)
        self._probes.start()
        while not until.is_set():
            try:
                if not self._is_mine():
                    break
                self._turn()
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody must go on watching
                self._acts.trouble("watch", error)
                until.wait(TICK_SECONDS)
        until.set()

    def _is_mine(self) -> bool:
        """Whether this guard, and this project, are there still; looked at each second."""
        if (now := time.monotonic()) - self._checked_at < _CHECK_SECONDS:
            return True
        self._checked_at = now
        if (self._cluster.project.root / CONFIG).exists():
            self._project_seen = now
        elif now - self._project_seen > _GONE_SECONDS:  # an editor may have it away for a moment
            _LOG.info("%s is gone", self._cluster.project.root / CONFIG)
            return False
        try:
            if self._post.keep():
                return True
        except OSError as error:  # nobody else can take over either; it watches, and does nothing
            self._acts.trouble("lock", error)
            return True
        _LOG.info("another guard has taken over")
        return False

    def _turn(self) -> None:
        waiting = time.monotonic()
        self._take_in()
        self._see(Tick(time.monotonic(), waiting))
        self._mind_maintenance()
        # A pause allows nobody to serve fenced data.
        if not self._view.busy or maintenance.paused(self._cluster.project):
            self._step()
        self._tell()

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
        if isinstance(seen, Answer) and seen.flushed:
            self._mind_wal(seen.node, seen.timeline, seen.flushed)

    def _mind_wal(self, node: str, timeline: int, flushed: Lsn) -> None:
        """A primary has written so far. The cluster's identifier is read only where the mark does not go on."""
        before = self._written
        goes_on = before and before.system and (before.node, before.timeline) == (node, timeline)
        system = before.system if before and goes_on and flushed >= before.lsn else self._acts.system(node)
        self._written = Written(node, system, timeline, flushed)
        if why := self._written.lost_since(before):
            self._acts.lost(node, why)

    def _mind_maintenance(self) -> None:
        self._view = self._view.but(maintenance.reason(self._cluster.project), time.monotonic())

    def _step(self) -> None:
        decision = self._decision()
        if not isinstance(decision, FailOver):
            self._look_around()
            decision = self._decision()
        if decision:
            node = decision.node if isinstance(decision, BringBack | EndIntruder) else None
            self._attempt(decision.what, partial(self._carry_out, decision), node)
        elif not self._view.busy:
            self._attend()

    def _decision(self) -> Decision | None:
        """None, too, where a decision would break an invariant: that is a bug, and nobody is fenced for it."""
        try:
            decision = decide(self._view, time.monotonic())
        except AssertionError as error:
            self._acts.trouble("decide", error)
            return None
        self._acts.works("decide")
        return decision

    def _carry_out(self, decision: Decision) -> None:
        """An error is a fact to go on from, not the guard's end."""
        self._acts.tell(decision.what, self._told[1] if self._told else None, self._written)
        self._told = None
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
        finally:
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
            node = self._view.nodes[name]
            if primary and node.streamed > since and node.source == primary.name:
                self._attempt("settle in", partial(self._settle_in, name, now - since))
        if not primary:
            return
        said, quiet = self._probes.confirming.get(primary.name, ""), self._probes.quiet(primary.name)
        if self._acts.confirming_is_due(said, quiet, now):
            silent = frozenset(node.name for node in self._view.nodes.values() if node.misses)
            self._attempt("confirm", partial(self._acts.confirm, quiet, silent, now))

    def _settle_in(self, name: str, seconds: float) -> None:
        self._returning.pop(name)
        self._acts.settle_in(name, seconds)

    def _attempt(self, what: str, act: Callable[[], None], node: str | None = None) -> None:
        """Do it, unless a command has the word. What it comes to is a fact to go on from, not the guard's end."""
        try:
            with maintenance.acting(self._cluster.project) as mine:
                if not mine or not self._post.keep():
                    return
                act()
        except Exception as error:  # noqa: BLE001 - see above
            self._acts.trouble(what, error, node)
        else:
            self._acts.works(what, node)

    def _look_around(self, *, everywhere: bool = False) -> None:
        """Ask the runtime about nodes that do not answer, and seldom about those that do."""
        primary = primary_of(self._view)
        answers = primary is not None and time.monotonic() - primary.answered < _LOOK_SECONDS
        written = (
            self._written if primary and answers and self._written and self._written.node == primary.name else None
        )
        for node in self._view.nodes.values():
            if everywhere or self._is_due(node, time.monotonic()):
                try:
                    silent = time.monotonic() - node.answered > _LOOK_SECONDS
                    self._see(self._acts.look(node.name, silent=silent, primary=written))
                except Exception as error:  # noqa: BLE001 - it is one of many
                    self._acts.trouble("look at", error, node.name)
                else:
                    self._acts.works("look at", node.name)

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
        for node in self._view.nodes.values():
            if node is primary or now - node.streamed < _LOOK_SECONDS:  # by itself, or by somebody's hand
                self._acts.works(BringBack.what, node.name)
        self._acts.tell(*sees, self._written)
