"""The guard holds fences: what serves the data of a fenced node is ended, paused or not."""

from haop.operations import failover, maintenance
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.guard.events import await_event


def quiet(event: str, node: str) -> None:
    pass


def test_what_serves_fenced_data_is_ended_by_a_paused_guard_as_well(shop: Cluster) -> None:
    old = support.primary_of(shop)
    maintenance.pause(shop.project, None, "a test")
    shop.runtime.kill(old)
    with maintenance.told(shop.project, "failover"):
        failover.execute(shop, None, quiet)
    with support.started_by_hand(shop, old):
        assert await_event(shop, "guard end intruder").startswith("it is fenced, and ")
        wait_until(lambda: not shop.runtime.state(old).intruder, deadline=20, waiting_for=f"{old} to be gone")
    assert shop.runtime.state(old).fenced, "paused, it does no more than that"
    maintenance.resume(shop.project)  # and then it brings the node back
