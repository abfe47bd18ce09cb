"""From what users of an application saw to figures and to a cause, as tables."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from haop.drills.application import Application, measure_pages
from haop.drills.ledger import Ledger, Page, Pinned
from haop.model.application import judge
from haop.model.checking import Outcome
from haop.model.endpoint import Endpoint
from haop.model.pages import usable
from haop.model.status import ClusterStatus, Reachable, Role
from tests.unit.test_decisions import NOW, up_node

OLD = ("127.0.0.1:5432", "db1:5432")
FAULT = 10.0


def page(begun: float, ended: float, status: int | None = 200, *, write: bool = True, said: str = "") -> Page:
    return Page(begun, ended, write, status, said)


def measured(pages: Sequence[Page], *, database: float | None = 0.4, pinned: Sequence[Pinned] = ()) -> Application:
    ledger = Ledger(pages=[*pages], pinned=[*pinned])
    found = measure_pages(ledger, fault_at=FAULT, database_seconds=database, old=OLD)
    assert found
    return found


def test_without_pages_there_are_no_figures() -> None:
    assert measure_pages(Ledger(), fault_at=FAULT, database_seconds=1.0, old=OLD) is None


@pytest.mark.parametrize(
    ("pages", "expected", "failed"),
    [
        ([page(9.9, 9.95), page(10.1, 10.2, 503), page(10.3, 10.4, 503), page(10.5, 10.6)], 0.6, 2),
        ([page(9.9, 9.95), page(10.1, 10.5)], 0.5, 0),  # it waited, and nothing failed
        ([page(9.9, 10.2, None), page(10.3, 10.4)], 0.4, 1),  # it was under way when the primary failed
        ([page(9.9, 9.95), page(10.1, 10.2, 500)], None, 1),
        ([page(10.1, 10.2, 503), page(10.3, 10.4), page(10.5, 10.6, 503), page(10.7, 10.8)], 0.8, 2),
        ([page(9.0, 9.1, 500), page(9.9, 9.95), page(10.1, 10.2)], 0.2, 1),  # what failed before has another reason
    ],
)  # fmt: skip
def test_writes_are_back_with_the_first_that_lasts(pages: list[Page], expected: float | None, failed: int) -> None:
    found = measured(pages)
    assert found.write_recovery_seconds == (None if expected is None else pytest.approx(expected))
    assert found.failed_writes == failed
    assert found.told == f"application writes {'never' if expected is None else f'after {expected:.2f} s'}"


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([page(9.9, 9.95, write=False), page(10.1, 10.2, write=False)], 0.0),
        ([page(10.1, 10.2, 503, write=False), page(10.3, 10.4, write=False)], 0.4),
        ([page(9.9, 9.95, write=False)], None),
    ],
)
def test_reads_that_never_failed_were_never_away(pages: list[Page], expected: float | None) -> None:
    found = measured(pages)
    assert found.read_recovery_seconds == (None if expected is None else pytest.approx(expected))
    assert (found.writes, found.told) == (0, "")


def test_the_longest_gap_is_between_pages_that_were_served() -> None:
    pages = [page(9.9, 9.95), page(10.1, 10.2, 503), page(10.5, 10.6), page(10.7, 10.8)]
    assert measured(pages).longest_write_gap_seconds == pytest.approx(0.65)
    assert measured(pages[:2]).longest_write_gap_seconds is None
    assert measured([page(10.1, 10.2, write=False)]).longest_write_gap_seconds is None


LATE = [page(9.9, 9.95), page(10.1, 10.2, 500), page(12.0, 12.1)]


@pytest.mark.parametrize(
    ("pages", "database", "pinned", "expected"),
    [
        ([page(9.9, 9.95), page(10.6, 10.7)], 0.4, [], None),
        (LATE, None, [], None),  # the database itself was not back
        (LATE, 0.05, [Pinned(11.0, "db1:5432")], "its connections stay on the old primary"),
        (LATE, 0.05, [Pinned(9.5, "db1:5432"), Pinned(11.0, "db2:5432")], "unknown"),
        ([page(10.1, 11.0, 500, said="psycopg.errors.ReadOnlySqlTransaction: 25006"), page(12.0, 12.1)], 0.05, [],
         "its connections stay on a node that takes no writes (25006)"),
        ([page(10.1, 11.0, None, said='could not translate host name "db1"'), page(12.0, 12.1)], 0.05, [],
         "it cannot resolve the name of a node (DNS)"),
        ([page(10.1, 11.0, 500, said="psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec")], 0.05, [],
         "its pool gives out no connection that works"),
        (LATE, 0.05, [], "unknown"),
    ],
)  # fmt: skip
def test_an_application_that_lags_is_told_why(
    pages: list[Page], database: float | None, pinned: list[Pinned], expected: str | None
) -> None:
    cause = measured(pages, database=database, pinned=pinned).cause
    assert (cause is None) == (expected is None)
    assert not expected or (cause or "").startswith(expected), json.dumps(cause)


def at(name: str, role: Role, port: int) -> Reachable:
    return replace(up_node(name, role, 1, 10), endpoint=Endpoint("127.0.0.1", port))


PAIR = ClusterStatus((at("db1", Role.PRIMARY, 5432), at("db2", Role.STANDBY, 5433)), NOW)
ALONE = ClusterStatus(PAIR.nodes[:1], NOW)
BOTH = {"default": "connected", "replica": "connected"}
WRITES = {"default": "connected", "replica": "disconnected"}
OK, DIFFERENT, NOT_COMPARED = Outcome.OK, Outcome.DIFFERENT, Outcome.NOT_COMPARED


def said(status: object, databases: object, **more: object) -> dict[str, object]:
    return {"status": status, "databases": databases, **more}


def connected_to(place: str | None) -> dict[str, object]:
    return said("healthy", BOTH, details={"routes": {"default": {"connected_to": place}}})


@pytest.mark.parametrize(
    ("status", "told", "outcome", "says"),
    [
        (PAIR, said("healthy", BOTH), OK, "it says healthy, and so it is"),
        (PAIR, said("healthy", {"default": "connected"}), OK, "so it is: default connected"),
        (ALONE, said("degraded", WRITES), OK, "it says degraded, and so it is"),
        (ALONE, said("healthy", WRITES), DIFFERENT, "no standby answers"),
        (ALONE, said("healthy", BOTH), DIFFERENT, "no standby can answer"),
        (PAIR, said("unavailable", BOTH), DIFFERENT, "db1 is primary, and answers"),
        (PAIR, said("degraded", BOTH, redis="disconnected"), DIFFERENT, "Redis"),
        (PAIR, connected_to("127.0.0.1:5433"), DIFFERENT, "pinned: it writes through a connection to db2"),
        (PAIR, connected_to("db2:5432"), DIFFERENT, "pinned: it writes through a connection to db2"),
        (PAIR, connected_to("127.0.0.1:5432"), OK, "so it is"),
        (PAIR, connected_to(None), OK, "so it is"),
        (PAIR, said("healthy", BOTH, details={"servers": 1, "routes": []}), OK, "so it is"),
        (PAIR, said("healthy", BOTH, details={"servers": [{"host": "db1:5432", "role": [1]}, None]}), OK, "so it is"),
        (PAIR, said("healthy", {}), NOT_COMPARED, "something else"),
        (PAIR, said(["healthy"], BOTH), NOT_COMPARED, "something else"),
        (PAIR, said("healthy", BOTH | {"\x1b[2J": "connected"}), NOT_COMPARED, "something else"),
    ],
)
def test_what_an_application_says_beside_what_is_so(
    status: ClusterStatus, told: object, outcome: Outcome, says: str
) -> None:
    found = judge(told, status, 0.1)
    assert found.outcome is outcome, found
    assert says in found.evidence
    assert (found.hint is None) == (outcome is Outcome.OK)


@pytest.mark.parametrize(
    ("url", "path", "expected"),
    [
        ("http://127.0.0.1:8000", False, True), ("https://[::1]:8000", False, True), ("HTTP://shop.test", False, True),
        ("http://h:1/", False, False), ("http://h:1?", False, False), ("http://h:1#", False, False),
        ("http://h:1/health?x=1", True, True), ("http://h:1", True, False), ("http://:1/", True, False),
        ("http://h:0/", True, False), ("http://h:65536/", True, False), ("http://u@h/", True, False),
        ("http://h/\n", True, False), ("http://[h/", True, False), ("ftp://h/", True, False),
    ],
)  # fmt: skip
def test_a_url_that_can_be_asked(url: str, path: bool, expected: bool) -> None:
    assert usable(url, path=path) is expected
