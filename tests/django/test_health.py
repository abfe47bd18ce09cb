"""The health endpoint: its shape, its deadline, what it tells strangers, and that nothing sent to it breaks it."""

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import REQUIRED
from tests.django.conftest import make_whole
from tests.django.serving import Served, await_status, served

WORD = {"enum": ["connected", "disconnected"]}
SERVER = {
    "type": "object", "additionalProperties": False,
    "required": ["host", "role", "name", "timeline", "position", "lag_bytes", "lag_seconds", "latency_ms", "error"],
    "properties": {
        "host": {"type": "string"}, "role": {"enum": ["primary", "standby", "unknown"]},
        "name": {"type": ["string", "null"]}, "timeline": {"type": ["integer", "null"], "minimum": 1},
        "position": {"type": ["integer", "null"]}, "lag_bytes": {"type": ["integer", "null"], "minimum": 0},
        "lag_seconds": {"type": ["number", "null"], "minimum": 0},
        "latency_ms": {"type": ["number", "null"], "minimum": 0}, "error": {"type": ["string", "null"]},
    },
}  # fmt: skip
ROUTE = {
    "type": "object", "additionalProperties": False, "required": ["connected_to", "down_for_seconds", "shunned"],
    "properties": {"connected_to": {"type": ["string", "null"]}, "down_for_seconds": {"type": ["number", "null"]},
                   "shunned": {"type": "array", "items": {"type": "string"}}},
}  # fmt: skip
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["status", "databases"],
    "properties": {
        "status": {"enum": ["healthy", "degraded", "unavailable"]},
        "databases": {"type": "object", "additionalProperties": False, "required": ["default", "replica"],
                      "properties": {"default": WORD, "replica": WORD}},
        "redis": WORD,
        "details": {"type": "object", "additionalProperties": False, "required": ["servers", "routes"],
                    "properties": {"servers": {"type": "array", "items": SERVER},
                                   "routes": {"type": "object", "additionalProperties": ROUTE}}},
    },
}  # fmt: skip
CODES = {"healthy": 200, "degraded": 200, "unavailable": 503}


@pytest.fixture(scope="module")
def open_site(unguarded: Cluster) -> Iterator[Served]:
    """Everybody may see details."""
    with served(unguarded, settings={"HAOP_HEALTH_DETAILS": True}) as site:
        yield site


@pytest.fixture(scope="module")
def closed_site(unguarded: Cluster) -> Iterator[Served]:
    """As it is unless somebody is allowed."""
    with served(unguarded) as site:
        yield site


def test_its_shape_in_every_state(plain: Cluster, open_site: Served, closed_site: Served) -> None:
    primary, standby = support.primary_of(plain), support.standby_of(plain)

    def look(expected: str, default: str, replica: str) -> None:
        for site in (open_site, closed_site):
            await_status(site, expected)
            found = site.browser().get("/api/health/")
            jsonschema.validate(found.json, SCHEMA)
            assert found.status == CODES[expected]
            assert found.json["databases"] == {"default": default, "replica": replica}
            assert ("details" in found.json) == (site is open_site)
            assert found.headers["Cache-Control"].startswith("max-age=0")

    look("healthy", "connected", "connected")
    servers = {server["name"]: server for server in open_site.browser().get("/api/health/").json["details"]["servers"]}
    assert {name: server["role"] for name, server in servers.items()} == {primary: "primary", standby: "standby"}
    assert servers[primary]["timeline"] == servers[standby]["timeline"]
    assert servers[standby]["lag_seconds"] is not None
    plain.runtime.kill(standby)
    look("degraded", "connected", "disconnected")
    plain.runtime.kill(primary)
    look("unavailable", "disconnected", "disconnected")
    make_whole(plain)
    look("healthy", "connected", "connected")
    plain.runtime.kill(support.primary_of(plain))
    look("degraded", "disconnected", "connected")


def test_it_answers_within_its_deadline_while_a_server_hangs(plain: Cluster, open_site: Served) -> None:
    """Many at once, too: they share one look."""
    plain.runtime.pause(support.primary_of(plain))
    begun = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: open_site.browser().get("/api/health/"), range(20)))
    assert time.monotonic() - begun < 20
    assert {(answer.status, answer.json["status"]) for answer in answers} == {(200, "degraded")}
    unknown = [server for server in answers[0].json["details"]["servers"] if server["role"] == "unknown"]
    assert len(unknown) == 1
    assert unknown[0]["error"]
    begun = time.monotonic()
    assert open_site.browser().get("/api/health/live").json == {"status": "alive"}
    assert time.monotonic() - begun < 1.5


