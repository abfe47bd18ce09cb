"""A route's circuit breaker: what it asks of which host, when it is down, and what brings it back.

The opener is a fake: real servers cannot be made to refuse in a given order (tests/django has them).
"""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
import pytest

from haop.django import watch
from haop.django.routes import PREFER_STANDBY, READ_WRITE, ROUTES, Down, Refuses, Route, RouteDown
from haop.django.signals import database_state_changed
from haop.waiting import wait_until

HOSTS = (("db1", "5432"), ("db2", "5432"))
PRIMARY, STANDBY, GONE, FULL, LOCKED, HUNG = "primary", "standby", "gone", "full", "locked", "hung"
SAYS = {
    GONE: 'connection failed: connection to server at "db1" failed: Connection refused',
    FULL: "FATAL:  lo siento, ya tenemos demasiados clientes",
    LOCKED: 'FATAL:  password authentication failed for user "shop"',
}


@dataclass
class Link:
    host: str
    session: str

    def close(self) -> None:
        pass


@dataclass
class World:
    """Servers by name, and what was asked of them."""

    db1: str = PRIMARY
    db2: str = STANDBY
    asked: list[tuple[str, str]] = field(default_factory=list)

    def open(self, place: Mapping[str, str]) -> Link:
        host, session = place["host"], place["target_session_attrs"]
        self.asked.append((host, session))
        state = getattr(self, host)
        if state == HUNG:
            raise psycopg.errors.ConnectionTimeout("connection timeout expired")
        if state in SAYS:
            raise (psycopg.OperationalError if state == GONE else Refuses)(SAYS[state])
        if session == READ_WRITE and state == STANDBY:
            raise psycopg.OperationalError("connection failed: session is read-only")
        if session == "standby" and state == PRIMARY:
            raise psycopg.OperationalError("connection failed: server is not in hot standby mode")
        return Link(host, session)


def route(wants: str) -> tuple[Route, list[Down | None]]:
    """One of this test alone, that the background knows; and each change of it, None where it is back."""
    made = ROUTES.get(HOSTS, wants, object())
    told: list[Down | None] = []
    made.changed = lambda now, _: told.append(now)
    MADE.append(made)
    return made, told


MADE: list[Route] = []


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().forget()  # else the background would go on trying


def test_writes_go_to_the_primary_and_begin_where_it_was_last() -> None:
    world, (writes, told) = World(db1=STANDBY, db2=PRIMARY), route(READ_WRITE)
    assert writes.connect(world.open).host == "db2"
    assert writes.connect(world.open).host == "db2"
    assert world.asked == [("db1", READ_WRITE), ("db2", READ_WRITE), ("db2", READ_WRITE)]
    assert (told, writes.shunned) == ([], {})


@pytest.mark.parametrize(
    ("db1", "db2", "expected"),
    [(PRIMARY, STANDBY, "db2"), (STANDBY, PRIMARY, "db1"), (PRIMARY, GONE, "db1"), (GONE, PRIMARY, "db2")],
)
def test_reads_prefer_a_standby_and_take_the_primary(db1: str, db2: str, expected: str) -> None:
    world, (reads, told) = World(db1=db1, db2=db2), route(PREFER_STANDBY)
    assert reads.connect(world.open).host == expected
    assert told == []


def test_a_host_that_does_not_answer_is_asked_once() -> None:
    world, (writes, _) = World(db1=GONE, db2=PRIMARY), route(READ_WRITE)
    for _ in range(5):
        assert writes.connect(world.open).host == "db2"
    assert [host for host, session in world.asked if session == READ_WRITE].count("db1") == 1
    world.db1 = STANDBY
    wait_until(lambda: not writes.shunned, deadline=10, waiting_for="the background to reach it")


def test_connections_to_a_host_that_is_late_twice_are_of_no_use_until_it_answers() -> None:
    world, (writes, _) = World(db1=HUNG, db2=PRIMARY), route(READ_WRITE)
    assert writes.connect(world.open).host == "db2"
    wait_until(lambda: HOSTS[0] in ROUTES.hanging, deadline=10, waiting_for="it to be late once more")
    world.db1 = STANDBY
    wait_until(lambda: HOSTS[0] not in ROUTES.hanging, deadline=10, waiting_for="the background to reach it")


