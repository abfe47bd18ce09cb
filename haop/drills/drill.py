"""The failover drill: the primary fails under load; what did the clients see?"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from haop.clock import SYSTEM_CLOCK
from haop.drills.application import measure_pages
from haop.drills.faults import Fault, injected, require
from haop.drills.ledger import Ledger, Moment
from haop.drills.measure import measure
from haop.drills.observer import AS_PRIMARY, Observer
from haop.drills.pages import Pages
from haop.drills.report import DRILL, GUARD, Report, compile_report
from haop.drills.verdict import judge
from haop.drills.workload import Workload
from haop.engines.rejoining import REJOIN_SECONDS
from haop.errors import DeadlineExceeded, HaopError, NoPrimary
from haop.operations import access, confirming, failover, guarding, heal, maintenance, salvage, status, verify
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.postgres import drilling
from haop.waiting import wait_until

if TYPE_CHECKING:
    from haop.model.status import Server

WARM_UP_SECONDS = 1.0
COOL_DOWN_SECONDS = 0.5
_RECOVERY_SECONDS = 60.0
_PAGES_SECONDS = 30.0


class FailoverDrill:
    """One run. `run()` reads as its table of contents."""

    def __init__(self, cluster: Cluster, fault: Fault, progress: Progress) -> None:
        self.cluster = cluster
        self.fault = fault
        self.progress = progress
        self.ledger = Ledger()
        self.began_at = SYSTEM_CLOCK.now()
        self.id = f"{self.began_at:%Y%m%dT%H%M%S}-failover-{fault}"
        self.promoted_at: float | None = None
        self.redundant_at: float | None = None
        self.new_primary: str | None = None
        self.guarded = False
        self.salvaged_bytes: int | None = None
        asked = cluster.project.spec.pages
        self.pages = Pages(self.ledger, asked) if asked else None

    def run(self) -> Report:
        """Break, recover, heal, read back, judge.

        Raises:
            NoPrimary: the cluster is not steady; nothing was done.
        """
        with self.progress.step("steady state"):
            self.require_steady_state()
        with audited(self.cluster.project, f"drill failover {self.fault}", node=self.old_primary) as outcome:
            with self.recorded() as record, self.ledger_table(), self.clients():
                self.warm_up()
                with injected(self.cluster, self.fault, record) as self.fault_at:
                    self.note(str(self.fault), self.old_primary, at=self.fault_at)
                    self.recover()
                self.restore_redundancy()
            report = self.report()
            kept = "" if self.guarded else salvage.collected(self.cluster)  # the guard tells that itself
            outcome.detail = f"{report.verdict.word}; {report.told}{kept}"
        return report

    def require_steady_state(self) -> None:
        """The gate: a drill on a cluster whose replication is not well would measure something else."""
        require(self.cluster, self.fault)
        found = status.observe(self.cluster)
        # Clients of a drill connect as the application does.
        locked_out = (f for f in found.findings if f.code in access.LOCKED_OUT)
        trouble = status.disturbance(self.cluster, found) or next(locked_out, None)
        if trouble or not found.status.primary:
            reason, hint = (trouble.message, trouble.hint) if trouble else (str(found.health), None)
            raise NoPrimary(f"the drill was not run: {reason}", hint=hint or "haop status")
        if not found.status.standbys:
            raise NoPrimary("the drill was not run: no standby could take over", hint="add a node to haop.toml")
        self.old_primary = found.status.primary.name
        self.server: Server = found.status.primary.server
        self.guarded = guarding.found(self.cluster.project) is not None and not maintenance.paused(self.cluster.project)

    @contextmanager
    def recorded(self) -> Iterator[heal.Open]:
        """The record, before anything is there that has to go again; taken away when nothing of that is left."""
        record = heal.begin(self.cluster.project, f"drill failover {self.fault}", self.old_primary)
        try:
            yield record
        except BaseException:
            if (left := heal.read(self.cluster.project)) and not left.fault:  # nothing was broken yet
                with suppress(HaopError):  # else the record stays, for who heals
                    heal.withdraw(self.cluster)
            raise
        if self.redundant_at is not None:
            with self.progress.step("drop the clients' table, on every node"):
                heal.finish(self.cluster)

    @contextmanager
    def ledger_table(self) -> Iterator[None]:
        """A table for the clients, on every node before they start, read back when they have ended."""
        engine, runtime, spec = self.cluster.engine, self.cluster.runtime, self.cluster.project.spec
        with self.progress.step("arrange: the clients' table, on every node"):
            made = drilling.make_ledger(runtime.endpoint(self.old_primary), engine.admin, spec.database, spec.owner)
            verify.replayed(self.cluster, made, engine.observe().standbys)
        yield
        self.survivors = self.read_back()

    @contextmanager
    def clients(self) -> Iterator[None]:
        """Clients and observer at work."""
        nodes = {node.name: self.cluster.runtime.endpoint(node.name) for node in self.cluster.project.spec.nodes}
        self.workload = Workload(self.ledger, nodes, self.cluster.engine.application, self.old_primary)
        observer = Observer(self.ledger, nodes, self.cluster.engine.admin)
        # A thread may otherwise keep the interpreter for 5 ms, which is as long as a client's pace.
        before = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)
        try:
            with self.workload.running(), observer.watching(), self.pages.running() if self.pages else nullcontext():
                yield
        finally:
            sys.setswitchinterval(before)

    def warm_up(self) -> None:
        """Writes flow before anything breaks."""
        with self.progress.step(f"clients write and read for {WARM_UP_SECONDS:g} s"):
            self.await_writes("a first acknowledged write")
            if self.pages:
                self.await_pages(self.pages)
            time.sleep(WARM_UP_SECONDS)

    def recover(self) -> None:
        """Fence and promote, or let the guard; then wait until clients write again."""
        who = "the guard acts" if self.guarded else "fence it, promote another"
        with self.progress.step(f"{self.fault} {self.old_primary}; {who}"):
            if self.guarded:
                self.await_guard()
            else:
                note, terms = heal.noting(self.cluster.project, self.note), failover.terms(self.cluster)
                done = self.cluster.engine.failover(None, note, terms=terms)
                self.new_primary, self.salvaged_bytes = done.node, done.salvaged_bytes
            self.await_writes("writes to be acknowledged by the new primary", by_new_primary=True)
        if self.pages:
            self.follow_pages(self.pages)
        time.sleep(COOL_DOWN_SECONDS)

    def await_pages(self, pages: Pages) -> None:
        """The application serves its pages before anything breaks.

        Raises:
            NoPrimary: it does not.
        """
        try:
            wait_until(lambda: pages.problem() is None, deadline=_PAGES_SECONDS, waiting_for="the application")
        except DeadlineExceeded:
            raise NoPrimary(
                f"the drill was not run: {pages.problem()}", hint="read_page and write_page of [web] in haop.toml"
            ) from None

    def follow_pages(self, pages: Pages) -> None:
        """Until the application serves its pages again; if it does not, the report says so."""
        back = time.monotonic()
        with self.progress.step("the application serves its pages"), suppress(DeadlineExceeded):
            wait_until(lambda: pages.serve_since(back), deadline=_PAGES_SECONDS, waiting_for="the application")

    def await_guard(self) -> None:
        """Another node answers as primary."""

        def promoted() -> Moment | None:
            moments = self.ledger.moments.copy()
            return next((m for m in moments if m.node != self.old_primary and m.event.startswith(AS_PRIMARY)), None)

        found = wait_until(
            promoted, deadline=_RECOVERY_SECONDS, pause=0.01, waiting_for="the guard to promote another node",
            hint="haop guard status, then haop events",
        )  # fmt: skip
        self.new_primary, self.promoted_at = found.node, found.at

    @property
    def promoted_by(self) -> str:
        """Who promotes in this drill."""
        return GUARD if self.guarded else DRILL

    def restore_redundancy(self) -> None:
        """The old primary becomes a standby. If that fails the measurement still stands, and says so."""
        with self.progress.step(f"rejoin {self.old_primary}"):
            if self.fault in {Fault.PAUSE, Fault.PARTITION}:
                time.sleep(COOL_DOWN_SECONDS)  # let go on, an old primary that is not fenced would take writes now
            try:
                everybody = {node.name for node in self.cluster.project.spec.nodes} - {self.new_primary}
                if self.guarded:
                    wait_until(
                        lambda: all(map(self.cluster.engine.observe().streams, everybody)), deadline=REJOIN_SECONDS,
                        pause=0.05, waiting_for="the guard to bring every standby back", hint="haop guard status",
                    )  # fmt: skip
                else:
                    self.cluster.engine.rejoin(self.old_primary, self.note)
                    self.cluster.engine.await_streaming(frozenset(everybody), REJOIN_SECONDS)
                    confirming.restore(self.cluster)
            except HaopError as error:
                self.note(f"does not rejoin: {error.message}", self.old_primary)
                return
        self.redundant_at = time.monotonic()
        time.sleep(COOL_DOWN_SECONDS)

    def read_back(self) -> frozenset[int]:
        """The rows that the new primary has."""
        with self.progress.step("read back what survived"):
            endpoint = self.cluster.runtime.endpoint(self.new_primary or self.old_primary)
            return drilling.read_ledger(endpoint, self.cluster.engine.admin, self.cluster.project.spec.database)

    def report(self) -> Report:
        """Measure, judge, write down."""
        measured = measure(
            self.ledger, self.survivors, fault_at=self.fault_at, promoted_at=self.promoted_at,
            redundant_at=self.redundant_at, old_primary=self.old_primary,
        )  # fmt: skip
        endpoint = self.cluster.runtime.endpoint(self.old_primary)
        seen = measure_pages(
            self.ledger, fault_at=self.fault_at, database_seconds=measured.write_recovery_seconds,
            old=(str(endpoint), f"{self.old_primary}:5432"),
        )  # fmt: skip
        return compile_report(self, measured, judge(measured, self.cluster.project.spec.objectives), seen)

    def await_writes(self, what: str, *, by_new_primary: bool = False) -> None:
        """Wait until a write was acknowledged."""
        wait_until(
            lambda: self.workload.acknowledges(by_new_primary=by_new_primary), deadline=_RECOVERY_SECONDS,
            waiting_for=what, pause=0.01, hint="haop status, then haop logs --level warning",
        )  # fmt: skip

    def note(self, event: str, node: str, *, at: float | None = None) -> None:
        """Something happened to the cluster, now."""
        moment = Moment(time.monotonic() if at is None else at, event, node)
        if event == "promoted":
            self.promoted_at = moment.at
        self.ledger.moments.append(moment)