def test_a_stranger_learns_nothing(plain: Cluster, closed_site: Served) -> None:
    secrets = plain.secrets
    ports = [str(node.port) for node in plain.project.spec.nodes]
    words = ["127.0.0.1", "db1", "db2", "shop", *ports, secrets.database_password, "psycopg", "Traceback"]
    paths = ("", "live", "ready", "metrics", "?details=1", "?debug=true", "metrics?details=1")

    def answers() -> list[str]:
        told = []
        for path in paths:
            answer = closed_site.browser().get(
                f"/api/health/{path}", X_Forwarded_For="127.0.0.1", Authorization="Bearer x"
            )
            told.append(answer.body.decode() + json.dumps(dict(answer.headers)))
        return told

    seen = answers()
    plain.runtime.kill(support.primary_of(plain))
    time.sleep(1.1)  # an answer is good for a second
    seen += answers()
    plain.runtime.kill(support.standby_of(plain) if plain.engine.observe().standbys else "db2")
    time.sleep(1.1)
    seen += answers()
    assert "unavailable" in "".join(seen)
    for word in words:
        assert not [text for text in seen if word in text], word


def test_no_credential_is_told_to_anybody(plain: Cluster, open_site: Served) -> None:
    told = open_site.browser().get("/api/health/").body + open_site.browser().get("/api/health/metrics").body
    assert plain.secrets.database_password.encode() not in told
    assert b"haop_server_role" in told


def test_who_may_see_details_is_the_applications_choice(plain: Cluster) -> None:
    with served(plain, settings={"HAOP_HEALTH_DETAILS": "tests.django.trial.views.may_see"}) as site:
        assert "details" not in site.browser().get("/api/health/").json
        assert "details" in site.browser().get("/api/health/", X_Operator="yes").json


HOSTILE = some.text(some.characters(min_codepoint=1, max_codepoint=255), max_size=40)
TOKENS = some.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-", min_size=1, max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=some.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) | TOKENS,
    path=some.sampled_from(["", "live", "ready", "metrics", "live/", "../", "%00", "%ff"]) | HOSTILE,
    query=HOSTILE, headers=some.dictionaries(TOKENS | some.sampled_from(["Cookie", "Accept", "Host", "Content-Type",
    "X-Forwarded-Host", "Authorization"]), HOSTILE, max_size=4), body=some.binary(max_size=60),
)  # fmt: skip
def test_nothing_that_is_sent_to_it_is_an_error_of_ours(  # noqa: PLR0917 - hypothesis gives them by name
    closed_site: Served, method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    """A fuzz of the endpoint: any method, path, header and body; no answer is a 500, and no process ends."""
    place = urlsplit(closed_site.url)
    lines = [f"{method} /api/health/{_plain(path)}?{_plain(query)} HTTP/1.1", f"Host: {place.netloc}"]
    lines += [
        f"{key}: {_plain(value)}" for key, value in headers.items() if key.lower() not in {"host", "content-length"}
    ]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=20) as link:
        link.sendall("\r\n".join(lines).encode("latin-1") + body)
        answer = http.client.HTTPResponse(link, method=method)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionResetError):  # not even HTTP: closed without an answer
            return
        with answer:
            assert answer.status != 500, answer.read()


def _plain(text: str) -> str:
    """What can stand in a line of a request."""
    return "".join(c for c in text if c not in "\r\n\t \0")


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    if not (program := shutil.which("redis-server")):
        (pytest.fail if "redis" in REQUIRED else pytest.skip)("redis-server is not on this machine")
    port = support.free_ports(1)
    argv = (program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"redis://127.0.0.1:{port}/0", process
        finally:
            process.kill()


def test_redis_that_is_away_degrades_and_no_more(plain: Cluster, folder: Path) -> None:
    with redis_server(folder) as (url, process), served(plain, environment={"REDIS_URL": url}) as site:
        browser = site.browser()
        await_status(site, "healthy")
        assert browser.get("/api/health/").json["redis"] == "connected"
        process.kill()
        process.wait()
        await_status(site, "degraded")
        found = browser.get("/api/health/").json
        jsonschema.validate(found, SCHEMA)
        assert found["redis"] == "disconnected"
        assert browser.get("/").status == 200
        assert browser.post("/add").status == 200
