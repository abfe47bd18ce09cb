"""What happens to a cluster: each event on real servers, and everything that was broken made good at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from haop.errors import HaopError
from haop.model.service import State
from haop.operations import guarding
from haop.operations.cluster import Cluster
from haop.postgres.connection import Login, connected
from haop.runtimes.base import Partitionable
from haop.runtimes.local import LocalRuntime
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.disks import clear, fill
from tests.soak import damage
from tests.soak.client import Patient
from tests.soak.histories import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

_COMMAND_SECONDS = 300.0
_REPLACED_SECONDS = 30.0
_FULL_SECONDS = 8.0


class Stage:
    """A cluster, and what has been done to it."""

    def __init__(self, cluster: Cluster, where: Path) -> None:
        self.cluster = cluster
        self.names = [node.name for node in cluster.project.spec.nodes]
        self.log: list[str] = []  # what happened, in a line each
        self.outputs: list[Path] = []  # what commands printed
        self.guard_spared = True
        self._where = where
        self._begun = time.monotonic()
        self._primary = self.names[0]
        self._full: set[str] = set()
        self._strays: list[str] = []
        self._reports: list[Patient] = []
        self._frozen_guards: list[int] = []
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._acts: dict[Kind, Callable[[str, float], object]] = {
            Kind.KILL: self._kill, Kind.STOP: self._stop, Kind.FREEZE: self._freeze, Kind.THAW: self._thaw,
            Kind.PARTITION: self._partition, Kind.FULL_DISK: self._full_disk, Kind.DAMAGE: self._damage,
            Kind.HAND_RESTART: self._hand_restart, Kind.HAND_START: self._hand_start,
            Kind.GUARD_KILL: self._guard_kill, Kind.GUARD_FREEZE: self._guard_freeze,
            Kind.HOLD: self._hold, Kind.DOUBLE: self._double,
            Kind.FAILOVER: lambda *_: self.begin("failover", "--yes"),
            Kind.UP: lambda *_: self.begin("up", "--yes"),
            Kind.SWITCHOVER: lambda *_: self.begin("switchover", "--yes"),
            Kind.RESTART: lambda node, _: self.begin("restart", node, "--yes"),
        }  # fmt: skip

    def play(self, event: Event) -> None:
        """Let it happen to the node that it means now, and wait until it is time for the next."""
        node = self._meant(event.on)
        self.say(f"{event.kind} {node}".strip())
        try:
            self._acts[event.kind](node, event.pause)
        except (HaopError, psycopg.Error, OSError) as error:  # what has happened before may have made it impossible
            self.say(f"{event.kind} came to nothing: {str(error).splitlines()[0] if str(error) else error!r}")
        if event.kind is not Kind.DOUBLE:
            time.sleep(event.pause)

    def make_good(self) -> None:
        """Nothing is frozen, cut off or full any more; every command has ended."""
        self._thaw("", 0)
        for stray in self._strays:
            stacks.ask("rm", "--force", stray)
        for report in self._reports:
            report.close()
        for node in sorted(self._full):
            clear(self.cluster, node)
        for told, command in self._running:
            try:
                self.say(f"haop {told}: {command.wait(_COMMAND_SECONDS)}")
            except subprocess.TimeoutExpired:
                command.kill()
                command.wait()
                self.say(f"haop {told}: no end in {_COMMAND_SECONDS:g} s")
        self._full.clear()
        for done in (self._strays, self._reports, self._running):
            done.clear()

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command of haop beside everything else."""
        told = " ".join(arguments)
        output = self._where / f"command-{len(self.outputs)}"
        self.outputs.append(output)
        with output.open("wb") as file:
            file.write(f"$ haop {told}\n".encode())
            file.flush()
            command = subprocess.Popen(
                (sys.executable, "-m", "haop", "-C", str(self.cluster.project.root), *arguments),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        self._running.append((told, command))
        return command

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command of haop to its end: its exit code (-1: none), and what it printed."""
        command = self.begin(*arguments)
        self._running.pop()
        try:
            code = command.wait(_COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            code = -1
        self.say(f"haop {' '.join(arguments)}: {code}")
        return code, self.outputs[-1].read_text(errors="replace")

    def status(self) -> tuple[int, dict[str, Any]]:
        """`haop status --json`: its exit code, and what it printed."""
        argv = (sys.executable, "-m", "haop", "-C", str(self.cluster.project.root), "status", "--json")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        if not done.stdout.strip():
            output = self._where / f"command-{len(self.outputs)}"
            output.write_text(f"$ haop status --json\n{done.stderr}")
            self.outputs.append(output)
            return done.returncode, {}
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found

    def primaries(self) -> list[str]:
        """Nodes that say they are out of recovery; what does not answer is none."""
        return [name for name in self.names if self.is_standby(name) is False]

    def is_standby(self, name: str) -> bool | None:
        """What a server says; None where it says nothing."""
        rows = self.ask(name, "SELECT pg_is_in_recovery()")
        return bool(rows[0][0]) if rows else None

    def ask(self, name: str, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a node, as the application; none where it does not answer."""
        spec, login = self.cluster.project.spec, self.cluster.engine.application
        where = Login(user=login.user, password=login.password, database=spec.database, ca=login.ca)
        try:
            with connected(self.cluster.runtime.endpoint(name), where) as link:
                return link.execute(statement.encode()).fetchall()
        except (HaopError, psycopg.Error):
            return []

    def say(self, text: str) -> None:
        """A line of what happened, with its time."""
        self.log.append(f"{time.monotonic() - self._begun:7.2f} {text}")

    def _meant(self, role: str) -> str:
        if not role:
            return ""
        if found := self.primaries():
            self._primary = found[0]
        if role == "primary":
            return self._primary
        others = [name for name in self.names if name != self._primary]
        return next((name for name in others if self.is_standby(name)), others[0])

    def _kill(self, node: str, _: float) -> None:
        self.cluster.runtime.kill(node)

    def _stop(self, node: str, _: float) -> None:
        if isinstance(self.cluster.runtime, LocalRuntime):
            support.by_hand(self.cluster, node, 'kill -INT "$(head -n 1 "$PGDATA/postmaster.pid")"')
        else:
            stacks.ask("stop", stacks.container(self.cluster, node))

    def _freeze(self, node: str, _: float) -> None:
        self.cluster.runtime.pause(node)

    def _thaw(self, _node: str, _: float) -> None:
        runtime = self.cluster.runtime
        for name in self.names:
            if runtime.state(name).state is State.PAUSED:
                runtime.resume(name)
            if isinstance(runtime, Partitionable):
                runtime.mend(name)
        for pid in self._frozen_guards:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _partition(self, node: str, _: float) -> None:
        assert isinstance(self.cluster.runtime, Partitionable)
        self.cluster.runtime.cut(node)

    def _full_disk(self, node: str, _: float) -> None:
        self._full.add(node)
        fill(self.cluster, node)
        until = time.monotonic() + _FULL_SECONDS
        with suppress(HaopError, psycopg.Error):  # each call needs another segment, until there is no room for one
            while node in self.primaries() and time.monotonic() < until:
                support.sql(self.cluster, node, "SELECT pg_logical_emit_message(false, 'soak', 'x'), pg_switch_wal()")

    def _damage(self, node: str, _: float) -> None:
        self.command("guard", "pause", "--why", "soak")
        try:
            self.say(damage.damage(self.cluster, node))
        finally:
            self.command("guard", "resume")

    def _hand_restart(self, node: str, _: float) -> None:
        if isinstance(self.cluster.runtime, LocalRuntime):
            support.by_hand(self.cluster, node, 'pg_ctl restart -w -t 20 -m fast -l "$PGDATA.hand.log"')
        else:
            stacks.docker("restart", stacks.container(self.cluster, node))

    def _hand_start(self, node: str, _: float) -> None:
        """Of the node that a failover by hand has just fenced; the guard sees it only later."""
        self.command("guard", "pause", "--why", "soak")
        try:
            self.cluster.runtime.kill(node)
            self.command("failover", "--yes")
            if isinstance(self.cluster.runtime, LocalRuntime):
                support.by_hand(
                    self.cluster, node,
                    'rm -f "$PGDATA/postmaster.pid"; options=$(sed "s/^[^ ]* //" "$PGDATA/postmaster.opts"); '
                    'pg_ctl start -w -t 20 -l "$PGDATA.hand.log" -o "$options"',
                )  # fmt: skip
            else:
                self._strays.append(damage.run_volume(self.cluster, node))
            time.sleep(2)
        finally:
            self.command("guard", "resume")

    def _guard_kill(self, _node: str, _: float) -> None:
        self._signal_guard(signal.SIGKILL)

    def _guard_freeze(self, _node: str, _: float) -> None:
        if pid := self._signal_guard(signal.SIGSTOP):
            self._frozen_guards.append(pid)

    def _signal_guard(self, number: signal.Signals) -> int | None:
        self.guard_spared = False
        if there := guarding.found(self.cluster.project):
            os.kill(there.pid, number)
            return there.pid
        return None

    def _hold(self, node: str, _: float) -> None:
        """The report reads a table that is changed: replay waits for the report's lock."""
        report = self._connect(node)
        self._reports.append(report)
        report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        report.execute("SELECT count(*) FROM report")
        with self._connect(self._primary) as link:
            link.execute(f"ALTER TABLE report ADD COLUMN c{time.monotonic_ns()} int")

    def _connect(self, node: str) -> Patient:
        """As the application. Whatever is not answered in time closes it: an earlier report may be in the way."""
        endpoint, login = self.cluster.runtime.endpoint(node), self.cluster.engine.application
        return Patient.connect(
            host=endpoint.host, port=endpoint.port, autocommit=True, connect_timeout=2, **login.parameters()
        )

    def _double(self, node: str, pause: float) -> None:
        self.cluster.runtime.kill(node)

        def replaced() -> str | None:
            return next((name for name in self.primaries() if name != node), None)

        second = wait_until(replaced, deadline=_REPLACED_SECONDS, pause=0.05, waiting_for=f"{node} to be replaced")
        time.sleep(min(pause, 2.0))
        self.cluster.runtime.kill(second)
        self.say(f"kill {second}")
        self._primary = second
