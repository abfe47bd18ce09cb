"""How long do clients wait when a primary fails, and what do they lose: haop's guard beside three failover managers.

One run, all sides: Patroni with etcd, pg_auto_failover and repmgr, each tuned to its fastest, and haop on local
processes and on Docker Compose. All have PostgreSQL 15 of this machine (Compose: its image), one primary and one
standby on loopback, and the same clients (`clients.py`), which are no part of any side.

    switchover   planned, by the side's own command
    stop         the whole primary node is stopped cleanly by somebody who tells nobody
    kill         SIGKILL to the whole node: the postmaster, its children, the side's own process beside it
    hang         SIGSTOP to the whole node (`docker pause`), which goes on once another has acknowledged writes
    cut          no WAL leaves the primary for a second, which goes on to acknowledge; then it is killed

The guard is of the machine, not of a node, so it goes on. A repetition of haop's counts only where the guard promoted.
Between two repetitions redundancy is restored by the side's own means, and waited for: the node's process is started
again (Patroni, pg_auto_failover), it is rejoined by hand (repmgr), or nothing is done (haop). A repetition that fails
is told and counted, and the side begins anew with a new cluster.

Packages: postgresql-15, etcd-server, postgresql-15-repmgr, postgresql-15-auto-failover; Patroni comes from PyPI. As
root, what is missing is installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import psutil

from benchmarks import gaps, side
from benchmarks.failover_table import Run, tell
from benchmarks.haop_side import MAJOR, haop_side
from benchmarks.peer_pgaf import pgaf_side
from benchmarks.peers import patroni_side, repmgr_side
from benchmarks.side import Side
from haop.errors import HaopError, Refused
from haop.postgres.binaries import installation
from tests import support

CELLS = ("switchover", "stop", "kill", "hang", "cut")
PACKAGES = {
    "etcd-server": "/usr/bin/etcd",
    f"postgresql-{MAJOR}-repmgr": f"/usr/lib/postgresql/{MAJOR}/bin/repmgr",
    f"postgresql-{MAJOR}-auto-failover": f"/usr/lib/postgresql/{MAJOR}/lib/pgautofailover.so",
    "pg-auto-failover-cli": "/usr/bin/pg_autoctl",
}
WARM_UP_SECONDS = 1.0
CUT_SECONDS = 1.0
COOL_DOWN_SECONDS = 0.5
WATCH_SECONDS = 4.0  # so long is looked at what a resumed primary does
RECOVERY_SECONDS = 90.0
REDUNDANCY_SECONDS = 120.0
_NUMBERS = 10_000_000  # between two repetitions of one process
_MOST_FAILURES = 3

Opener = Callable[[Path], AbstractContextManager[Side]]


def sides() -> dict[str, Opener]:
    """How each is opened, in a folder of its own."""
    bindir = installation(MAJOR).bindir
    return {
        "patroni": partial(patroni_side, bindir),
        "pgaf": partial(pgaf_side, bindir),
        "repmgr": partial(repmgr_side, bindir),
        "local": partial(haop_side, "local"),
        "compose": partial(haop_side, "compose"),
    }


def main() -> None:
    """So many repetitions of each cell of each side; each is appended to a file at once, and the table comes last."""
    openers = sides()
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="?", type=int, default=10)
    parser.add_argument("--sides", nargs="+", choices=openers, default=list(openers))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--into", type=Path, help="append to this file, a line of JSON each; what is there counts, too")
    asked = parser.parse_args()
    install()
    begun, runs = time.monotonic(), kept(asked.into) if asked.into and asked.into.exists() else []
    for name in asked.sides:
        cells = [cell for _ in range(asked.runs) for cell in asked.cells]
        for run in measured(openers[name], cells):
            runs.append(run)
            if asked.into:
                with asked.into.open("a") as file:
                    file.write(json.dumps({**run._asdict(), "account": dict(run.account)}) + "\n")
    tell(runs)
    print(f"\n{(time.monotonic() - begun) / 60:.0f} minutes, {asked.runs} repetitions of each cell")


def kept(path: Path) -> list[Run]:
    """Repetitions of an earlier run, which was interrupted."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Run(**{**row, "seen": gaps.Seen(*row["seen"]) if row["seen"] else None}) for row in rows]


def install() -> None:
    """The packages that are missing, as root."""
    missing = [package for package, file in PACKAGES.items() if not Path(file).exists()]
    if missing and (os.geteuid() or not shutil.which("apt-get")):
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if missing:
        argv = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing)
        subprocess.run(argv, check=True, stdout=sys.stderr, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def measured(opener: Opener, cells: Sequence[str]) -> list[Run]:
    """A repetition of each cell named, on as few clusters as possible."""
    found: list[Run] = []
    failures = 0
    while len(found) < len(cells) and failures < _MOST_FAILURES:
        with support.folder() as folder:
            (folder / "cluster").mkdir(mode=0o755)
            try:
                with opener(folder / "cluster") as one:
                    for cell in cells[len(found) :]:
                        run = repeat(one, cell, first=_NUMBERS * (len(found) + 1))
                        found.append(run)
                        print(run.line, flush=True)
                        if run.failed:
                            failures += 1
                            break
            except HaopError as error:  # the cluster did not come up, or not down
                failures += 1
                print(f"  {opener}: {error.message}", flush=True)
    return found


def repeat(one: Side, cell: str, first: int) -> Run:
    """One repetition; if it failed, with the reason."""
    try:
        return once(one, cell, first)
    except (HaopError, psutil.Error, OSError) as error:
        return Run(one.name, one.version, cell, failed=str(getattr(error, "message", error)))


def once(one: Side, cell: str, first: int) -> Run:
    """One repetition."""
    old = one.await_ready(REDUNDANCY_SECONDS)
    [new] = one.nodes.keys() - {old}
    side.make_table(one, old)
    with gaps.clients(one.nodes, one.application, old, first) as ledger:
        time.sleep(WARM_UP_SECONDS)
        fault_at, wall = time.monotonic(), time.time()
        hung, ended = [], None
        if cell == "stop":
            with side.end_of(one.postmaster(old)) as ends:
                one.stop(old)
                command = time.monotonic() - fault_at
            [ended] = ends
        elif cell == "switchover":
            one.switchover(new)
        elif cell == "hang":
            hung = one.hang(old)
        else:
            if cell == "cut":
                one.cut(old)
                time.sleep(CUT_SECONDS)
            fault_at, wall = time.monotonic(), time.time()
            one.kill(old)
        if cell != "stop":
            command = time.monotonic() - fault_at
        promoted_at = ledger.await_first(gaps.WRITER, one.nodes[new].port, seconds=RECOVERY_SECONDS)
        time.sleep(COOL_DOWN_SECONDS)
        if cell == "hang":
            one.resume(old, hung)
            time.sleep(WATCH_SECONDS)
    begun = fault_at if one.alone else time.monotonic()
    if cell != "switchover":
        one.bring_back(old, new)
    primary = one.await_ready(REDUNDANCY_SECONDS)
    redundant = time.monotonic() - begun
    if primary != new:
        raise Refused(f"{primary} was primary in the end, after {new} had acknowledged writes")
    seen = gaps.seen(ledger, side.survivors(one, primary), one.nodes[old].port, promoted_at)
    account = {} if cell == "switchover" else dict(one.account(wall))
    return Run(
        one.name, one.version, cell, seen=seen, command=command, redundant=redundant, account=account,
        after_end=None if ended is None else seen.first_after - ended, after_fault=seen.first_after - fault_at,
    )  # fmt: skip


if __name__ == "__main__":
    main()
