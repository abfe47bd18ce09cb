"""A server that is well and lets nobody work is told by every command alike, and by what it does to others."""

from collections.abc import Iterator

import pytest

from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault
from haop.errors import NoPrimary
from haop.model.health import Health
from haop.operations import status, switchover
from haop.operations.cluster import Cluster
from haop.operations.up import up
from tests import support
from tests.conftest import Haop
from tests.postgres.agreement import assert_all_agree
from tests.support import Quiet

READ_ONLY = [
    ("ALTER DATABASE shop SET default_transaction_read_only = on", "ALTER DATABASE shop RESET ALL"),
    ("ALTER ROLE shop SET default_transaction_read_only = on", "ALTER ROLE shop RESET ALL"),
]
REFUSED = [
    ("ALTER ROLE shop NOLOGIN", "ALTER ROLE shop LOGIN"),
    ("ALTER ROLE shop VALID UNTIL '2020-01-01'", "ALTER ROLE shop VALID UNTIL 'infinity'"),
    ("ALTER ROLE shop CONNECTION LIMIT 0", "ALTER ROLE shop CONNECTION LIMIT -1"),
    ("ALTER DATABASE shop CONNECTION LIMIT 0", "ALTER DATABASE shop CONNECTION LIMIT -1"),
]
# Of the role that standbys connect as; {} is its name.
HINDERED = [
    "ALTER ROLE {} VALID UNTIL '2020-01-01'", "ALTER ROLE {} CONNECTION LIMIT 0", "ALTER ROLE {} NOLOGIN",
    "ALTER ROLE {} NOREPLICATION",
]  # fmt: skip


@pytest.fixture
def shop(shared: Cluster) -> Iterator[Cluster]:
    assert up(shared, Quiet()).health is Health.HEALTHY
    yield shared
    assert up(shared, Quiet()).health is Health.HEALTHY


def codes(found: set[tuple[str, str, str | None]]) -> set[str]:
    return {code for code, severity, _ in found if severity != "info"}


def test_they_agree_where_all_is_well_and_where_a_node_is_away(shop: Cluster) -> None:
    assert codes(assert_all_agree(shop)) == set()
    standby, primary = support.standby_of(shop), support.primary_of(shop)
    shop.runtime.stop(standby)
    assert {"unreachable", "slot-inactive"} <= codes(assert_all_agree(shop))
    shop.runtime.stop(primary)
    assert {"unreachable", "no-primary"} <= codes(assert_all_agree(shop))


def test_an_application_that_cannot_write_or_connect_is_found_by_all(shop: Cluster, haop: Haop) -> None:
    primary, root = support.primary_of(shop), str(shop.project.root)
    for statements, code in ((READ_ONLY, "application-read-only"), (REFUSED, "application-refused")):
        for break_it, mend_it in statements:
            support.sql(shop, primary, break_it)
            try:
                assert {f.code for f in status.observe(shop).findings} >= {code}, break_it
                if (break_it, mend_it) == statements[0]:
                    assert codes(assert_all_agree(shop)) == {code}
                    assert haop("-C", root, "status").code == 3
                    assert haop("-C", root, "check").code == 3
                    with pytest.raises(NoPrimary, match="the drill was not run: shop cannot"):
                        FailoverDrill(shop, Fault.KILL, Quiet()).run()
                    switchover.plan(shop, None)  # the nodes are well
            finally:
                support.sql(shop, primary, mend_it)
            assert not {f.code for f in status.observe(shop).findings} & {code}


def test_a_role_of_haops_that_may_not_connect_is_found_and_up_frees_it(shop: Cluster) -> None:
    primary, standby = support.primary_of(shop), support.standby_of(shop)
    role = shop.secrets.replication_user
    for statement in HINDERED:
        support.sql(shop, primary, statement.format(role))
        assert {f.code for f in status.observe(shop).findings} >= {"role-hindered"}, statement
    assert "role-hindered" in codes(assert_all_agree(shop))
    shop.runtime.stop(standby)  # its next connection would be refused
    assert up(shop, Quiet()).health is Health.HEALTHY
    support.sql(shop, primary, f"ALTER ROLE {shop.secrets.monitor_user} NOLOGIN")
    support.sql(shop, primary, "ALTER ROLE postgres VALID UNTIL '2099-01-01'")
    assert len([f for f in status.observe(shop).findings if f.code == "role-hindered"]) == 2
    assert up(shop, Quiet()).health is Health.HEALTHY
    assert not support.sql(shop, primary, "SELECT 1 FROM pg_roles WHERE NOT rolcanlogin AND rolname !~ '^pg_'")
