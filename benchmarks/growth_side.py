"""One side of `growth.py`: a figure of the haop that PYTHONPATH leads to, at one size; printed as JSON.

Run by its path, so that this file is one and the haop that it measures another: growth_side.py WHAT SIZE
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg

from haop.operations import guarding
from haop.operations.cluster import Cluster
from haop.postgres.connection import connected
from haop.runtimes import processes
from tests import support

Figures = dict[str, float]
_MB = 2**20
_LOOP = b"DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$"
_SETTLE_SECONDS, _WATCH_SECONDS = 8.0, 20.0


def fence_busy(sessions: int) -> Figures:
    """Of a node whose postmaster died while so many sessions work, which do not notice."""
    return _fence(sessions, _LOOP)


def fence_idle(sessions: int) -> Figures:
    """The same with sessions that wait for their clients."""
    return _fence(sessions, None)


def _fence(sessions: int, work: bytes | None) -> Figures:
    with _cluster(max_connections=str(sessions + 50)) as cluster, ExitStack() as stack:
        links = [stack.enter_context(_open(cluster)) for _ in range(sessions)]
        if work:
            for link in links:
                link.pgconn.send_query(work)
        home = cluster.project.state / "local" / "db1"
        postmaster = processes.find(home / "process.json", home / "data")
        assert postmaster
        postmaster.kill()
        begun = time.monotonic()
        cluster.runtime.fence("db1")
        return {"seconds": time.monotonic() - begun}


@contextmanager
def _open(cluster: Cluster) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    link = support.connect(cluster, "db1", cluster.engine.admin)
    try:
        yield link
    finally:
        with suppress(psycopg.Error):
            link.close()


def log_bound(megabytes: int) -> Figures:
    """What is on disk once a running server has logged so much, 5 MB each two seconds."""
    with _cluster() as cluster:
        say = b"DO $$ BEGIN FOR i IN 1..50 LOOP RAISE LOG '%', repeat('x', 100000); END LOOP; END $$"
        with connected(cluster.runtime.endpoint("db1"), cluster.engine.admin, answer_seconds=600) as link:
            for _ in range(megabytes // 5):
                link.execute(say)
                time.sleep(2)
        time.sleep(_SETTLE_SECONDS)
        support.sql(cluster, "db1", "DO $$ BEGIN RAISE LOG 'the last'; END $$")
        time.sleep(1)
        files = (cluster.project.state / "local" / "db1").glob("log*")
        seen = any("the last" in line.message for line in cluster.runtime.logs(["db1"], follow=False, since=None))
        return {"MB": sum(path.stat().st_size for path in files) / _MB, "the last line is read": float(seen)}


def logs_since(megabytes: int) -> Figures:
    """`haop logs --since 1m` where one entry is so young, and so much is older."""
    with support.folder() as folder:
        root = support.make_project(folder / "shop").project.root
        home = root / ".haop" / "local" / "db1"
        home.mkdir(parents=True)
        old, now = (datetime.now(UTC) - timedelta(seconds=seconds) for seconds in (86400, 1))
        with (home / "log").open("w") as log:
            block = _entry(old) * (_MB // len(_entry(old)))
            for _ in range(megabytes):
                log.write(block)
            log.write(_entry(now))
        return _command(root, "logs", "--since", "1m")


def _entry(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.000 UTC [4711] app@shop web LOG:  duration: 1234.567 ms  statement: SELECT 1\n"


def guard_status(lines: int) -> Figures:
    """`haop guard status`, where the audit trail is so long."""
    return _trail(lines, "guard", "status")


def events(lines: int) -> Figures:
    """`haop events`, all of them."""
    return _trail(lines, "events")


def _trail(lines: int, *command: str) -> Figures:
    with support.folder() as folder:
        root = support.make_project(folder / "shop").project.root
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"), "actor": "root", "action": "guard sync",
            "outcome": "done", "node": None, "duration_seconds": 0.1, "detail": "db2 confirms again, after 3 s without",
        }  # fmt: skip
        with (root / ".haop" / "events.jsonl").open("a") as trail:
            for _ in range(lines):  # bit by bit: a command's memory is never less than that of who starts it
                trail.write(json.dumps(line) + "\n")
        return _command(root, *command)


def salvage(folders: int) -> Figures:
    """`haop salvage list`, of so many folders."""
    with support.folder() as folder:
        root = support.make_project(folder / "shop").project.root
        for number in range(folders):
            home = root / ".haop" / "salvage" / f"db1-1-0_{number:X}-0_{number + 1:X}-20260101T000000Z"
            home.mkdir(parents=True)
            meta = {"node": "db1", "timeline": 1, "from_lsn": f"0/{number:X}", "to_lsn": f"0/{number + 1:X}"}
            (home / "meta.json").write_text(json.dumps({**meta, "kept_at": "20260101T000000Z"}))
        return _command(root, "salvage", "list")


def check(tables: int) -> Figures:
    """`haop check`, of so many tables of one row."""
    with _cluster() as cluster:
        for first in range(0, tables, 500):
            numbers = range(first, min(first + 500, tables))
            make = "; ".join(f"CREATE TABLE t{number} AS SELECT {number} AS a" for number in numbers)
            support.sql(cluster, "db1", make, database="shop")
        taken = _command(cluster.project.root, "check")
        return {**taken, "ms a table": taken["seconds"] * 1000 / tables}


def guards(clusters: int) -> Figures:
    """Memory and processor time of the guards of so many idle clusters, each."""
    with ExitStack() as stack:
        running = [stack.enter_context(_cluster(guard=True)) for _ in range(clusters)]
        time.sleep(_SETTLE_SECONDS)
        found = [there for cluster in running if (there := guarding.found(cluster.project))]
        assert len(found) == clusters, "each has its guard"
        family = [each for there in found for each in _family(there.pid)]
        before = sum(sum(each.cpu_times()[:2]) for each in family)
        time.sleep(_WATCH_SECONDS)
        used = sum(sum(each.cpu_times()[:2]) for each in family) - before
        memory = sum(each.memory_full_info().pss for each in family)
        return {"MB each": memory / _MB / clusters, "% of a core each": used / _WATCH_SECONDS * 100 / clusters}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@contextmanager
def _cluster(*, guard: bool = False, **parameters: str) -> Iterator[Cluster]:
    with support.folder() as folder:
        made = support.make_project(folder / "shop", guard=guard, parameters=parameters)
        with support.running(replace(made)) as cluster:
            yield cluster


def _command(root: Path, *arguments: str) -> Figures:
    """Wall clock, processor time and memory of one command; what it prints is thrown away."""
    begun = time.monotonic()
    done = subprocess.run(
        (sys.executable, "-m", "haop", "-C", str(root), *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, check=False, cwd=root,
    )  # fmt: skip
    seconds, used = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in {0, 3, 5}:
        raise SystemExit(f"{' '.join(arguments)}: code {done.returncode}: {done.stderr[-500:]}")
    return {"seconds": seconds, "of processor": used.ru_utime + used.ru_stime, "MB": used.ru_maxrss / 1024}


MEASURED: dict[str, Callable[[int], Figures]] = {
    each.__name__: each
    for each in (fence_busy, fence_idle, log_bound, logs_since, events, guard_status, salvage, check, guards)
}

if __name__ == "__main__":
    print(json.dumps(MEASURED[sys.argv[1]](int(sys.argv[2]))))
