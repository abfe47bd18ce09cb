"""One history, from an empty folder to a verdict; and the same with fewer events, where a promise was not kept."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from haop.errors import DeadlineExceeded, HaopError
from haop.model.lsn import Lsn
from haop.operations import guarding
from haop.operations.cluster import Cluster
from haop.operations.up import up
from haop.waiting import wait_until
from tests import support
from tests.disks import small_disks
from tests.soak import healing, judging
from tests.soak.histories import History, Kind, shorter
from tests.soak.judging import Ack, Gap, Problem, Sighting
from tests.soak.stage import Stage
from tests.support import Quiet

# An operator who sees the same findings for so long does what they say; without a guard, sooner.
_ITSELF_SECONDS, _NO_GUARD_SECONDS, _LONGEST_SECONDS = 45.0, 8.0, 300.0
_COMMANDS = 4
_SHRINKS = 6
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a history."""

    history: History
    problems: tuple[Problem, ...]
    acknowledged: int
    lost: int
    gaps: tuple[Gap, ...]
    healed: tuple[str, ...]  # commands that haop named; none: by itself
    seconds: float
    log: tuple[str, ...]

    @property
    def word(self) -> str:
        """ "held", or which promises were not."""
        return " ".join(sorted({problem.kind for problem in self.problems})) or "held"

    def line(self) -> str:
        """The line of the results file."""
        history = self.history
        return json.dumps({
            "seed": history.seed, "runtime": history.runtime, "nodes": history.nodes, "durability": history.durability,
            "major": history.major, "events": [str(event) for event in history.events], "kept": history.kept,
            "outcome": self.word, "problems": [problem.message for problem in self.problems],
            "acknowledged": self.acknowledged, "lost": self.lost,
            "told": [[str(gap.begin), str(gap.end) if gap.end else None] for gap in self.gaps],
            "healed": self.healed, "seconds": round(self.seconds, 1), "commit": _commit(),
        })  # fmt: skip


def run(history: History, *, calm: bool = False) -> Outcome:
    """Let it happen; calm: each event to a cluster that is whole again."""
    parameters = {"max_standby_streaming_delay": "-1"} if history.has(Kind.HOLD) else {}
    begun = time.monotonic()
    with support.folder() as folder, ExitStack() as opened:
        cluster = support.make_project(
            folder / "shop", runtime=history.runtime, nodes=history.nodes, postgres=history.major,
            durability=history.durability, guard=True, parameters=parameters,
        )  # fmt: skip
        if history.has(Kind.FULL_DISK):
            names = [node.name for node in cluster.project.spec.nodes]
            opened.enter_context(small_disks(cluster, names, folder))
        else:
            opened.callback(support.end, cluster)
        up(cluster, Quiet())
        return _Run(history, cluster, folder).outcome(begun, calm=calm)


def shrunk(outcome: Outcome, note: Any = print) -> Outcome:
    """The shortest history found that breaks the same promise. So many runs, and no more."""
    tried = 0
    while tried < _SHRINKS:
        for history in shorter(outcome.history):
            tried += 1
            note(f"without one more: {history.name}")
            if (again := run(history)).word == outcome.word:
                outcome = again
                break
            if tried == _SHRINKS:
                return outcome
        else:
            return outcome
    return outcome


