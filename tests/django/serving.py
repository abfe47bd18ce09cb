"""A real application server for a test: gunicorn (WSGI) or uvicorn (ASGI) in a process of its own, real HTTP."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    """What a page answered; status 0: nothing did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Browser:
    """A client that keeps its cookies, unless told not to, and follows no redirect."""

    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    timeout: float = 30.0

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers)

    def post(self, path: str, **headers: str) -> Answer:
        return self.ask("POST", path, headers)

    def ask(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        told = {key.replace("_", "-"): value for key, value in headers.items()}
        if self.cookies:
            told["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=told)  # noqa: S310 - http
        begun = time.monotonic()
        try:
            try:
                answer = urllib.request.urlopen(request, timeout=self.timeout)  # noqa: S310
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                body, status, found = answer.read(), answer.status, answer.headers
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, {}, str(error).encode(), time.monotonic() - begun)
        for cookie in found.get_all("Set-Cookie") or ():
            key, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = value
        return Answer(status, dict(found), body, time.monotonic() - begun)


def urls(cluster: Cluster) -> dict[str, str]:
    """What an application on this machine is told of its cluster."""
    spec, authority = cluster.project.spec, cluster.project.state / "tls" / "ca.crt"
    hosts = ",".join(str(cluster.runtime.endpoint(node.name)) for node in spec.nodes)
    tls = f"?sslmode=verify-full&sslrootcert={quote(str(authority))}" if authority.exists() else ""
    password = quote(cluster.secrets.database_password, safe="")
    return {"DATABASE_URL": f"postgresql://{spec.owner}:{password}@{hosts}/{spec.database}{tls}"}


@dataclass
class Served:
    """An application at work."""

    url: str
    log: Path
    pid: int
    lines: list[str] | None = None  # of the log, once the server has ended

    def browser(self) -> Browser:
        return Browser(self.url)

    def said(self, what: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.lines is None else self.lines
        return [line for line in lines if what in line]


@contextmanager
def served(
    cluster: Cluster | None,
    *,
    threads: int = 4,
    asgi: bool = False,
    application: str = "tests.django.trial",
    folder: Path = REPOSITORY,
    environment: Mapping[str, str] | None = None,
    databases: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    live: str = "/api/health/live",
) -> Iterator[Served]:
    """The application, answering; its log is printed on failure, and its processes are gone afterwards."""
    port = support.free_ports(1)
    told = {key: value for key, value in os.environ.items() if not key.startswith(("DATABASE_", "DJANGO_", "REDIS_"))}
    told |= urls(cluster) if cluster else {}
    told |= {
        "DJANGO_SETTINGS_MODULE": f"{application}.settings", "PYTHONPATH": str(REPOSITORY),
        "TRIAL_DATABASES": json.dumps(databases or {}), "TRIAL_SETTINGS": json.dumps(settings or {}),
        **(environment or {}),
    }  # fmt: skip
    kind: tuple[str, ...] = ("uvicorn", f"{application}.asgi:application", "--port", str(port), "--no-access-log")
    if not asgi:
        kind = ("gunicorn", f"{application}.wsgi", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread",
                "--threads", str(threads), "--timeout", "60", "--graceful-timeout", "1",
                "--no-control-socket")  # fmt: skip
    with tempfile.NamedTemporaryFile(prefix="haop-test-site-", suffix=".log") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", *kind), cwd=folder, env=told, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        made = Served(f"http://127.0.0.1:{port}", Path(log.name), process.pid)
        try:
            wait_until(lambda: _answers(made, process, live), deadline=60, waiting_for="the application to answer")
            yield made
        except BaseException:
            print("--- application", *made.log.read_text().splitlines()[-60:], sep="\n")
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            made.lines = made.log.read_text().splitlines()


def _answers(made: Served, process: "subprocess.Popen[bytes]", path: str) -> bool:
    assert process.poll() is None, f"the application ended: {made.log.read_text()[-3000:]}"
    return made.browser().get(path).status == 200


def await_status(site: Served, expected: str) -> None:
    """The health endpoint says so; its answers are good for a second."""
    wait_until(lambda: site.browser().get("/api/health/").json["status"] == expected, deadline=20,
               waiting_for=f"{expected} to be told")  # fmt: skip
