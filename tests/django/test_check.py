"""`haop check --url`: an application that tells the truth, one that does not, and what is no application at all."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from haop.cli.app import app
from haop.operations import application
from haop.operations.cluster import Cluster
from tests import support
from tests.django.serving import await_status, served


def check(cluster: Cluster, url: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the row of the application."""
    done = CliRunner().invoke(app, ["-C", str(cluster.project.root), "check", "--json", "--url", url])
    (row,) = (row for row in json.loads(done.stdout)["checks"] if row["check"] == "application")
    return done.exit_code, row


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A fake, because a real application of ours does not lie, and answers in its own shape alone."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api/health/"
        finally:
            server.shutdown()


@pytest.mark.parametrize("details", [True, False])
def test_the_truth_is_ok(plain: Cluster, details: bool) -> None:
    with served(plain, settings={"HAOP_HEALTH_DETAILS": details}) as site:
        assert site.browser().post("/add").status == 200
        code, row = check(plain, f"{site.url}/api/health/")
        assert (code, row["outcome"]) == (0, "ok"), row
        assert row["evidence"] == "it says healthy, and so it is: default connected, replica connected"
        plain.runtime.kill(support.standby_of(plain))
        await_status(site, "degraded")  # its answer is good for a second
        code, row = check(plain, f"{site.url}/api/health/")
        assert row["outcome"] == "ok", row
        assert row["evidence"].startswith("it says degraded, and so it is")


def document(status: str, default: str, replica: str, **details: Any) -> bytes:
    told: dict[str, Any] = {"status": status, "databases": {"default": default, "replica": replica}}
    return json.dumps(told | ({"details": details} if details else {})).encode()


def test_what_is_not_so_is_a_difference(plain: Cluster) -> None:
    standby, primary = support.standby_of(plain), support.primary_of(plain)
    place = str(plain.runtime.endpoint(standby))
    pinned = {"default": {"connected_to": place}}
    lies = [
        (503, document("unavailable", "disconnected", "disconnected"), f"it cannot write, and {primary} is primary"),
        (200, document("degraded", "connected", "disconnected"), f"replica is disconnected, and {standby} can answer"),
        (503, document("unavailable", "connected", "connected"), f"{primary} is primary, and answers"),
        (200, document("healthy", "connected", "connected", routes=pinned, servers=[]),
         f"it is pinned: it writes through a connection to {standby}"),
        (200, document("healthy", "connected", "connected", servers=[{"host": place, "role": "primary"}]),
         f"it takes {standby} for a primary, which is standby"),
        (200, document("healthy", "connected", "connected", servers=[{"host": place, "role": "unknown"}]),
         f"it gets no answer of {standby}"),
    ]  # fmt: skip
    for status, body, says in lies:
        with answering(status, body) as url:
            code, row = check(plain, url)
            assert (code, row["outcome"]) == (3, "different"), row
            assert says in row["evidence"]
            assert row["hint"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>hello</html>"), (404, b"{}"), (200, b"[]"), (200, b'{"status": "fine"}'), (200, b"\xff\xfe"),
     (200, b'{"status": "healthy", "databases": 1}'), (200, b'{"status": [], "databases": {"default": "connected"}}'),
     (200, b'{"status": "healthy", "databases": {"default": "connected", "\\u001b[2J\\ud800": "x"}}'),
     (200, b"[" * 99_999)],
)  # fmt: skip
def test_what_is_no_health_endpoint_is_not_compared(plain: Cluster, status: int, body: bytes) -> None:
    with answering(status, body) as url:
        code, row = check(plain, url)
    assert (code, row["outcome"]) == (5, "not compared"), row
    assert "/api/health/" in row["hint"]


def test_nobody_there_is_not_compared(plain: Cluster) -> None:
    code, row = check(plain, f"http://127.0.0.1:{support.free_ports(1)}/api/health/")
    assert (code, row["outcome"]) == (5, "not compared")
    assert "Connection refused" in row["evidence"]


def test_an_answer_that_never_ends_is_waited_for_no_longer_than_any(
    plain: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is never late for a socket; a fake, as no server of ours does that."""
    monkeypatch.setattr(application, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            client, _ = listening.accept()
            with client, suppress(OSError):
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not ended.wait(0.2):
                    client.sendall(b" ")

        ended, dripping = threading.Event(), threading.Thread(target=drip)
        dripping.start()
        try:
            code, row = check(plain, f"http://127.0.0.1:{listening.getsockname()[1]}/")
        finally:
            ended.set()
            dripping.join()
    assert (code, row["outcome"]) == (5, "not compared")
    assert row["evidence"].endswith("no answer within 1 s")


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://host/x", "http://", "file:///etc/passwd", "http://a:b@h/", "http://h:80000/",
     "http://h:port/", "http://[::1/", "http://h/é", "http://h", "http://h/a b"],
)  # fmt: skip
def test_what_is_no_url_is_refused(plain: Cluster, url: str) -> None:
    done = CliRunner().invoke(app, ["-C", str(plain.project.root), "check", "--url", url])
    assert done.exit_code == 2
    assert "expected a URL such as" in done.stderr
