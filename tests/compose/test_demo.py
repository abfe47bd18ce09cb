"""The demo application as the `web` of a stack that names none: built, served, and up while its primary is not."""

import time
from collections.abc import Iterator

import pytest

from haop.drills.drill import FailoverDrill
from haop.drills.faults import Fault
from haop.operations import render
from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import require_compose
from tests.django.serving import Browser


@pytest.fixture(scope="module")
def shop() -> Iterator[Cluster]:
    require_compose()
    with support.folder() as folder:
        made = support.make_project(folder / "shop", runtime="compose", redis=True, guard=True)
        port = max(node.port for node in made.project.spec.nodes) + 10
        with support.running(stacks.more_toml(made, f"\n[web]\nport = {port}\nlistens_on = 8000\n")) as cluster:
            yield cluster
            image = stacks.inspect(cluster, "web")["Config"]["Image"]
        stacks.docker("image", "rm", image)


@pytest.fixture
def browser(shop: Cluster) -> Browser:
    web = shop.project.spec.web
    assert web
    made = Browser(f"http://127.0.0.1:{web.port}")
    wait_until(lambda: made.get("/").status == 200, deadline=120, waiting_for="the application to answer")
    return made


def test_it_is_built_from_what_haop_has(shop: Cluster, browser: Browser) -> None:
    health = browser.get("/api/health/").json
    assert (health["status"], health["redis"]) == ("healthy", "connected")
    assert {server["name"] for server in health["details"]["servers"]} == {"db1", "db2"}
    assert not render.compare(shop.project, shop.stack()).stale, "what was built is what haop renders"
    assert shop.secrets.database_password not in "".join(stacks.inspect(shop, "web")["Config"]["Env"])
    assert browser.get("/report/").status == 200
    wait_until(lambda: stacks.inspect(shop, "web")["State"]["Health"]["Status"] == "healthy", deadline=60,
               waiting_for="its health check")  # fmt: skip


@pytest.mark.parametrize("fault", ["kill", "cut"])
def test_no_page_fails_while_the_primary_is_replaced(shop: Cluster, browser: Browser, fault: str) -> None:
    """Killed; and with its network cut, so that nothing answers and nothing is refused."""
    old, new = support.primary_of(shop), support.standby_of(shop)
    assert browser.post("/api/beat/").json == {"node": old}
    seen = []
    getattr(support.containers(shop), fault)(old)
    until = time.monotonic() + 60
    while (answer := browser.post("/api/beat/", Accept="application/json")).status != 200:
        assert answer.status == 503
        assert time.monotonic() < until, "writes do not come back"
        seen.append(browser.get("/"))
    assert answer.json == {"node": new}
    seen += [browser.get(path) for path in ("/", "/report/", "/items/1/")]
    assert {page.status for page in seen} == {200}
    support.containers(shop).mend(old)
    wait_until(lambda: browser.get("/api/health/").json["status"] == "healthy", deadline=120, waiting_for="redundancy")


def test_a_drill_asks_for_its_pages_without_being_told(shop: Cluster, browser: Browser) -> None:
    report = FailoverDrill(shop, Fault.KILL, support.Quiet()).run()
    assert report.promoted_by == "guard"
    seen = report.application
    assert seen
    assert (seen.failed_reads, seen.read_recovery_seconds) == (0, 0.0)
    assert seen.write_recovery_seconds is not None
    assert seen.told in report.told
    wait_until(lambda: browser.get("/api/health/").json["status"] == "healthy", deadline=120, waiting_for="redundancy")
