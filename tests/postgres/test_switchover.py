"""Switchovers under load, and what can go wrong in one: at the end there is one primary, and nothing is lost."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from haop.drills.ledger import Ledger, Outcome
from haop.drills.measure import Measurement, measure
from haop.drills.workload import Workload
from haop.engines import switching
from haop.errors import HaopError, NoPrimary, Refused
from haop.model.health import Health
from haop.operations import heal, status, switchover
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.postgres import control, drilling
from haop.process import run
from haop.runtimes.local import LocalRuntime
from haop.waiting import wait_until
from tests import support
from tests.conftest import only_local
from tests.support import Quiet


def moments(runtime: str, *names: str) -> Sequence[str]:
    """Each on processes, where it is quick; in containers the one whose steps differ."""
    return names if runtime == "local" else ("stopped",)


@pytest.fixture(scope="module")
def shared(runtime: str) -> Iterator[Cluster]:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", runtime=runtime)) as cluster,
    ):
        yield cluster


@pytest.fixture
def shop(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A pair under load's clients: healthy before, healthy afterwards, and with deadlines that a test can wait for."""
    monkeypatch.setattr(switching, "_STOP_SECONDS", 3)
    monkeypatch.setattr(switching, "_LAST_BYTES_SECONDS", 1.0)
    assert up(shared, Quiet()).health is Health.HEALTHY
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY


@contextmanager
def load(cluster: Cluster) -> Iterator[Callable[[], Measurement]]:
    """Clients that write all the time; afterwards, what they saw."""
    ledger, old, spec = Ledger(), support.primary_of(cluster), cluster.project.spec
    nodes = {node.name: cluster.runtime.endpoint(node.name) for node in spec.nodes}
    drilling.make_ledger(nodes[old], cluster.engine.admin, spec.database, spec.owner)

    def measured() -> Measurement:
        new = support.primary_of(cluster)
        rows = drilling.read_ledger(nodes[new], cluster.engine.admin, spec.database)
        begun = ledger.writes[0].begun
        return measure(ledger, rows, fault_at=begun, promoted_at=None, redundant_at=None, old_primary=old)

    workload = Workload(ledger, nodes, cluster.engine.application, old)
    with workload.running():
        wait_until(lambda: len(ledger.writes) > 100, deadline=30, waiting_for="writes")
        yield measured
        seen = len(ledger.writes)
        wait_until(
            lambda: sum(write.outcome is Outcome.ACKNOWLEDGED for write in ledger.writes[seen:]) > 50,
            deadline=30, waiting_for="writes to be acknowledged again",
        )  # fmt: skip


def switch(cluster: Cluster, note: Callable[[str, str], None] = lambda _event, _node: None) -> switchover.Plan:
    plan = switchover.plan(cluster, None)
    switchover.execute(cluster, plan, Quiet(), note)
    return plan


def nothing_lost(measured: Measurement) -> None:
    assert measured.acknowledged_writes > 100
    assert measured.lost == ()
    assert measured.unexpected == ()


@pytest.mark.repeated(20)
def test_under_load_nothing_is_lost_and_the_old_primary_follows(shop: Cluster, repetition: int) -> None:
    with load(shop) as measured:
        plan = switch(shop)
        assert support.primary_of(shop) == plan.new
        assert shop.engine.last_decision(plan.old).startswith("follow"), (
            "it stopped at the last byte: nothing to rewind"
        )
    told = measured()
    nothing_lost(told)
    print(f"longest write gap {told.longest_write_gap_seconds:.2f} s")
    support.await_health(shop)
    assert heal.read(shop.project) is None


def put_back(shop: Cluster, note: Callable[[str, str], None], match: str) -> None:
    """A switchover that fails: the old primary is primary again, and says so."""
    plan = switchover.plan(shop, None)
    with load(shop) as measured:
        with pytest.raises(HaopError, match=match) as told:
            switchover.execute(shop, plan, Quiet(), note)
        assert told.value.hint == f"{plan.old} is primary and nothing is lost; bring back the rest: haop up"
        assert support.primary_of(shop) == plan.old
        assert heal.read(shop.project) is None
    nothing_lost(measured())


def test_a_candidate_that_does_not_receive_the_end_is_not_promoted(shop: Cluster) -> None:
    """Its stream ends after it had come near."""
    new = support.standby_of(shop)

    def cut(event: str, node: str) -> None:
        if event == "stopping":
            support.cut_stream(shop, new)

    put_back(shop, cut, match=f"waiting for {new} to receive the end")
    shop.runtime.stop(new)  # it starts with a connection to its primary again


