"""After a cluster's whole life each secret of .env is in files that only their owner reaches, and nowhere else.

What Docker itself shows of a stack is in tests/compose/test_secrets.py.
"""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import quote

import dotenv

from haop.operations.cluster import Cluster
from haop.project import load
from tests import support
from tests.compose import stacks
from tests.conftest import Haop

ODD = "@/%+ &=?#"  # has a form of its own in a URL
# Who may have secrets, below .haop: each file's pattern with its mode. What more than its owner may read lies in
# folders of mode 0700.
MAY = {
    "local": {
        "local/*/secrets/passfile": 0o600, "local/*/secrets/superuser_password": 0o600,
        "secrets/superuser_password": 0o600,
    },
    # In a folder that nobody else can enter; the files are mounted into containers, whose users have other numbers.
    "compose": {
        "secrets/*/passfile": 0o444, "secrets/*/superuser_password": 0o444, "secrets/*/owner_password": 0o444,
        "secrets/redis/password": 0o444, "secrets/superuser_password": 0o600,
    },
}  # fmt: skip


class Told:
    """Everything that haop printed; what changes something ran as a process of its own."""

    def __init__(self, folder: Path, within: Haop) -> None:
        self.folder = folder
        self.within = within
        self.text = ""
        self.json: dict[str, str] = {}

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> support.Finished:
        if arguments[0] == "-v":
            done = stacks.apart(self.folder, "-C", "shop", *arguments, seconds=120)
        else:
            done = self.within("-C", "shop", *arguments)
        assert done.code in codes, done.out + done.err
        self.text += done.out + done.err
        if "--json" in arguments:
            self.json[" ".join(arguments)] = done.out
        return done


@contextmanager
def watched(secrets: dict[str, str]) -> Iterator[dict[str, str]]:
    """Look at the command line and the environment of every process of this machine, time and again."""
    found: dict[str, str] = {}
    seen = {"": 0}
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for entry in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        shown = (entry / name).read_bytes().decode(errors="replace").replace("\0", " ")
                    except OSError:
                        continue
                    seen[""] += "-m haop" in shown or "postgres" in shown
                    found.update(dict.fromkeys(leaks(shown, secrets), shown))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()
    assert seen[""] > 10, "it did look"


def leaks(text: str, secrets: dict[str, str]) -> list[str]:
    """The secrets that are in it, as they are or as they would be in a URL or in JSON."""
    return [
        key for key, value in secrets.items()
        if any(form in text for form in (value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]))
    ]  # fmt: skip


def test_no_secret_is_anywhere(folder: Path, haop: Haop, runtime: str) -> None:
    """up, a drill by way of failover and rejoin, psql, dsn, and every --json there is."""
    every = {"log_statement": "all", "log_min_duration_statement": "0", "log_parameter_max_length": "-1"}
    redis = runtime == "compose"
    made = support.make_project(folder / "shop", runtime=runtime, durability="sync", redis=redis, parameters=every)
    root = made.project.root
    env = re.sub("^((?!REDIS).*_PASSWORD=)(.*)", rf"\1'\2{ODD}'", (root / ".env").read_text(), flags=re.MULTILINE)
    (root / ".env").write_text(env)
    cluster = Cluster.of(load(root))
    secrets = {key: value for key, value in dotenv.dotenv_values(root / ".env").items() if value and "PASSWORD" in key}
    assert len(secrets) == (5 if runtime == "local" else 6)
    assert sum(value.endswith(ODD) for value in secrets.values()) == 5
    told = Told(folder, haop)
    try:
        with watched(secrets) as shown:
            told("-v", "up", "--json")
            told("-v", "psql", "-c", "CREATE TABLE fruit ()")
            report = told("-v", "drill", "failover", "--yes", "--json", codes=(0, 3, 5))
            assert json.loads(report.out)["verdict"]
            for command in (
                ("status",), ("status", "--json"), ("events",), ("events", "--json"), ("logs",), ("logs", "--json"),
                ("render", "--check", "--json"), ("dsn",), ("dsn", "--json"), ("rejoin", "db1", "--dry-run", "--json"),
            ):  # fmt: skip
                told(*command)
            told("failover", "--dry-run", "--json", codes=(2,))
        assert shown == {}
        assert leaks(told.text, secrets) == []
        assert "statement: " in told.text, "every statement is logged"
        assert "CREATE TABLE fruit" in told.text
        assert "SCRAM-SHA-256$" not in told.text, "and none that makes a role"
        assert len(told.json) == 9
        assert '"action": "drill failover kill"' in told.json["events --json"]
        assert_files_are_clean(cluster, secrets)
        if runtime == "compose":
            for service in stacks.services(cluster):
                seen = stacks.log(cluster, service) + stacks.docker("inspect", stacks.container(cluster, service))
                assert leaks(seen, secrets) == [], service
        assert_a_bug_tells_nothing(cluster, secrets)
    finally:
        support.end(cluster)


def assert_files_are_clean(cluster: Cluster, secrets: dict[str, str]) -> None:
    """The project folder, data directories of local nodes included."""
    root, may = cluster.project.root, MAY[cluster.project.spec.runtime]
    wanted = {form.encode() for value in secrets.values() for form in (value, quote(value, safe=""))}
    used, looked_at = set(), 0
    for path in root.rglob("*"):
        if not path.is_file() or path == root / ".env":
            continue
        looked_at += 1
        content = path.read_bytes()
        if not any(secret in content for secret in wanted):
            continue
        name = str(path.relative_to(cluster.project.state))
        pattern = next((pattern for pattern in may if fnmatch(name, pattern)), None)
        assert pattern, f"{path} holds a secret"
        used.add(pattern)
        assert path.stat().st_mode & 0o777 == may[pattern], path
        assert may[pattern] == 0o600 or path.parent.stat().st_mode & 0o777 == 0o700, path.parent
    assert used == set(may), "each that may, does: else it need not be allowed"
    assert (root / ".env").stat().st_mode & 0o777 == 0o600
    assert list((cluster.project.state / "drills").glob("*.json"))
    assert looked_at > (1000 if cluster.project.spec.runtime == "local" else 15)


BUG = """
import sys
from haop.cli.app import main
from haop.engines.streaming import StreamingEngine

def observe(self):
    secrets, password, services = self._secrets, self._secrets.database_password, self.services()
    raise ZeroDivisionError(f"a bug beside {secrets} {self.admin} {self.application} {services}")

StreamingEngine.observe = observe
sys.argv = ["haop", "-C", sys.argv[1], "status"]
main()
"""


def assert_a_bug_tells_nothing(cluster: Cluster, secrets: dict[str, str]) -> None:
    """A traceback with passwords among the local variables, and with everything that holds one in its message."""
    argv = (sys.executable, "-c", BUG, str(cluster.project.root))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    for word in ("ZeroDivisionError", "Secrets(", "Login(", "Service("):
        assert word in done.stderr
    assert leaks(done.stdout + done.stderr, secrets) == []


def test_the_search_finds_what_it_looks_for() -> None:
    found: Callable[[str], list[str]] = lambda text: leaks(text, {"KEY": "a@b/c d"})  # noqa: E731 - short for six lines
    for text in ("x a@b/c d y", "postgresql://shop:a%40b%2Fc%20d@db1", "a%40b/c%20d"):
        assert found(text) == ["KEY"]
    assert found("a@b") == []
