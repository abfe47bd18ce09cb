"""What a benchmark of failovers can do to a cluster, whoever runs it; and the part that is alike for the peers.

A *node* is a PostgreSQL server and, of a peer, the peer's own process beside it. What befalls a node befalls both.
"""

import os
import select
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import psutil
from psycopg import sql

from haop.errors import CommandFailed, ConnectionFailed
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login, connected
from haop.process import run
from haop.waiting import wait_until

if TYPE_CHECKING:
    import subprocess

APPLICATION = "shop"
TABLE = "CREATE TABLE IF NOT EXISTS gaps (id bigint PRIMARY KEY)"
_STREAMING = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND NOT pg_is_in_recovery()"


class Side(ABC):
    """A cluster of two nodes."""

    name: str
    version: str
    nodes: Mapping[str, Endpoint]
    admin: Login
    application: Login
    alone = False  # whether a killed node comes back with nobody starting it

    @abstractmethod
    def switchover(self, to: str) -> None:
        """Make that standby the primary, by the command that operators use; return when it has ended."""

    @abstractmethod
    def stop(self, node: str) -> None:
        """Stop the node cleanly, as somebody would who tells nobody; return when the command has ended."""

    @abstractmethod
    def bring_back(self, node: str, primary: str) -> None:
        """A node that was stopped, killed, or hung and went on: let it follow that primary, by the side's own means."""

    @abstractmethod
    def postmaster(self, node: str) -> psutil.Process:
        """The node's postmaster."""

    def family(self, node: str) -> list[psutil.Process]:
        """All processes of the node, those first that could replace others."""
        postmaster = self.postmaster(node)
        return [postmaster, *postmaster.children(recursive=True)]

    def kill(self, node: str) -> None:
        """SIGKILL to every process of the node."""
        _signal_all(self, node, signal.SIGKILL)

    def hang(self, node: str) -> list[psutil.Process]:
        """SIGSTOP to every process of the node; who got it."""
        return _signal_all(self, node, signal.SIGSTOP)

    def resume(self, node: str, hung: list[psutil.Process]) -> None:  # noqa: ARG002 - other sides resume by name
        """Let them go on, those of them that still live."""
        for process in hung:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)

    def cut(self, node: str) -> None:
        """No byte of WAL leaves the primary any more: SIGSTOP to its senders. They end with the node."""
        senders = [each for each in self.postmaster(node).children() if "walsender" in _title(each)]
        if not senders:
            raise CommandFailed(f"{node} sends to nobody")
        for sender in senders:
            sender.send_signal(signal.SIGSTOP)

    def settled(self) -> bool:
        """Whether all of the side's own processes are ready for the next fault, once a standby streams."""
        return True

    def account(self, since: float) -> Mapping[str, float]:  # noqa: ARG002 - the peers have no audit trail
        """Who promoted since that wall-clock time, and where the time went: seconds of each phase.

        Raises:
            Refused: it was not the side's own automatic failover, so that the repetition does not count.
        """
        return {}

    def ready(self) -> str | None:
        """The primary's name, once the other node streams from it and the side has settled; None until then."""
        found = []
        for name, endpoint in self.nodes.items():
            try:
                with connected(endpoint, self.admin) as connection:
                    row = connection.execute(_STREAMING).fetchone()
            except ConnectionFailed:
                return None
            if row and row[0]:
                found.append(name)
        return found[0] if len(found) == 1 and self.settled() else None

    def await_ready(self, seconds: float = 60.0) -> str:
        """Wait for that.

        Raises:
            DeadlineExceeded: it was not so within so many seconds.
        """
        return wait_until(self.ready, deadline=seconds, waiting_for=f"redundancy of {self.name}", pause=0.1)


class Peer(Side):
    """A cluster of local processes that a peer runs: for each node an agent, in the foreground, below this process."""

    def __init__(self, folder: Path, bindir: Path) -> None:
        self.folder = folder
        self.bindir = bindir
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def postmaster(self, node: str) -> psutil.Process:
        """By the file that it writes."""
        pid = (self.folder / node / "postmaster.pid").read_text().split()[0]
        return psutil.Process(int(pid))

    def family(self, node: str) -> list[psutil.Process]:
        """The agent and its children, the postmaster and its children, each once."""
        agent = psutil.Process(self.agents[node].pid)
        found = [agent, *agent.children(recursive=True), *super().family(node)]
        return list(dict.fromkeys(found))

    def end_agent(self, node: str) -> None:
        """SIGTERM, as a service manager sends it, and wait for its end; no matter if it has ended."""
        self.agents[node].terminate()
        self.agents[node].wait(60)


def _signal_all(side: Side, node: str, number: signal.Signals) -> list[psutil.Process]:
    """Signal the family; again for whom it has made meanwhile."""
    sent: list[psutil.Process] = []
    family = side.family(node)
    while fresh := [each for each in family if each not in sent]:
        for process in fresh:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        sent += fresh
        if number is not signal.SIGKILL:
            family = side.family(node)
    return sent


@contextmanager
def end_of(process: psutil.Process) -> Iterator[list[float]]:
    """Inside, a list gets the time (monotonic clock) at which that process ends; it is there when the context ends.

    Raises:
        CommandFailed: it had not ended half a minute after the end of the context.
    """
    ended: list[float] = []
    handle = os.pidfd_open(process.pid)

    def watch() -> None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
        ended.append(monotonic())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield ended
        watcher.join(30)
        if not ended:
            raise CommandFailed(f"process {process.pid} did not end")
    finally:
        if ended:
            os.close(handle)


def make_application(endpoint: Endpoint, admin: Login, application: Login) -> None:
    """Make the application's role, and its database where it is missing."""
    role, password = sql.Identifier(application.user), sql.Literal(application.password)
    database = sql.Identifier(application.database)
    with connected(endpoint, admin, answer_seconds=30) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [application.database]).fetchone()
        verb = "ALTER DATABASE {} OWNER TO {}" if exists else "CREATE DATABASE {} OWNER {}"
        connection.execute(sql.SQL(verb).format(database, role))


def make_table(side: Side, primary: str) -> None:
    """The clients' table, empty."""
    with connected(side.nodes[primary], side.application, answer_seconds=30) as connection:
        connection.execute(TABLE)
        connection.execute("TRUNCATE gaps")


def survivors(side: Side, primary: str) -> set[int]:
    """The numbers that the primary has."""
    with connected(side.nodes[primary], side.application, answer_seconds=30) as connection:
        return {int(number) for (number,) in connection.execute("SELECT id FROM gaps")}


def package_version(name: str) -> str:
    """Of an installed Debian package."""
    return run(("dpkg-query", "-W", "-f", "${Version}", name)).stdout.split("-")[0]


def _title(process: psutil.Process) -> str:
    """As PostgreSQL names its processes; "" of one that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