@only_local  # decided by the engine, which does not know the runtime
def test_a_candidate_that_does_not_come_near_leaves_everything_as_it_was(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "CATCH_UP_SECONDS", 0.5)
    monkeypatch.setattr(switching, "NEAR_BYTES", 100_000)
    old, new = support.primary_of(shop), support.standby_of(shop)
    started = shop.engine.observe().primary
    plan = switchover.plan(shop, None)
    support.sql(shop, new, "SELECT pg_wal_replay_pause()")
    support.sql(shop, old, "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
    try:
        with pytest.raises(HaopError, match=f"waiting for {new} to come near {old}"):
            switchover.execute(shop, plan, Quiet(), lambda _event, _node: None)
    finally:
        support.sql(shop, new, "SELECT pg_wal_replay_resume()")
    after = shop.engine.observe().primary
    assert started
    assert after
    assert (after.name, after.server.started_at) == (old, started.server.started_at)
    assert heal.read(shop.project) is None


def test_a_candidate_that_dies_half_way_is_replaced_by_the_old_primary(shop: Cluster, runtime: str) -> None:
    for moment in moments(runtime, "stopping", "stopped", "promoting"):
        new = support.standby_of(shop)

        def kill(event: str, node: str, moment: str = moment, new: str = new) -> None:
            if event == moment:
                shop.runtime.kill(new)

        put_back(shop, kill, match=f"no switchover to {new}: ")
        assert up(shop, Quiet()).health is Health.HEALTHY, moment


@only_local  # decided by the engine, which does not know the runtime
def test_a_candidate_that_dies_just_after_its_promotion_is_primary_all_the_same(shop: Cluster) -> None:
    plan = switchover.plan(shop, None)

    def kill(event: str, node: str) -> None:
        if event == "promoted":
            shop.runtime.kill(plan.new)

    with load(shop) as measured:
        with pytest.raises(HaopError) as told:
            switchover.execute(shop, plan, Quiet(), kill)
        assert support.primary_of(shop) == plan.new
        assert (told.value.hint or "").startswith(f"{plan.new} is primary and nothing is lost")
    nothing_lost(measured())


def test_a_primary_that_does_not_stop_is_killed_and_put_back(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that does not react to any signal holds up the clean stop for ever."""
    old = support.primary_of(shop)
    monkeypatch.setattr(LocalRuntime, "resume", lambda *_: None)  # it would thaw the session
    with support.connect(shop, old, shop.engine.application) as session:
        pid = session.info.backend_pid
        freeze(shop, old, pid)
        put_back(shop, lambda _event, _node: None, match="does not end|did not stop cleanly")


def freeze(cluster: Cluster, node: str, pid: int) -> None:
    """Stop one process of a server."""
    if cluster.project.spec.runtime == "local":
        os.kill(pid, signal.SIGSTOP)
    else:
        container = support.containers(cluster)._containers.id(node)
        run(("docker", "exec", "--user", "postgres", container, "sh", "-c", f"kill -STOP {pid}"))


@only_local  # decided by the engine, which does not know the runtime
def test_an_interrupted_switchover_is_put_back_at_once(shop: Cluster) -> None:
    plan = switchover.plan(shop, None)

    def interrupt(event: str, node: str) -> None:
        if event == "stopped":
            raise KeyboardInterrupt

    with load(shop) as measured:
        with pytest.raises(KeyboardInterrupt):
            switchover.execute(shop, plan, Quiet(), interrupt)
        assert support.primary_of(shop) == plan.old
        assert heal.read(shop.project) is None
    nothing_lost(measured())


def test_a_haop_that_is_killed_in_a_switchover_is_settled_by_up(shop: Cluster, runtime: str) -> None:
    """What SIGKILL leaves: nothing of what comes after that moment is done, and nothing is put back."""
    for moment in moments(runtime, "stopping", "stopped", "fenced", "promoting", "promoted"):
        plan = switchover.plan(shop, None)
        killed_at(shop, plan, moment)
        assert heal.read(shop.project), moment
        assert "interrupted" in {finding.code for finding in status.observe(shop).findings}, moment
        assert up(shop, Quiet()).health is Health.HEALTHY, moment
        assert support.primary_of(shop) == (plan.new if moment == "promoted" else plan.old), moment
        assert heal.read(shop.project) is None, moment


def killed_at(shop: Cluster, plan: switchover.Plan, moment: str) -> None:
    class Killed(BaseException):
        pass

    def kill(event: str, node: str) -> None:
        if event == moment:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switching.Switchover, "_put_back", lambda _: None)
        patch.setattr(heal, "clear", lambda _: None)
        with pytest.raises(Killed):
            switchover.execute(shop, plan, Quiet(), kill)


@only_local  # decided by the engine, which does not know the runtime
def test_what_is_refused_changes_nothing(shop: Cluster) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    with pytest.raises(Refused, match=f"{old} is the primary already"):
        switchover.plan(shop, old)
    with pytest.raises(Refused, match="there is no node 'db9'"):
        switchover.plan(shop, "db9")
    shop.runtime.pause(new)
    try:
        with pytest.raises(Refused, match=f"no standby streams from {old}"):
            switchover.plan(shop, None)
        with pytest.raises(Refused, match=f"{new} does not stream from {old}"):
            switchover.plan(shop, new)
    finally:
        shop.runtime.resume(new)
    shop.runtime.pause(old)
    try:
        with pytest.raises(NoPrimary):
            switchover.plan(shop, None)
    finally:
        shop.runtime.resume(old)


def test_the_control_file_is_read_as_pg_controldata_reads_it(shop: Cluster) -> None:
    name = support.standby_of(shop)
    shop.runtime.stop(name)
    read = control.parse(shop.runtime.read(name, control.PATH) or b"")
    told = support.by_hand(shop, name, 'pg_controldata -D "$PGDATA"')
    fields = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    assert fields["Latest checkpoint location"].strip() == str(read.checkpoint)
    assert fields["Database cluster state"].strip() == "shut down in recovery"
    assert read.clean
    with pytest.raises(HaopError, match="cut short"):
        control.parse(b"short")
