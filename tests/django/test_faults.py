"""A real application server on a real cluster, while servers are killed, stopped, hang, and come back."""

import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from haop.operations import maintenance, switchover
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.django.conftest import make_whole
from tests.django.load import clients
from tests.django.serving import Served, served

WAYS: dict[str, dict[str, Any]] = {
    "persistent": {},
    "new for each request": {"databases": {"CONN_MAX_AGE": 0}},
    "pool": {"databases": {"pool": {"min_size": 2, "max_size": 12}}},
    "asgi": {"asgi": True},
}


def rows(cluster: Cluster) -> set[object]:
    return {
        row[0] for row in support.sql(cluster, support.primary_of(cluster), "SELECT id FROM samples", database="shop")
    }


@pytest.mark.parametrize("way", WAYS)
def test_no_page_fails_when_the_primary_is_killed_and_writes_come_back(shop: Cluster, way: str) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    with served(shop, threads=10, **WAYS[way]) as site:
        with clients(site) as seen:
            begun = time.monotonic()
            shop.runtime.kill(old)
            seen.await_saved(since=begun)
            seen.await_read_from(new)
        assert seen.failed_reads() == []
        wait_until(lambda: site.said("'default' can be reached again"), deadline=20, waiting_for="the log to say so")
    assert {answer.status for _, answer in seen.writes} <= {200, 503}
    for _, answer in seen.writes:
        if answer.status == 503:
            assert answer.headers["Retry-After"] == "2"
            assert answer.json["error"] == "database unavailable"
    assert set(seen.saved()) <= rows(shop)
    assert len(site.said("'default' cannot be reached")) == 1
    assert len(site.said("'default' can be reached again")) == 1


@pytest.mark.parametrize("fault", ["stop", "pause"])
def test_no_page_fails_when_the_primary_is_stopped_or_hangs(shop: Cluster, fault: str) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    with served(shop, threads=10) as site:
        with clients(site) as seen:
            begun = time.monotonic()
            getattr(shop.runtime, fault)(old)
            seen.await_saved(since=begun)
            seen.await_read_from(new)
        assert seen.failed_reads() == []
    assert set(seen.saved()) <= rows(shop)


def test_a_failback_moves_writes_and_reports_without_a_restart(shop: Cluster) -> None:
    """The standby that was the primary serves reports again within seconds, though connections are kept."""
    old, new = support.primary_of(shop), support.standby_of(shop)
    with served(shop, threads=10) as site:
        with clients(site) as seen:
            for to, other in ((new, old), (old, new)):
                begun = time.monotonic()
                with maintenance.told(shop.project, "switchover"):  # else the guard, too, replaces what has stopped
                    switchover.execute(shop, switchover.plan(shop, to), support.Quiet(), lambda *_: None)
                seen.await_saved(since=begun)
                seen.await_read_from(to)
                await_reports_from(site, other)
        assert seen.failed_reads() == []
    assert set(seen.saved()) <= rows(shop)


def await_reports_from(site: Served, node: str) -> None:
    wait_until(lambda: site.browser().get("/report").json["node"] == node, deadline=60,
               waiting_for=f"reports to be answered by {node}")  # fmt: skip


def test_a_read_that_is_under_way_when_its_server_dies_is_asked_once_more(shop: Cluster) -> None:
    from concurrent.futures import ThreadPoolExecutor

    old, new = support.primary_of(shop), support.standby_of(shop)
    with served(shop) as site, ThreadPoolExecutor() as threads:
        under_way = threads.submit(site.browser().get, "/slow?seconds=1")
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        wait_until(
            lambda: support.sql(shop, old, sleeping) == [(1,)], deadline=20, waiting_for="the read to be under way"
        )
        shop.runtime.kill(old)
        answer = under_way.result()
    assert (answer.status, answer.json["node"]) == (200, new)


def test_a_server_that_hangs_costs_one_wait_and_not_one_a_request(plain: Cluster) -> None:
    """Nobody replaces it here: the application alone notices."""
    old, new = support.primary_of(plain), support.standby_of(plain)
    with served(plain, threads=8) as site:
        assert site.browser().get("/").json["node"] == old
        plain.runtime.pause(old)
        first = site.browser().get("/")
        assert (first.status, first.json["node"], first.json["read_only"]) == (200, new, True)
        assert first.seconds < 20
        begun = time.monotonic()
        for _ in range(20):
            assert site.browser().get("/").json["node"] == new
            assert site.browser().post("/add").status == 503
        assert time.monotonic() - begun < first.seconds + 5
        assert site.browser().get("/report").json["node"] == new
        assert_nobody_waits(site)
        plain.runtime.resume(old)
        wait_until(lambda: site.browser().post("/add").status == 200, deadline=30, waiting_for="pages to save again")
        assert site.browser().get("/").json["node"] == old


