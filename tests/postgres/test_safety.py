"""Where a tired operator, a killed haop or a half-dead node could lose rows, end with two primaries, or in a dead end.

On processes: what is decided here the runtime does not know.
"""

import re
from collections.abc import Iterator

import pytest

from haop.engines import switching
from haop.engines.base import Terms
from haop.errors import HaopError, NoPrimary, Refused
from haop.model.health import Health
from haop.model.service import State
from haop.operations import failover, heal, rejoin, render, restart, switchover
from haop.operations.cluster import Cluster
from haop.operations.down import down
from haop.operations.up import up
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "shop", nodes=3, durability="sync")) as cluster,
    ):
        yield cluster


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    """Three nodes with sync: healthy before, healthy afterwards."""
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY
    assert heal.read(shared.project) is None


def quiet(event: str, node: str) -> None:
    pass


def roles(cluster: Cluster) -> tuple[str, list[str]]:
    found = cluster.engine.observe()
    assert found.primary
    return found.primary.name, [node.name for node in found.standbys]


def asked_to_confirm(cluster: Cluster) -> str:
    return str(support.sql(cluster, support.primary_of(cluster), "SHOW synchronous_standby_names")[0][0])


def test_sync_stays_sync_where_no_standby_streams(shop: Cluster) -> None:
    _, standbys = roles(shop)
    for name in standbys:
        shop.runtime.pause(name)
    try:
        before = asked_to_confirm(shop)
        assert before.startswith("ANY 1 (")
        shop.engine.await_streaming(frozenset(), 5)
        assert asked_to_confirm(shop) == before
    finally:
        for name in standbys:
            shop.runtime.resume(name)


