"""A primary that has lost WAL which it had sent: its standby knows more, and must not follow as if nothing were."""

import pytest

from haop.errors import HaopError
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.operations import rebuild, rejoin, status
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.support import Quiet


def quiet(event: str, node: str) -> None:
    """A rejoin's events."""


def test_a_standby_that_is_ahead_of_its_primary_is_told_and_its_wal_is_kept(shared: Cluster) -> None:
    """PostgreSQL recovers to the damage, and says nothing."""
    old, standby = support.primary_of(shared), support.standby_of(shared)
    support.sql(shared, old, "CHECKPOINT")
    (begin,) = support.sql(shared, old, "SELECT pg_current_wal_lsn()::text")[0]
    support.sql(shared, old, "CREATE TABLE paid AS SELECT generate_series(1, 5000)")
    there = "SELECT 1 WHERE to_regclass('paid') IS NOT NULL"
    wait_until(lambda: support.sql(shared, standby, there), deadline=60, waiting_for=f"{standby} to replay")
    name = support.sql(shared, old, f"SELECT pg_walfile_name('{begin}')")[0][0]
    shared.runtime.stop(standby)
    shared.runtime.kill(old)
    at = Lsn.parse(str(begin)).position % 2**24 + 8192
    support.by_hand(
        shared,
        old,
        f'printf haop-test-damage | dd of="$PGDATA/pg_wal/{name}" bs=1 seek={at // 8192 * 8192} conv=notrunc',
    )
    shared.runtime.start(shared.engine.services()[old])
    wait_until(lambda: shared.engine.observe().primary, deadline=60, waiting_for=f"{old} to accept writes")
    shared.runtime.start(shared.engine.services()[standby])
    wait_until(
        lambda: f"{old} has lost WAL after" in shared.engine.last_decision(standby), deadline=60,
        waiting_for=f"{standby} to refuse",
    )  # fmt: skip
    if shared.project.spec.runtime == "compose":  # whose engine starts it again and again
        runs = lambda: shared.runtime.state(standby).state is State.RUNNING  # noqa: E731
        wait_until(runs, deadline=60, pause=0, waiting_for=f"{standby} to be started again")
    with pytest.raises(HaopError, match=f"haop rebuild {standby}") as stranded:
        rejoin.execute(shared, standby, quiet)
    assert stranded.value.hint == f"haop rebuild {standby}"
    found = next(finding for finding in status.observe(shared).findings if finding.node == standby)
    assert f"haop rebuild {standby}" in (found.hint or "")
    rebuild.execute(shared, standby, Quiet())
    (kept,) = (shared.project.state / "salvage").glob(f"{standby}-1-*")
    assert list(kept.glob("0*"))
    assert up(shared, Quiet()).health == "healthy"
