"""The demo application beside a cluster of local processes: started, asked while something breaks, ended."""

import http.client
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from haop import tailing
from haop.errors import DeadlineExceeded, HaopError, Refused
from haop.operations import dsn
from haop.operations.choosing import free_ports
from haop.operations.cluster import Cluster
from haop.process import run, spawn
from haop.runtimes import processes
from haop.waiting import wait_until

_NEEDS = ("django", "gunicorn", "redis")
_HOST, _FIRST_PORT = "127.0.0.1", 8000
_LIVE, _LIST = "/api/health/live", "/"
_START_SECONDS, _END_SECONDS, _ANSWER_SECONDS = 30.0, 15.0, 10.0
_PACE_SECONDS = 0.05  # a drill's own clients need the machine, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The application at work."""

    port: int
    pid: int
    process: str | None  # tells it from all that ever had its number
    log: Path

    @property
    def url(self) -> str:
        """Of its first page."""
        return f"http://{_HOST}:{self.port}/"


@dataclass(slots=True)
class Pages:
    """What a reader of the list page was answered."""

    asked: int = 0
    failed: int = 0
    slowest_seconds: float = 0.0
    problem: str | None = None  # of the first that failed


def require() -> None:
    """It can be started here.

    Raises:
        Refused: what it needs is not installed.
    """
    if missing := [name for name in _NEEDS if not find_spec(name)]:
        raise Refused(f"the demo application needs {' and '.join(missing)}, not installed beside haop",
                      hint='pip install "haop[django]" gunicorn redis')  # fmt: skip


def prepare(cluster: Cluster) -> None:
    """Its tables and its first items; where they are, nothing changes."""
    folder = _folder(cluster)
    folder.mkdir(mode=0o700, exist_ok=True)
    _told(cluster).touch(mode=0o600)
    _told(cluster).write_text(
        dsn.libpq(dsn.target(cluster, read=False, network=False, show_password=True)), encoding="utf-8"
    )
    for command in (("migrate", "--noinput", "--verbosity", "0"), ("seed",)):
        run((sys.executable, "manage.py", *command), environment=_environment(cluster), cwd=_application())


def start(cluster: Cluster) -> Site:
    """On a free port of this machine, for this machine alone; returns once it answers.

    Raises:
        HaopError: it ended at once, or does not answer.
    """
    port, log = free_ports(1, _FIRST_PORT), _folder(cluster) / "log"
    environment = {**_environment(cluster), "HOST": _HOST, "PORT": str(port)}
    argv = (sys.executable, "-m", "gunicorn", "laboratory.wsgi")
    pid = spawn(argv, log=log, environment=environment, cwd=_application())
    site = Site(port=port, pid=pid, process=processes.identity(pid), log=log)
    try:
        wait_until(lambda: _answers(site), deadline=_START_SECONDS, pause=0.05, waiting_for="the application to answer")
    except BaseException as error:
        end(site)
        if isinstance(error, DeadlineExceeded):
            raise HaopError(f"{error.message}; its last words: {_last_words(log)}") from None
        raise
    return site


@contextmanager
def asked(site: Site) -> Iterator[Pages]:
    """Somebody reads the list of items all the time."""
    pages, stop = Pages(), threading.Event()

    def read() -> None:
        while not stop.wait(_PACE_SECONDS):
            begun = time.monotonic()
            problem = _problem(site, _LIST)
            pages.slowest_seconds = max(pages.slowest_seconds, time.monotonic() - begun)
            pages.asked += 1
            if problem:
                pages.failed += 1
                pages.problem = pages.problem or problem

    reader = threading.Thread(target=read, name="haop-demo-reader", daemon=True)
    reader.start()
    try:
        yield pages
    finally:
        stop.set()
        reader.join()


def end(site: Site) -> None:
    """End it, once it has answered what it was asked."""
    processes.signal_to(site.pid, site.process, signal.SIGTERM)
    try:
        _await_end(site)
    except DeadlineExceeded:
        processes.signal_to(site.pid, site.process, signal.SIGKILL)  # its workers notice, and end
        _await_end(site)


def _await_end(site: Site) -> None:
    wait_until(lambda: not processes.lives(site.pid, site.process), deadline=_END_SECONDS,
               waiting_for=f"the application (process {site.pid}) to end")  # fmt: skip


def _folder(cluster: Cluster) -> Path:
    return cluster.project.state / "web"


def _told(cluster: Cluster) -> Path:
    """The file that tells it where its database is, password and all."""
    return _folder(cluster) / "database_url"


def _application() -> Path:
    from haop.rendering import demo_folder  # noqa: PLC0415 - it imports jinja2

    return demo_folder()


def _environment(cluster: Cluster) -> Mapping[str, str]:
    """Nothing in it is secret, and what is installed is not written to."""
    kit = Path(__file__).parents[2]  # where this very haop is
    return {"DATABASE_URL_FILE": str(_told(cluster)), "PYTHONPATH": str(kit), "PYTHONDONTWRITEBYTECODE": "1"}


def _answers(site: Site) -> bool:
    if not processes.lives(site.pid, site.process):
        raise HaopError(f"the application ended at once: {_last_words(site.log)}")
    return _problem(site, _LIVE) is None


def _problem(site: Site, path: str) -> str | None:
    """Why the page is none; None: it is there. No proxy is asked, whatever the environment says."""
    connection = http.client.HTTPConnection(_HOST, site.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"status {answer.status}"


def _last_words(log: Path) -> str:
    if not log.exists():
        return "it said nothing"
    with log.open("rb") as file:
        lines = [*islice(tailing.newest_first(file), 3)]
    return " / ".join(line.decode(errors="replace").strip() for line in reversed(lines)) or "it said nothing"
