"""Random histories: nothing acknowledged is lost untold, nobody else writes after a promotion, and all end well.

`make test` runs a few short ones, of what it is told to survive. `make soak` runs all kinds, goes on where its results
file ends, and appends a line for each. `HAOP_SOAK_HISTORY=17:0,2` repeats the history of seed 17 with these two of its
events alone.
"""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import require
from tests.disks import no_disks
from tests.soak import soak
from tests.soak.histories import History, Kind, drawn, named

RESULTS = Path(os.environ.get("HAOP_SOAK_RESULTS", "soak.jsonl"))
_PIECE = 50
_SAME = (4, 5)  # of `make test`, one on each runtime; new ones are searched by `make soak`
_ALL = bool(os.environ.get("HAOP_SOAK"))
# What the histories of `make test` are made of, each event on a cluster that is whole again: a failure there is news.
# That is less than haop promises. Not yet held, and so left to `make soak`: a fault during a rewind, damaged WAL, a
# server started by hand, a guard that is killed.
_SETTLED = (Kind.KILL, Kind.STOP, Kind.FREEZE, Kind.THAW, Kind.UP, Kind.SWITCHOVER, Kind.RESTART, Kind.FAILOVER)


def _histories() -> list[History]:
    if wanted := os.environ.get("HAOP_SOAK_HISTORY"):
        return [named(name) for name in wanted.split()]
    if not _ALL:
        return [drawn(seed, _SETTLED, longest=3) for seed in _SAME]
    done = [json.loads(line)["seed"] for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else [0]
    first = max(done) + 1
    return [drawn(seed) for seed in range(first, first + int(os.environ.get("HAOP_SOAK_HISTORIES", _PIECE)))]


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("history", _histories(), ids=lambda history: f"{history.runtime}-{history.name}")
def test_a_history_keeps_every_promise(history: History) -> None:
    require(history.major, history.runtime)
    if history.has(Kind.FULL_DISK) and (problem := no_disks()):
        pytest.skip(problem)
    outcome = soak.run(history, calm=not _ALL)
    told = [f"{history}", *outcome.log, *(f"{problem.kind}: {problem.message}" for problem in outcome.problems)]
    print(*told, sep="\n")
    if _ALL:
        with RESULTS.open("a") as file:
            file.write(outcome.line() + "\n")
    if not outcome.problems:
        return
    if not _ALL:
        pytest.fail(outcome.word)
    least = outcome if os.environ.get("HAOP_SOAK_HISTORY") else soak.shrunk(outcome)
    events = "\n".join(map(str, least.history.events))
    pytest.fail(
        f"{outcome.word}; HAOP_SOAK=1 HAOP_SOAK_HISTORY={least.history.name} repeats the least of it:\n{events}"
    )