def assert_nobody_waits(site: Served) -> None:
    """Who asks after a server that hangs, in the background, keeps no other thread from working meanwhile."""
    pages = []
    for _ in range(40):
        pages.append(site.browser().get("/api/health/live").seconds)
        time.sleep(0.1)
    assert statistics.quantiles(pages, n=10)[-1] < 1


def test_a_long_statement_is_no_failure(plain: Cluster) -> None:
    with served(plain) as site:
        answer = site.browser().get("/slow?seconds=5")
        assert answer.status == 200
        assert site.said("cannot be reached") == []


def test_without_a_standby_the_primary_answers_all(plain: Cluster) -> None:
    old, standby = support.primary_of(plain), support.standby_of(plain)
    with served(plain) as site:
        assert site.browser().get("/report").json["node"] == standby
        plain.runtime.kill(standby)
        assert site.browser().get("/report").json["node"] == old
        assert site.browser().post("/add").status == 200
        health = site.browser().get("/api/health/")
        assert (health.status, health.json["status"]) == (200, "degraded")
        assert health.json["databases"] == {"default": "connected", "replica": "disconnected"}
        make_whole(plain)
        await_reports_from(site, standby)


def test_with_nobody_there_pages_say_so_and_come_back_by_themselves(plain: Cluster) -> None:
    with served(plain) as site:
        browser = site.browser()
        assert browser.get("/").status == 200
        support.crash(plain)
        page = browser.get("/", Accept="text/html")
        assert (page.status, page.headers["Retry-After"]) == (503, "2")
        assert b"The database cannot be reached" in page.body
        saved = browser.post("/add", Accept="application/json")
        assert (saved.status, saved.json["outcome"]) == (503, "not saved")
        health = browser.get("/api/health/")
        assert (health.status, health.json["status"]) == (503, "unavailable")
        assert browser.get("/api/health/live").status == 200
        assert browser.get("/api/health/ready").status == 503
        make_whole(plain)
        wait_until(lambda: browser.get("/").status == 200, deadline=30, waiting_for="pages to be answered again")
        wait_until(lambda: browser.post("/add").status == 200, deadline=30, waiting_for="pages to save again")


def test_failover_switched_off_leaves_reads_with_the_primary(plain: Cluster) -> None:
    with served(plain, environment={"DATABASE_FAILOVER": "false"}) as site:
        assert site.browser().get("/").status == 200
        plain.runtime.kill(support.primary_of(plain))
        assert site.browser().get("/").status == 503
        assert site.browser().get("/report").status == 200, "what asks for the standby has it"


def test_what_another_middleware_could_not_save_is_no_error_page(plain: Cluster) -> None:
    with served(plain) as site:
        assert site.browser().get("/?touch").status == 200
        plain.runtime.kill(support.primary_of(plain))
        answer = site.browser().get("/?touch")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


def reached(site: Served, path: str, folder: Path) -> Any:
    """Ask a page that waits at a place for the test; returns what will be its answer."""
    from concurrent.futures import ThreadPoolExecutor

    threads = ThreadPoolExecutor()
    answer = threads.submit(site.browser().ask, "POST", f"{path}?meet={folder}", {"Accept": "application/json"})
    wait_until((folder / "reached").exists, deadline=20, waiting_for="the page to get there")
    return answer


@pytest.mark.parametrize("fault", ["kill", "stop"])
def test_a_transaction_never_reads_from_another_server(shop: Cluster, folder: Path, fault: str) -> None:
    with served(shop) as site:
        answer = reached(site, "/atomic", folder)
        getattr(shop.runtime, fault)(old := support.primary_of(shop))
        wait_until(lambda: any(node.name != old for node in shop.engine.observe().primaries), deadline=60,
                   waiting_for="another primary")  # fmt: skip
        (folder / "go").touch()
        found = answer.result()
    assert found.status == 503
    assert "after" not in found.json


def test_what_reads_after_its_own_write_never_reads_from_another_server(shop: Cluster, folder: Path) -> None:
    with served(shop) as site:
        answer = reached(site, "/write-then-read", folder)
        shop.runtime.kill(support.primary_of(shop))
        (folder / "go").touch()
        found = answer.result()
    assert (found.status, found.json["outcome"]) == (503, "unknown")
