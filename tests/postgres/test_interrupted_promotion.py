"""A promotion that is killed between PostgreSQL's own steps leaves a standby, not a primary of the old timeline."""

from collections.abc import Iterator

import pytest

from haop.errors import NoPrimary
from haop.model.health import Health
from haop.operations import failover
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet

# What is on the disk between steps of StartupXLOG: up to version 15 the signal is taken away first, since then last.
NO_SIGNAL = 'rm "$PGDATA/standby.signal"'
BEGUN = f"""
    cp -p "$PGDATA/pg_wal/{{segment}}" "$PGDATA/pg_wal/{{new}}{{rest}}"
    cat "$PGDATA/pg_wal/{{was}}.history" >"$PGDATA/pg_wal/{{new}}.history" 2>/dev/null || true
    printf '{{old}}\\t{{at}}\\tno recovery target specified\\n' >>"$PGDATA/pg_wal/{{new}}.history"
    {NO_SIGNAL}
"""


def quiet(event: str, node: str) -> None:
    pass


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    assert up(shared, Quiet()).health is Health.HEALTHY
    yield shared
    up(shared, Quiet())
    support.sql(shared, support.primary_of(shared), "DROP TABLE IF EXISTS paid")


def timeline(cluster: Cluster, node: str) -> int:
    (found,) = (each for each in cluster.engine.observe().reachable if each.name == node)
    return found.server.timeline


@pytest.mark.parametrize("script", [NO_SIGNAL, BEGUN], ids=["before its timeline has begun", "after"])
@pytest.mark.parametrize("recorded", [True, False], ids=["by haop", "by hand"])
def test_who_was_killed_while_it_was_promoted_is_promoted_again(shop: Cluster, script: str, recorded: bool) -> None:
    old, standby = support.primary_of(shop), support.standby_of(shop)
    before = timeline(shop, old)
    support.sql(shop, old, "CREATE TABLE paid AS SELECT 1 AS id")
    there = "SELECT 1 WHERE to_regclass('paid') IS NOT NULL"
    wait_until(lambda: support.sql(shop, standby, there), deadline=60, waiting_for=f"{standby} to replay")
    shop.runtime.fence(old)
    ((at, segment),) = support.sql(
        shop, standby,
        "SELECT pg_last_wal_replay_lsn()::text, max(name) FROM pg_ls_waldir() "
        f"WHERE name LIKE '{before:08X}%' AND length(name) = 24",
    )  # fmt: skip
    assert isinstance(segment, str)
    if recorded:
        shop.engine.timelines.note(before + 1, standby)
    shop.runtime.kill(standby)
    was, new = f"{before:08X}", f"{before + 1:08X}"
    values = {"segment": segment, "rest": segment[8:], "was": was, "new": new, "old": before, "at": at}
    support.by_hand(shop, standby, script.format(**values))
    # Where it had begun its timeline it may have accepted something, for all that anybody can tell from outside.
    assert shop.engine.is_standby(standby) is (recorded and script == NO_SIGNAL)
    with pytest.raises(NoPrimary) as told:
        up(shop, Quiet())
    assert "haop failover" in (told.value.hint or "")
    wait_until(lambda: shop.engine.observe().standbys, deadline=60, waiting_for=f"{standby} to be a standby")
    assert failover.execute(shop, None, quiet).node == standby
    assert support.sql(shop, standby, "SELECT id FROM paid") == [(1,)]
    assert timeline(shop, standby) > before
    assert shop.engine.timelines.promoting() is None
    assert up(shop, Quiet()).health is Health.HEALTHY