class _Run:
    """The run of one history on a cluster that is up."""

    def __init__(self, history: History, cluster: Cluster, folder: Path) -> None:
        self._history = history
        self._cluster = cluster
        self._folder = folder
        self._stage = Stage(cluster, folder)
        self._problems: list[Problem] = []
        self._healed: list[str] = []

    def outcome(self, begun: float, *, calm: bool) -> Outcome:
        """Play it and judge it."""
        self._make_tables()
        with self._client("writers") as written, self._client("observer") as seen:
            self._await_writes(written)
            for event in self._history.events:
                self._stage.play(event)
                if calm:
                    self._settle(written)
            whole = self._settle(written)
        acks = [Ack(**{**line, "lsn": Lsn.parse(line["lsn"])}) for line in _lines(written)]
        gaps = self._gaps()
        missing = self._judge_rows(acks, gaps) if whole else []
        self._problems += judging.judge_split(acks)
        self._problems += judging.judge_overlap(Sighting(**line) for line in _lines(seen))
        self._require_no_traceback()
        if self._problems or self._healed:
            self._tell_all()
        return Outcome(
            history=self._history, problems=tuple(self._problems), acknowledged=len(acks), lost=len(missing),
            gaps=gaps, healed=tuple(self._healed), seconds=time.monotonic() - begun, log=tuple(self._stage.log),
        )  # fmt: skip

    def _make_tables(self) -> None:
        cluster = self._cluster
        with support.connect(cluster, support.primary_of(cluster), cluster.engine.application) as link:
            link.execute("CREATE TABLE soak (id bigint PRIMARY KEY, pad text)")
            link.execute("CREATE TABLE report AS SELECT 1 AS one")

    @contextmanager
    def _client(self, role: str) -> Iterator[Path]:
        """A process of clients, for as long as this is open; the file with what it saw."""
        path, spec, login = self._folder / role, self._cluster.project.spec, self._cluster.engine.application
        parameters = {key: str(value) for key, value in login.parameters().items()}
        told = {"ports": {node.name: node.port for node in spec.nodes}, "login": parameters}
        argv = (sys.executable, "-m", "tests.soak.client", role, str(path))
        with subprocess.Popen(argv, stdin=subprocess.PIPE, text=True, cwd=_ROOT) as process:
            assert process.stdin
            process.stdin.write(json.dumps(told) + "\n")
            process.stdin.flush()
            try:
                yield path
                assert process.poll() is None, "the clients have ended by themselves"
            finally:
                process.stdin.close()
                process.wait(30)

    def _await_writes(self, written: Path) -> None:
        """Rows are acknowledged, now."""
        now = time.monotonic()
        try:
            wait_until(
                lambda: sum(line["sent"] > now for line in _lines(written)) > 5,
                deadline=60, pause=0.2, waiting_for="writes",
            )  # fmt: skip
        except DeadlineExceeded:
            self._problems.append(Problem("no-writes", "no client can write though all is well"))

    def _settle(self, written: Path) -> bool:
        """Nothing is broken any more, and the cluster is whole."""
        self._stage.make_good()
        self._require_a_guard()
        if not self._is_mended():
            return False
        self._await_writes(written)
        return True

    def _is_mended(self) -> bool:
        """The cluster becomes whole by itself, or by what haop says."""
        if self._is_whole():
            return True
        queue: list[tuple[str, ...]] = []
        misled: list[str] = []
        for _ in range(_COMMANDS):
            _, shown = self._stage.status()
            self._stage.say(f"status: {[(f['code'], f['message'], f['hint']) for f in shown.get('findings', [])]}")
            queue = queue or healing.named(shown.get("findings", []), self._stage.names)
            if not queue:
                break
            words = queue.pop(0)
            code, printed = self._stage.command(*words)
            self._healed.append(f"{' '.join(words)}: {code}")
            if code == 0:
                queue = []  # it has changed what there is to do
            else:
                hints = healing.commands(printed.partition("hint:")[2], self._stage.names)
                queue = [*(command for command in hints if command != words), *queue]
            misled += [f"{' '.join(words)}: {printed.strip().splitlines()[-2:]}"] if code == 1 else []
            if self._is_whole():
                self._problems += [Problem("misled", f"what haop named does not help: {told}") for told in misled]
                return True
        code, shown = self._stage.status()
        told = "; ".join(f"{found['code']}: {found['message']}" for found in shown.get("findings", []))
        self._problems.append(Problem("unhealthy", f"status {code} after {self._healed or 'nothing to try'}: {told}"))
        return False

    def _is_whole(self) -> bool:
        """Healthy, as haop says and as the nodes themselves say; given up once nothing has changed for so long."""
        guarded = guarding.found(self._cluster.project) is not None
        seconds = _ITSELF_SECONDS if guarded else _NO_GUARD_SECONDS
        shown, since = "", time.monotonic()
        until = since + _LONGEST_SECONDS
        while (now := time.monotonic()) < until and now - since < seconds:
            code, found = self._stage.status()
            if code == 0 and self._roles() == [False, *[True] * (self._history.nodes - 1)]:
                self._stage.say("whole")
                return True
            codes = str([(finding["code"], finding["node"]) for finding in found.get("findings", [])])
            if codes != shown:
                shown, since = codes, now
            time.sleep(0.5)
        return False

    def _roles(self) -> list[bool]:
        roles = [self._stage.is_standby(name) for name in self._stage.names]
        return sorted(role for role in roles if role is not None)

    def _gaps(self) -> tuple[Gap, ...]:
        """All that haop has said is missing: in its trail, and in what its commands printed."""
        said = [event.detail or "" for event in self._cluster.project.events()]
        said += [path.read_text(errors="replace") for path in self._stage.outputs]
        return tuple(dict.fromkeys(gap for text in said for gap in judging.told(text)))

    def _judge_rows(self, acks: list[Ack], gaps: tuple[Gap, ...]) -> list[Ack]:
        [primary] = self._stage.primaries()
        self._await_replay(primary)
        rows = {name: {row[0] for row in self._stage.ask(name, "SELECT id FROM soak")} for name in self._stage.names}
        missing = judging.lost(acks, rows[primary])
        self._problems += judging.judge_loss(missing, gaps)
        self._problems += judging.judge_copies(rows, primary)
        return missing

    def _await_replay(self, primary: str) -> None:
        """Every standby has replayed all that there is: no client writes any more."""
        [(end,)] = self._stage.ask(primary, "SELECT pg_current_wal_insert_lsn()::text")
        for name in self._stage.names:
            if name != primary:
                reached = partial(self._stage.ask, name, f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{end}'")
                try:
                    wait_until(reached, deadline=60, waiting_for=f"{name} to replay {end}")
                except DeadlineExceeded as error:
                    self._problems.append(Problem("stuck", error.message))

    def _require_a_guard(self) -> None:
        if self._stage.guard_spared and guarding.found(self._cluster.project) is None:
            self._problems.append(Problem("guard", "the guard has ended, and nobody ended it"))

    def _require_no_traceback(self) -> None:
        log = self._cluster.project.state / "guard" / "log"
        for path in [*self._stage.outputs, *([log] if log.exists() else [])]:
            if "Traceback (most recent call last)" in (text := path.read_text(errors="replace")):
                self._problems.append(Problem("traceback", f"{path.name}: {text[text.index('Traceback') :][-1500:]}"))

    def _tell_all(self) -> None:
        """What there is to see, into the log."""
        self._stage.log += [str(event) for event in self._cluster.project.events()]
        log = self._cluster.project.state / "guard" / "log"
        self._stage.log += log.read_text(errors="replace").splitlines()[-60:] if log.exists() else []
        for path in self._stage.outputs:
            self._stage.log += path.read_text(errors="replace").splitlines()[-20:]
        try:
            support.print_logs(self._cluster)
        except HaopError as error:
            self._stage.say(f"no logs: {error.message}")


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a client that are whole."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _commit() -> str:
    argv = ("git", "describe", "--always", "--dirty")
    return subprocess.run(argv, cwd=_ROOT, capture_output=True, text=True, check=False).stdout.strip()
