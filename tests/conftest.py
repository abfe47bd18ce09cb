"""What this machine has, the seed, repetition, and clusters to share."""

import gc
import os
import pwd
import random
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from haop.cli.app import app
from haop.errors import HaopError
from tests import support

# In the environment, so that tests which run beside each other have the same.
os.environ.pop("COLUMNS", None)  # what haop prints is as wide wherever tests run
SEED = int(os.environ.setdefault("SEED", str(random.SystemRandom().randrange(10**6))))
MAJORS = (15, 18)
RUNTIMES = ("local", "compose")
# Of a test that uses `runtime`: what it says can be said of processes alone; its comment gives the reason.
only_local = pytest.mark.parametrize("runtime", ["local"], indirect=True)
# Of containers alone: processes have no limits, and nothing stands beside them.
only_compose = pytest.mark.parametrize("runtime", ["compose"], indirect=True)
REQUIRED = set(filter(None, os.environ.get("HAOP_REQUIRE", "").split(",")))


def pytest_configure() -> None:
    """Who runs the tests in the background may ignore Ctrl-C and a closed terminal; every child would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> list[str]:
    here = support.available()
    lines = [f"haop: seed {SEED} (SEED={SEED} repeats it), PostgreSQL here: {', '.join(map(str, here)) or 'none'}"]
    lines += [f"haop: skipping what needs PostgreSQL {major}: it is not here" for major in MAJORS if major not in here]
    lacking = {f"postgres{major}" for major in MAJORS if major not in here}
    if reason := compose_lacks():
        lines.append(f"haop: skipping what needs Docker Compose: {reason}")
        lacking.add("compose")
    if reason := other_users_lack():
        lines.append(f"haop: skipping what another user runs: {reason}")
        lacking.add("other-users")
    if missing := lacking & REQUIRED:
        raise pytest.UsageError(f"HAOP_REQUIRE asks for {', '.join(sorted(missing))}, which this machine lacks")
    return lines


@pytest.hookimpl(optionalhook=True)  # of the plugin that runs tests beside each other
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests run one after the other: those that share a cluster, and those of commands that choose ports."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return Groups(config, log)


def group(nodeid: str) -> str:
    """The module with its runtime; of a test that is repeated on clusters of its own, every second one.

    >>> group("tests/cli/test_lock.py::test_a"), group("tests/drills/test_a.py::test_b[compose-kill-18]")
    ('tests/cli', 'tests/drills/test_a.py compose')
    """
    module, _, name = nodeid.partition("::")
    if module.startswith("tests/cli/"):
        return "tests/cli"
    runtime = re.search(r"[-\[](local|compose)[-\]]", name)
    turn = re.search(r"\[(\d+)\]$", name)
    return f"{module} {runtime[1] if runtime else int(turn[1]) % 2 if turn else ''}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.repeated(20)` runs 3 times, and 20 times with HAOP_SOAK=1."""
    if marker := metafunc.definition.get_closest_marker("repeated"):
        times = marker.args[0] if os.environ.get("HAOP_SOAK") else min(3, marker.args[0])
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    random.seed(SEED)


@cache
def compose_lacks() -> str | None:
    """Why containers cannot be run here; None where they can."""
    try:
        here = support.compose_images()
    except HaopError as problem:
        return problem.message
    wanted = [*(f"postgres:{major}" for major in MAJORS), "redis:7", "python:3.13-slim", "haop-test-web:latest"]
    missing = [image for image in wanted if image not in here]
    return f"no image {' and '.join(missing)} (.ci/docker makes them)" if missing else None


@cache
def other_users_lack() -> str | None:
    """Why no other user can run haop from here; None where one can."""
    if os.geteuid() != 0:
        return "only root can become another user"
    try:
        argv = (sys.executable, "-c", "import haop.project")
        done = subprocess.run(argv, cwd="/", capture_output=True, check=False, **as_nobody())
    except (OSError, LookupError) as problem:
        return f"nobody cannot run {sys.executable} ({problem})"
    return f"nobody cannot read {Path(__file__).parents[1]}" if done.returncode else None


def as_nobody() -> dict[str, Any]:
    """For `subprocess.run`."""
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@pytest.fixture
def other_user() -> dict[str, Any]:
    """What makes a process another user's, for `subprocess.run`; a skip, with its reason, where none can run haop."""
    if reason := other_users_lack():
        pytest.skip(reason)
    return as_nobody()


def require(major: int, runtime: str = "local") -> int:
    """That major version on that runtime, or a skip with its reason."""
    if runtime == "compose":
        require_compose()
    elif major not in support.available():
        pytest.skip(f"PostgreSQL {major} is not on this machine")
    return major


def require_compose() -> None:
    """Skip, with the reason, where containers cannot be run."""
    if reason := compose_lacks():
        pytest.skip(f"Docker Compose: {reason}")


@pytest.fixture(params=RUNTIMES, scope="session")
def runtime(request: pytest.FixtureRequest) -> str:
    """Both runtimes: what uses this holds on each."""
    if request.param == "compose":
        require_compose()
    return str(request.param)


@pytest.fixture(params=MAJORS, ids=lambda major: f"pg{major}")
def major(request: pytest.FixtureRequest) -> int:
    """The oldest and the newest version that haop supports."""
    runtime = request.getfixturevalue("runtime") if "runtime" in request.fixturenames else "local"
    return require(request.param, runtime)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that the servers' user can enter."""
    with support.folder() as path:
        yield path


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No Docker engine answers. The client's library forgets to close a socket that it could not connect."""
    warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)  # until pytest resets it, after this test
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    yield
    gc.collect()


Haop = Callable[..., support.Finished]


@pytest.fixture
def haop(folder: Path) -> Haop:
    """Runs a haop command in the test's folder, within this process: `haop("-C", "shop", "status")`."""

    def run(*arguments: str, answer: str | None = None) -> support.Finished:
        before = Path.cwd()
        os.chdir(folder)
        try:
            done = CliRunner().invoke(app, [*arguments], input=answer)
        finally:
            os.chdir(before)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return support.Finished(done.exit_code, done.stdout, done.stderr)

    return run