def test_a_failover_looks_again_once_the_primary_is_fenced(shop: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Haop does not reach the primary, which goes on: until it is fenced, another gets what the chosen one lacks."""
    old, standbys = roles(shop)
    support.sql(shop, old, "CREATE TABLE confirmed (id int)")
    shop.runtime.pause(old)
    chosen = failover.plan(shop, None).node
    other = next(name for name in standbys if name != chosen)
    fence = shop.runtime.fence

    def late(name: str) -> None:
        shop.runtime.resume(name)
        support.cut_stream(shop, chosen)
        support.sql(shop, name, "INSERT INTO confirmed SELECT generate_series(1, 1000)")
        fence(name)

    monkeypatch.setattr(shop.runtime, "fence", late)
    done = shop.engine.failover(None, quiet)
    monkeypatch.undo()
    assert done.node == other
    assert support.sql(shop, other, "SELECT count(*) FROM confirmed") == [(1000,)]


def test_sync_does_not_promote_while_a_standby_that_may_have_more_is_mute(shop: Cluster) -> None:
    """Unless salvage makes the other whole: what the dead primary has is all that anybody can have."""
    old, (first, second) = roles(shop)
    shop.runtime.pause(second)
    shop.runtime.kill(old)
    found = shop.engine.observe()
    try:
        with pytest.raises(
            Refused, match=f"{second} does not answer, and may have confirmed writes that {first} lacks"
        ):
            shop.engine.plan_failover(found, None, Terms(salvage=False))
        assert shop.engine.plan_failover(found, first, Terms(salvage=False)).node == first, "an operator may decide"
        support.by_hand(shop, old, 'mv "$PGDATA/pg_wal" "$PGDATA.away"')
        with pytest.raises(HaopError, match=f"the primary is fenced and nothing promoted: {second} does not answer"):
            failover.execute(shop, None, quiet)
        assert shop.engine.observe().primaries == ()
        support.by_hand(shop, old, 'mv "$PGDATA.away" "$PGDATA/pg_wal"')
        assert failover.execute(shop, None, quiet).node == first
    finally:
        shop.runtime.resume(second)


def test_a_standby_that_was_away_during_a_failover_follows_after_up(shop: Cluster) -> None:
    old, (first, second) = roles(shop)
    shop.runtime.pause(second)
    shop.runtime.kill(old)
    failover.execute(shop, first, quiet)
    shop.runtime.resume(second)
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert shop.engine.observe().streams(second)


def test_rejoin_points_a_standby_that_follows_nobody(shop: Cluster) -> None:
    _, (first, _second) = roles(shop)
    support.cut_stream(shop, first)
    rejoin.execute(shop, first, quiet)
    assert shop.engine.observe().streams(first)


def test_a_fenced_primary_and_stopped_standbys_are_no_dead_end(shop: Cluster) -> None:
    old, standbys = roles(shop)
    shop.runtime.fence(old)
    for name in standbys:
        shop.runtime.stop(name)
    with pytest.raises(NoPrimary, match="every node that was primary is fenced") as told:
        up(shop, Quiet())
    assert "haop failover" in (told.value.hint or "")
    done = failover.execute(shop, failover.plan(shop, None).node, quiet)
    assert done.node in standbys


def test_a_record_that_an_operator_has_overtaken_does_not_stop_up(shop: Cluster) -> None:
    old, _ = roles(shop)
    heal.begin(shop.project, "drill failover kill", old)
    shop.runtime.kill(old)
    new = failover.execute(shop, failover.plan(shop, None).node, quiet).node
    down(shop, Quiet(), volumes=False, say=print)
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert support.primary_of(shop) == new


def test_a_switchover_that_fails_before_it_begins_leaves_the_primary_alone(shop: Cluster) -> None:
    plan = switchover.plan(shop, None)
    switch = switching.Switchover(shop.engine, plan.old, plan.new, quiet)
    before = shop.engine.observe().primary
    shop.runtime.pause(plan.new)
    try:
        with pytest.raises(HaopError, match=f"no switchover to {plan.new}") as told:
            switch.hand_over()
    finally:
        shop.runtime.resume(plan.new)
    after = shop.engine.observe().primary
    assert told.value.hint == "nothing was changed; haop status"
    assert before
    assert after
    assert (after.name, after.server.started_at) == (before.name, before.server.started_at)


def test_a_node_that_may_be_reinstated_is_fenced_again_before_another_is_promoted(shop: Cluster) -> None:
    """Haop was killed after it had let the old primary start again, and before it started it."""
    old, _ = roles(shop)
    shop.runtime.fence(old)
    shop.runtime.reinstate(old)
    assert not shop.runtime.state(old).fenced
    assert failover.plan(shop, None).fence == (old,)


def test_a_primary_that_alone_has_a_raised_setting_blocks_nobody(shop: Cluster) -> None:
    """The engine has restarted the primary with what haop.toml asks for, and the standbys wait for their restart."""
    old, standbys = roles(shop)
    config = shop.project.root / "haop.toml"
    kept = config.read_text()
    config.write_text(re.sub(r"^fsync.*", r"\g<0>\nmax_connections = 150", kept, flags=re.MULTILINE))
    changed = Cluster.of(load(shop.project.root))
    try:
        restart.prepare(changed, Quiet())
        with pytest.raises(Refused, match=f"{old} is the primary, and would have more than its standbys"):
            restart.one(changed, old, Quiet())
        changed.runtime.stop(old)
        changed.runtime.start(changed.services()[old])
        wait_until(lambda: changed.engine.observe().primary, deadline=60, waiting_for="the primary")
        paused = "SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'"
        wait_until(lambda: support.sql(changed, standbys[0], paused), deadline=60, waiting_for="replay to stand still")
        assert up(changed, Quiet(), lambda _: True).health is Health.HEALTHY
        assert support.primary_of(changed) == old, "it has what was asked for: no reason to move"
        for name in standbys:
            assert support.sql(changed, name, "SHOW max_connections") == [("150",)]
    finally:
        config.write_text(kept)
        render.refresh(shop)
        assert up(shop, Quiet(), lambda _: True).health is Health.HEALTHY


def test_the_primary_is_asked_for_before_it_is_restarted_even_where_it_hangs(shop: Cluster) -> None:
    old, _ = roles(shop)
    shop.runtime.pause(old)
    try:
        assert restart.is_primary(shop, old)
        with pytest.raises(Refused, match=f"{old} does not run: it is paused"):
            restart.one(shop, old, Quiet())
    finally:
        shop.runtime.resume(old)
    assert shop.runtime.state(old).state is State.RUNNING
