"""Who may read where: a client's own writes, transactions, pinned connections, Django's own tests."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.django.serving import REPOSITORY, served, urls


@contextmanager
def replay_paused(cluster: Cluster, standby: str) -> Iterator[None]:
    support.sql(cluster, standby, "SELECT pg_wal_replay_pause()")
    paused = "SELECT 1 WHERE pg_get_wal_replay_pause_state() = 'paused'"
    wait_until(lambda: support.sql(cluster, standby, paused), deadline=20, waiting_for="replay to pause")
    try:
        yield
    finally:
        support.sql(cluster, standby, "SELECT pg_wal_replay_resume()")


def test_reads_and_writes_find_their_servers(plain: Cluster) -> None:
    old, standby = support.primary_of(plain), support.standby_of(plain)
    for asgi in (False, True):
        with served(plain, asgi=asgi) as site:
            browser = site.browser()
            assert browser.get("/").json["node"] == old
            assert browser.get("/async").json["node"] == old
            for path in ("/report", "/class-report", "/async-report"):
                assert browser.get(path).json["node"] == standby, path
            found = browser.get("/both").json
            assert found == {"with": standby, "atomic": old, "queryset": standby, "plain": old}
            assert browser.post("/add").status == 200
            assert browser.post("/add-atomic").status == 200
    with served(plain, settings={"HAOP_REPLICA_APPS": ["trial"]}) as site:
        assert site.browser().get("/").json["node"] == standby, "the setting for whole apps"


def test_a_client_reads_its_own_writes(plain: Cluster) -> None:
    """The standby replays nothing for a while: who wrote reads from the primary, everybody else from the standby."""
    old, standby = support.primary_of(plain), support.standby_of(plain)
    with served(plain) as site:
        writer, other = site.browser(), site.browser()
        before = other.get("/report").json
        assert before["node"] == standby
        with replay_paused(plain, standby):
            added = writer.post("/add").json
            assert added["seen"] is True, "in the request that wrote, too"
            assert "haop_written" in writer.cookies
            for _ in range(3):
                assert writer.get("/report").json == {"count": before["count"] + 1, "last": added["id"], "node": old}
            assert writer.get("/async-report").json["node"] == old
            assert other.get("/report").json == before
            in_transaction = site.browser()
            in_transaction.post("/add-atomic")
            assert in_transaction.get("/report").json["node"] == old
        wait_until(lambda: writer.get("/report").json["node"] == standby, deadline=20, waiting_for="the standby's turn")
        assert writer.get("/report").json["count"] == before["count"] + 2
        assert "haop_written" not in writer.cookies


def test_a_forged_token_is_not_believed(plain: Cluster) -> None:
    with served(plain) as site:
        browser = site.browser()
        for value in ("FFFFFFFF/0", "FFFFFFFF/0:1abc:xyz", "%27%20OR%201", "", "x" * 3000):
            browser.cookies = {"haop_written": value}
            answer = browser.get("/report")
            assert (answer.status, answer.json["node"]) == (200, support.standby_of(plain))


def test_reads_without_a_primary_say_that_they_may_be_behind(plain: Cluster) -> None:
    old, standby = support.primary_of(plain), support.standby_of(plain)
    with served(plain) as site:
        writer = site.browser()
        with replay_paused(plain, standby):
            writer.post("/add")
            plain.runtime.kill(old)
            answer = writer.get("/").json
            assert (answer["node"], answer["read_only"], answer["stale"]) == (standby, True, True)
            assert site.browser().get("/").json["stale"] is False, "who wrote nothing misses nothing of its own"


def test_a_connection_that_answers_read_only_is_replaced_and_the_write_sent_again(plain: Cluster) -> None:
    """As a pooler in between, or a node that was demoted, would answer: SQLSTATE 25006."""
    with served(plain, threads=1) as site:
        pinned = site.browser().get("/pin").json["default"]
        added = site.browser().post("/add")
        assert added.status == 200
        assert site.browser().get("/raw").json["default"][1] != pinned[1], "another connection"
        site.browser().get("/pin")
        answer = site.browser().post("/add-atomic", Accept="application/json")
        assert answer.status == 503, "a transaction is not repeated"
        assert site.browser().post("/add-atomic").status == 200, "and its connection is not used again"


def test_connections_that_an_operator_ends_are_replaced_unnoticed(plain: Cluster) -> None:
    """SQLSTATE 57P01 waits on an idle connection: nothing has been sent, so that writes are safe, too."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'"
    with served(plain, threads=2) as site:
        for _ in range(5):
            assert site.browser().post("/add").status == 200
            for node in ("db1", "db2"):
                support.sql(plain, node, end)
            assert site.browser().post("/add").status == 200
            assert site.browser().get("/report").status == 200
        assert site.said("cannot be reached") == []


def test_the_primary_full_of_clients_is_no_outage(plain: Cluster) -> None:
    """Too many connections is an error of the application's own making; the breaker stays closed."""
    primary = support.primary_of(plain)
    support.sql(plain, primary, "ALTER ROLE shop CONNECTION LIMIT 0")
    try:
        with served(plain) as site:
            assert site.browser().get("/", Accept="application/json").status in {200, 503}
            assert site.said("'default' cannot be reached") == []
            support.sql(plain, primary, "ALTER ROLE shop CONNECTION LIMIT -1")
            assert site.browser().post("/add").status == 200
    finally:
        support.sql(plain, primary, "ALTER ROLE shop CONNECTION LIMIT -1")


@pytest.mark.parametrize("suite", ["Cases", "Transactions"])
def test_the_applications_own_tests_run(plain: Cluster, suite: str) -> None:
    """Django's test runner: one database is made, the replica is its mirror, what is written is read there at once."""
    support.sql(
        plain, support.primary_of(plain), "ALTER ROLE shop CREATEDB; GRANT CONNECT ON DATABASE postgres TO shop"
    )
    argv = (sys.executable, "-W", "error", "-m", "django", "test", f"tests.django.trial.suite.{suite}", "--noinput")
    told = {**os.environ, **urls(plain), "DJANGO_SETTINGS_MODULE": "tests.django.trial.settings"}
    done = subprocess.run(argv, cwd=REPOSITORY, env=told, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stderr
