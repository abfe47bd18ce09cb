"""`haop up`: from whatever is there to a cluster whose replication is verified."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

from haop.engines import fences, switching
from haop.engines.candidate import absent
from haop.engines.rejoining import REJOIN_SECONDS
from haop.errors import HaopError, Refused
from haop.model.health import lost
from haop.model.probe import NoAnswer
from haop.model.refusing import FULL
from haop.model.service import Service, State
from haop.model.status import ClusterStatus, Unreachable
from haop.operations import (
    confirming,
    converge,
    footing,
    full_disk,
    guarding,
    heal,
    maintenance,
    passwords,
    render,
    restart,
    salvage,
    status,
    strays,
    verify,
)
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.planning import Plan
from haop.operations.progress import Progress
from haop.operations.survey import survey
from haop.runtimes.base import Partitionable
from haop.waiting import wait_until

_START_SECONDS = 300.0
_ON_ITS_WAY = {NoAnswer.STARTING, NoAnswer.REFUSED, NoAnswer.LOST}
_OVER = {State.STOPPED, State.ABSENT}


# Told what would be restarted or removed, a line each; answers whether it may be.
Consent: TypeAlias = Callable[[Sequence[str]], bool]


def nobody(_plan: Sequence[str]) -> bool:
    """Nobody is there to be asked: what runs goes on as it is."""
    return False


def up(cluster: Cluster, progress: Progress, consent: Consent = nobody, *, prune: bool = False) -> status.Assessment:
    """Start, clone and rejoin what is not running, bring it to what `haop.toml` and `.env` say, and verify replication.

    Args:
        cluster: the cluster.
        progress: told each step.
        consent: asked before anything that runs is restarted or removed; what it denies is a finding.
        prune: whether what `haop.toml` no longer names is removed.

    Raises:
        Refused: something is in the way; nothing was started.
        NoPrimary: no node may start as the primary, or two did.
        DeadlineExceeded: a step took too long; run it again, it goes on from there.
    """
    left = strays.find(cluster)
    if prune and left and not consent(strays.told(cluster, left)):
        raise Refused("not confirmed", hint="haop up without --prune leaves what haop.toml no longer names")
    if told := lost({node.name: cluster.runtime.state(node.name) for node in cluster.project.spec.nodes}):
        raise Refused(told[0], hint=told[1])
    _end_intruders(cluster)
    cluster.runtime.check(cluster.settings())
    services = cluster.services()
    render.write(cluster.project, cluster.stack())
    outdated = cluster.runtime.create(services, progress.step)
    with audited(cluster.project, "up") as outcome, full_disk.named(cluster):
        passwords.admit(cluster)
        if begun := heal.read(cluster.project):
            with progress.step(f"settle the interrupted {begun.action} of {begun.node}"):
                heal.settle(cluster, begun)
        plan = survey(cluster, services)
        outcome.detail = str(plan)
        _Up(cluster, services, progress).run(plan)
        if prune and left:
            strays.remove(cluster, left, progress)
            outcome.detail += f"; removed {', '.join(left)}"
        watch(cluster, progress)
        found = converge.restart(cluster, outdated, progress, consent)
        outcome.detail += salvage.shown(cluster, progress)
        return replace(found, findings=(*found.findings, *strays.findings(() if prune else left)))


def _end_intruders(cluster: Cluster) -> None:
    """First of all: where another server has its port, or its data, nothing else is as it should be."""
    if any(cluster.runtime.state(node.name).intruder for node in cluster.project.spec.nodes):
        with audited(cluster.project, "end intruder") as outcome:
            ended = fences.end_intruders(cluster.runtime, cluster.project.spec)
            outcome.detail = "; ".join(f"{found} served the data of {name}, fenced" for name, found in ended.items())


def watch(cluster: Cluster, progress: Progress) -> None:
    """What was put down is up again: a guard watches it, where haop.toml asks for one."""
    project = cluster.project
    if (pause := maintenance.paused(project)) and pause.why == maintenance.DOWN:
        maintenance.resume(project)
    there = guarding.found(project)
    works = there is not None and guarding.stalled(project, there) is None
    if project.spec.guard.enabled == works and guarding.is_current(project, there):
        return
    with progress.step("start the guard" if project.spec.guard.enabled else "end the guard"):
        guarding.ensure(project)


class _Up:
    def __init__(self, cluster: Cluster, services: Mapping[str, Service], progress: Progress) -> None:
        self.cluster = cluster
        self.services = services
        self.progress = progress
        self.nodes = frozenset(node.name for node in cluster.project.spec.nodes)
        self.left: set[str] = set()  # what only a rebuild can help stays as it is, and the rest goes on

    def run(self, plan: Plan) -> None:
        self.mend_networks()
        for name in plan.resume:
            with self.progress.step(f"let {name} go on"):
                self.cluster.runtime.resume(name)
        self.left |= {*plan.left}
        if plan.primary:
            self.start_primary(plan.primary)
        passwords.admit(self.cluster)
        self.require_one_primary()
        heal.point_the_lost(self.cluster)
        with self.progress.step("roles and slots"):
            footing.converge(self.cluster)
        self.start_standbys(plan.standbys)
        for name in plan.rejoin:
            self.rejoin(name)
        self.verify()

    def mend_networks(self) -> None:
        """An interrupted drill, or somebody's hand, may have cut a node off."""
        if isinstance(self.cluster.runtime, Partitionable):
            for name in self.nodes:
                self.cluster.runtime.mend(name)

    def start_primary(self, name: str) -> None:
        how = "start" if self.cluster.runtime.state(name).state is State.STOPPED else "initialise and start"
        with self.progress.step(f"{how} {name}"):
            self.cluster.runtime.start(self.services[name])
            wait_until(
                lambda: self._accepts_writes(name), deadline=_START_SECONDS, pause=0.02,
                waiting_for=f"{name} to accept writes", hint=f"haop logs --node {name}",
            )  # fmt: skip

    def rejoin(self, name: str) -> None:
        with self.progress.step(f"rejoin {name}"):
            try:
                self.cluster.engine.rejoin(name, _nothing)
            except HaopError:
                if not self.cluster.runtime.state(name).needs_rebuild:
                    raise
                self.left.add(name)  # a finding says what helps

    def start_standbys(self, names: tuple[str, ...]) -> None:
        """Start or clone them all at once, and what stands beside them; meanwhile the primary gets its database."""
        empty = tuple(name for name in names if self.cluster.runtime.state(name).state is State.ABSENT)
        addons = self.idle_addons()
        told = f"{'clone' if empty else 'start'} {', '.join(names)}; " if names else ""
        told += f"start {', '.join(addons)}; " if addons else ""
        with self.progress.step(f"{told}database"), self.ended_together(empty):
            # Those that run, too: from now on the runtime may start them by itself.
            self.start((*names, *addons, *(name for name in self.nodes if self.runs(name))))
            footing.make_database(self.cluster)
            self.await_clones(empty)
            self.await_streaming(frozenset(names))

    @contextmanager
    def ended_together(self, clones: tuple[str, ...]) -> Iterator[None]:
        """No clone goes on behind the back of who reads an error or pressed Ctrl-C."""
        try:
            yield
        except BaseException:
            for name in clones:
                self.cluster.runtime.stop(name)
            raise

    def start(self, names: Collection[str]) -> None:
        """All at once."""

        def start(name: str) -> None:
            self.cluster.runtime.resume(name)
            self.cluster.runtime.start(self.services[name])

        with ThreadPoolExecutor(thread_name_prefix="start") as pool:
            list(pool.map(start, names))

    def idle_addons(self) -> tuple[str, ...]:
        """What stands beside the nodes, and does not run."""
        runtime = self.cluster.runtime
        addons = (name for name in self.services if name not in self.nodes)
        return tuple(name for name in addons if runtime.state(name).state is not State.RUNNING)

    def runs(self, name: str) -> bool:
        """Whether its processes do."""
        return self.cluster.runtime.state(name).state is State.RUNNING

    def await_those_on_their_way(self, names: Collection[str]) -> None:
        """What an earlier `up`, or the runtime at boot, began to clone or to rewind."""
        runtime, engine = self.cluster.runtime, self.cluster.engine
        making = tuple(n for n in names if self.runs(n) and (engine.is_empty(n) or runtime.rejoining(n)))
        if making:
            with self.progress.step(f"wait for {', '.join(making)}, which becomes a standby already"):
                self.await_clones(making)

    def await_clones(self, names: tuple[str, ...]) -> None:
        """Wait until each answers, or has ended. A clone takes as long as the database is large: no deadline."""
        with maintenance.lifted(self.cluster.project, "up"):
            wait_until(
                lambda: verify.settled(self.cluster, names), deadline=math.inf, pause=0.05,
                waiting_for=f"{', '.join(names)} to be cloned",
            )  # fmt: skip

    def verify(self) -> None:
        everybody = self.nodes - {footing.primary_of(self.cluster), *self.left}
        for name in filter(self.cluster.runtime.rebuilding, everybody):
            with self.progress.step(f"complete the rebuild of {name}"):
                self.cluster.engine.rejoin(name, _nothing)
        self.await_those_on_their_way(everybody)
        with self.progress.step(f"every standby streams{self.but_for()}"):
            observed = self.await_streaming(everybody)
            confirming.restore(self.cluster)
            restart.reload(self.cluster, observed)
        restart.unblock(self.cluster, self.progress)
        with self.progress.step(f"verify: a token written on the primary is replayed by every standby{self.but_for()}"):
            verify.token_replayed(self.cluster, observed)
        if heal.read(self.cluster.project):
            with self.progress.step("clean up after what was interrupted"):
                heal.finish(self.cluster)

    def await_streaming(self, names: frozenset[str]) -> ClusterStatus:
        """Wait until they stream. Who turns out to need a clone is left; a finding says so."""
        while True:
            try:
                return self.cluster.engine.await_streaming(names - self.left, REJOIN_SECONDS)
            except HaopError:
                lost = {name for name in names - self.left if self.cluster.runtime.state(name).needs_rebuild}
                if not lost:
                    raise
                self.left |= lost

    def but_for(self) -> str:
        """Who is left, in words that end a step's title."""
        return f", but for {', '.join(sorted(self.left))}" if self.left else ""

    def require_one_primary(self) -> None:
        if not self._decided():
            with self.progress.step("wait for the primary, which is starting"):
                wait_until(
                    self._decided, deadline=_START_SECONDS, pause=0.05, waiting_for="the primary to accept writes",
                    hint="haop status, then haop logs",
                )  # fmt: skip
        observed = self.cluster.engine.observe()
        primaries = observed.primaries
        if len(primaries) != 1:
            names = " and ".join(node.name for node in primaries) or "none"
            raise absent(observed, f"expected one primary, found {names}", "haop status says what to do")

    def _decided(self) -> bool:
        """Whether there is a primary, or no node is on its way that may become one: the engine started it at boot."""
        observed = self.cluster.engine.observe()
        coming = [
            node.name
            for node in observed.nodes
            if isinstance(node, Unreachable) and node.service.state is State.RUNNING and node.kind in _ON_ITS_WAY
        ]
        # One question a node: a node that initialises would answer two of them from before and after it has data.
        return bool(observed.primaries) or all(map(self.cluster.engine.is_standby, coming))

    def _accepts_writes(self, name: str) -> bool:
        observed = self.cluster.engine.observe()
        node = observed.node(name)
        if node.service.state in _OVER:
            raise HaopError(f"{name} ended: {self.cluster.engine.last_words(name)}", hint=f"haop logs --node {name}")
        if isinstance(node, Unreachable) and node.refuses and node.code != FULL:
            if passwords.admit(self.cluster):
                return False
            hint = "a cluster keeps the passwords that it was made with: restore .env from your backup"
            raise HaopError(f"{name} runs, but {node.reason}", hint=hint)
        return switching.accepts_writes(node)


def _nothing(event: str, node: str) -> None:
    """The events of a rejoin are steps of `up` already."""