def test_who_is_shunned_is_asked_before_a_route_is_down() -> None:
    """It may have come back a moment ago."""
    world, (reads, told) = World(db1=PRIMARY, db2=GONE), route(PREFER_STANDBY)
    assert reads.connect(world.open).host == "db1"
    reads.reach_shunned = lambda: None  # type: ignore[method-assign]  # the background has not come to it
    world.db1, world.db2 = GONE, STANDBY
    assert reads.connect(world.open).host == "db2"
    assert (told, list(reads.shunned)) == ([], [0])


def test_without_a_primary_it_fails_at_once_and_comes_back_by_itself() -> None:
    world, (writes, told) = World(db1=GONE, db2=STANDBY), route(READ_WRITE)
    with pytest.raises(RouteDown, match=r"no primary: db1:5432: .*Connection refused; db2:5432: .*read-only"):
        writes.connect(world.open)
    before = len([session for _, session in world.asked if session == READ_WRITE])
    begun = time.monotonic()
    for _ in range(100):
        with pytest.raises(RouteDown):
            writes.connect(world.open)
    assert time.monotonic() - begun < 5, "no attempt is made"
    assert before == 2
    world.db2 = PRIMARY
    wait_until(lambda: writes.down is None, deadline=10, waiting_for="the background to find the primary")
    assert writes.connect(world.open).host == "db2"
    assert [bool(change) for change in told] == [True, False], "each change is told once"


@pytest.mark.parametrize("state", [FULL, LOCKED])
def test_a_server_that_refuses_this_client_is_no_outage(state: str) -> None:
    world, (writes, told) = World(db1=state, db2=STANDBY), route(READ_WRITE)
    with pytest.raises(psycopg.OperationalError) as refused:
        writes.connect(world.open)
    assert not isinstance(refused.value, RouteDown)
    assert (told, writes.down, writes.shunned) == ([], None, {})


def test_after_a_connection_was_lost_the_other_host_is_asked_first() -> None:
    world, (writes, _) = World(), route(READ_WRITE)
    assert writes.connect(world.open).host == "db1"
    writes.lost(("db1", "5432"))
    world.db1, world.db2 = GONE, PRIMARY
    world.asked.clear()
    assert writes.connect(world.open).host == "db2"
    assert world.asked == [("db2", READ_WRITE)]


def test_an_attempt_that_ends_after_a_better_one_says_nothing() -> None:
    """It began while nobody served; somebody else has been served meanwhile."""
    world, (writes, told) = World(db1=GONE, db2=STANDBY), route(READ_WRITE)

    def late(place: Mapping[str, str]) -> Link:
        if place["host"] == "db2" and world.db2 == STANDBY:
            world.db2 = PRIMARY
            assert writes.connect(world.open).host == "db2"
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return world.open(place)

    assert writes.connect(late).host == "db2"
    assert told == []


def test_many_threads_see_one_change() -> None:
    world, (writes, told) = World(db1=GONE, db2=GONE), route(READ_WRITE)

    def ask() -> None:
        with pytest.raises(psycopg.OperationalError):
            writes.connect(world.open)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 1
    world.db1 = PRIMARY
    wait_until(lambda: writes.down is None and not writes.shunned.get(0), deadline=10, waiting_for="it to come back")
    world.db2 = STANDBY
    wait_until(lambda: not writes.shunned, deadline=10, waiting_for="everybody to be reached")


def test_a_change_is_logged_once_and_sent_as_a_signal(caplog: pytest.LogCaptureFixture) -> None:
    world, (writes, _) = World(db1=GONE, db2=STANDBY), route(READ_WRITE)
    heard: list[dict[str, object]] = []

    def hear(sender: object, alias: str, **told: object) -> None:
        heard.append({"alias": alias, "up": told["up"], "seconds": told["seconds"]})

    watch.over("default", writes)
    database_state_changed.connect(hear)
    try:
        with caplog.at_level("INFO", logger="haop.django"):
            for _ in range(3):
                with pytest.raises(RouteDown):
                    writes.connect(world.open)
            world.db2 = PRIMARY
            wait_until(lambda: len(heard) == 2, deadline=10, waiting_for="both changes to be told")
    finally:
        database_state_changed.disconnect(hear)
    assert heard[0] == {"alias": "default", "up": False, "seconds": None}
    assert (heard[1]["up"], isinstance(heard[1]["seconds"], float)) == (True, True)
    told = [record for record in caplog.records if record.name == "haop.django"]
    assert [(record.levelname, vars(record)["alias"], vars(record)["up"]) for record in told] == [
        ("WARNING", "default", False), ("INFO", "default", True),
    ]  # fmt: skip
    assert "Connection refused" in vars(told[0])["reason"]
