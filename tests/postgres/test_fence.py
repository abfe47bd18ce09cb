"""A fence is enforced: fenced data refuse to start, what serves them all the same is ended, and nobody follows it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pytest

from haop.engines import fences, switching
from haop.errors import HaopError, NoPrimary
from haop.model.health import Health
from haop.operations import failover, rejoin, status
from haop.operations.check import check
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.runtimes import processes
from haop.waiting import wait_until
from tests import support
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet

_NOTE, _CONF = PurePosixPath("FENCED.txt"), PurePosixPath("postgresql.auto.conf")
# What a tired operator types. Server and log end up where nothing of haop looks.
_START = 'pg_ctl -D "$PGDATA" start -w -t 20 -o "-c listen_addresses= -c unix_socket_directories=" -l "$PGDATA.log"'


def quiet(event: str, node: str) -> None:
    pass


@contextmanager
def served_by_hand(cluster: Cluster, node: str) -> Iterator[None]:
    with support.started_by_hand(cluster, node):
        try:
            wait_until(lambda: cluster.runtime.state(node).intruder, deadline=60, waiting_for=f"{node} by hand")
        except HaopError as error:
            told = support.by_hand(cluster, node, 'cat "$PGDATA.log" || true')
            raise AssertionError(told) from error
        yield


@pytest.fixture
def fenced(shop: Cluster) -> Iterator[tuple[Cluster, str, str]]:
    """A cluster that has failed over, the fenced node, and who is primary since; healthy again afterwards."""
    old = support.primary_of(shop)
    support.sql(shop, old, "ALTER SYSTEM SET work_mem = '5MB'")
    shop.runtime.kill(old)
    new = failover.execute(shop, None, quiet).node
    yield shop, old, new
    assert up(shop, Quiet()).health is Health.HEALTHY
    for node in (old, new):
        conf = (shop.runtime.read(node, _CONF) or b"").decode()
        assert "FENCED" not in conf
        assert not shop.runtime.holds(node, _NOTE)


@pytest.fixture
def shop(shared: Cluster) -> Cluster:
    assert up(shared, Quiet()).health is Health.HEALTHY
    return shared


def test_postgresql_itself_refuses_fenced_data_and_names_the_way_out(fenced: tuple[Cluster, str, str]) -> None:
    cluster, old, _ = fenced
    support.by_hand(cluster, old, 'rm -f "$PGDATA/postmaster.pid"')
    told = support.by_hand(cluster, old, f'{_START} >/dev/null 2>&1 && exit 9; cat "$PGDATA.log"; rm "$PGDATA.log"')
    assert "FENCED by haop: another node is or may be primary; read FENCED.txt, or" in told
    assert f"haop rejoin {old}" in told
    alone = support.by_hand(cluster, old, 'echo | postgres --single -D "$PGDATA" postgres 2>&1 || echo no')
    assert f"haop rejoin {old}" in alone
    assert alone.endswith("no\n")
    note = (cluster.runtime.read(old, _NOTE) or b"").decode()
    assert f"haop rejoin {old} " in note
    assert ".fence" in note
    assert "work_mem = '5MB'" in (cluster.runtime.read(old, _CONF) or b"").decode(), "settings survive"
    assert not cluster.runtime.enforce(old), "nothing serves it, and what is sealed is sealed once"
    assert (cluster.runtime.read(old, _CONF) or b"").count(b"FENCED by haop") == 1
    rejoin.execute(cluster, old, quiet)


def test_what_serves_fenced_data_is_reported_by_all_and_ended_by_rejoin(fenced: tuple[Cluster, str, str]) -> None:
    cluster, old, new = fenced
    with served_by_hand(cluster, old):
        found = status.observe(cluster)
        assert found.health is Health.TWO_PRIMARIES
        finding = next(each for each in found.findings if each.code == "fence-broken")
        assert (finding.node, finding.severity) == (old, "error")
        assert re.search(rf"{old} is fenced, and .*: (process|container) ", finding.message)
        assert found.status.primary
        assert found.status.primary.name == new
        with pytest.raises(NoPrimary, match=f"{old} is fenced, and (process|container) .* serves its data"):
            check(cluster, Quiet(), contents=False)
        assert ("fence-broken", "error", old) in assert_all_agree(cluster)
        assert status.observe(cluster).status.breached, "nobody who only looks has ended it"
        rejoin.execute(cluster, old, quiet)
        assert not status.observe(cluster).status.breached
        assert cluster.engine.observe().streams(old)


def test_who_is_primary_again_has_no_seal_and_the_settings_that_it_had(shop: Cluster) -> None:
    old = support.primary_of(shop)
    support.sql(shop, old, "ALTER SYSTEM SET work_mem = '6MB'")
    shop.runtime.fence(old)
    assert shop.runtime.holds(old, _NOTE)
    switching.reinstate(shop.engine, old)
    assert support.sql(shop, old, "SHOW work_mem") == [("6MB",)]
    assert not shop.runtime.holds(old, _NOTE)
    assert b"FENCED" not in (shop.runtime.read(old, _CONF) or b"")


def test_a_failover_promotes_nobody_while_a_fenced_node_runs_and_it_and_up_end_that(shop: Cluster) -> None:
    """It was fenced, nobody was promoted yet, and somebody starts it."""
    old = support.primary_of(shop)
    shop.runtime.fence(old)
    other = next(node.name for node in shop.project.spec.nodes if node.name != old)
    with served_by_hand(shop, old):
        with pytest.raises(HaopError, match=f"nothing is promoted: {old} was fenced, and somebody started it again"):
            fences.require(shop.runtime, shop.project.spec, other)
        assert not status.observe(shop).status.breached
    with served_by_hand(shop, old):
        assert failover.execute(shop, None, quiet).node == other
        assert not status.observe(shop).status.breached
    with served_by_hand(shop, old):
        up(shop, Quiet())
        assert not status.observe(shop).status.breached
    assert up(shop, Quiet()).health is Health.HEALTHY


def serving(cluster: Cluster, node: str) -> object:
    """What serves its data, whatever its marker says."""
    if cluster.project.spec.runtime == "local":
        return processes.server_in(support.local(cluster)._folders.data(node))
    return support.containers(cluster)._containers.servers(node)


@pytest.mark.parametrize("word", ["rewinding", "stranded"])
def test_what_serves_data_that_only_a_clone_can_replace_is_ended(shop: Cluster, word: str) -> None:
    """An interrupted pg_rewind has taken the primary's settings over, which have no seal: PostgreSQL would start."""
    old = support.primary_of(shop)
    shop.runtime.fence(old)
    support.by_hand(shop, old, f'echo {word} >"$PGDATA.fence"; echo "{word}: why" >"$PGDATA.fence.why"')
    with served_by_hand(shop, old):
        found = status.observe(shop)
        assert ("fence-broken", old) in {(each.code, each.node) for each in found.findings}
        shop.runtime.enforce(old)
        assert not serving(shop, old)
    assert b"FENCED by haop" in (shop.runtime.read(old, _CONF) or b""), "and sealed again"
    support.by_hand(shop, old, 'echo fenced >"$PGDATA.fence"')
    switching.reinstate(shop.engine, old)
