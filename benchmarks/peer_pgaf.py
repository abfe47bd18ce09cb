"""A pg_auto_failover cluster on this machine: a monitor and two nodes, tuned to fail over fast.

From Debian's packages. What favours it: its connections are trusted without a password, and use no TLS.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.peer_patroni import HOST, end_leftovers, free_ports, running_agent
from benchmarks.side import APPLICATION, Peer, make_application, package_version
from haop.errors import ConnectionFailed, Refused
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login, connected
from haop.process import RunAs, run
from haop.runtimes import account
from haop.waiting import wait_until

# A check each 0.5 s, one retry as soon, and an old primary is trusted to be gone as soon. Its defaults: 5 s, 2 s, 5 s,
# 20 s, 30 s and 10 s. With so short a `primary_demote_timeout` nothing holds a partitioned primary back in time
# (`network_partition_timeout`, 20 s), so no operator should use it; it is its best case.
_MONITOR = {
    "pgautofailover.health_check_period": 500,
    "pgautofailover.health_check_timeout": 500,
    "pgautofailover.health_check_retry_delay": 500,
    "pgautofailover.health_check_max_retries": 1,
    "pgautofailover.node_considered_unhealthy_timeout": 1000,
    "pgautofailover.primary_demote_timeout": 1000,
    "pgautofailover.startup_grace_period": 1000,
}
# That a promotion does not wait 5 s for the WAL receiver is haop's default, and a favour here.
_NODE = {"wal_retrieve_retry_interval": 100}

_SETTLED = """
SELECT array_agg(reportedstate::text ORDER BY 1) = '{primary,secondary}' AND
    bool_and(reportedstate = goalstate AND health = 1) FROM pgautofailover.node
"""


class PgafSide(Peer):
    """Nodes db1 and db2 under one monitor; replication is synchronous while the standby is healthy, by its default."""

    name = "pg_auto_failover aggressive"

    def __init__(self, folder: Path, bindir: Path, run_as: RunAs, stack: ExitStack) -> None:
        super().__init__(folder, bindir)
        self.version = f"pg_auto_failover {package_version('pg-auto-failover-cli')}"
        self._run_as, self._stack = run_as, stack
        self._environment = {"PATH": f"{bindir}:{os.environ['PATH']}", "HOME": str(folder)}
        monitor, *ports = free_ports(3)
        self._monitor = Endpoint(HOST, monitor)
        self.nodes = {f"db{number}": Endpoint(HOST, port) for number, port in enumerate(ports, start=1)}
        self.admin = Login(user="postgres", password="", database="postgres")
        self.application = Login(user=APPLICATION, password="trusted", database=APPLICATION)

    def make(self) -> None:
        """Make and start the monitor, then one node after the other."""
        open_ = ("--auth", "trust", "--no-ssl", "--hostname", HOST)
        self._do("create", "monitor", "--pgport", str(self._monitor.port), *open_, node="monitor")
        self._do("config", "set", "postgresql.listen_addresses", HOST, node="monitor")
        self.start("monitor")
        self._configure(self._monitor, _MONITOR)
        uri = f"postgres://autoctl_node@{self._monitor}/pg_auto_failover?sslmode=disable"
        for name, endpoint in self.nodes.items():
            where = ("--pghost", HOST, "--pgport", str(endpoint.port), "--listen", HOST, "--username", "postgres")
            named = ("--name", name, "--dbname", APPLICATION, "--monitor", uri)
            self._do("create", "postgres", *where, *named, *open_, node=name)
            self.start(name)
            self._configure(endpoint, _NODE)
        self.await_ready()
        make_application(self.nodes["db1"], self.admin, self.application)

    def start(self, node: str) -> None:
        """Start the node's pg_autoctl, which starts PostgreSQL."""
        argv = ("/usr/bin/pg_autoctl", "run", "--pgdata", str(self.folder / node))
        self.agents[node] = self._stack.enter_context(
            running_agent(argv, self.folder / f"{node}.log", self._environment)
        )

    def switchover(self, to: str) -> None:
        """`pg_autoctl perform promotion`."""
        self._do("perform", "promotion", node=to)

    def stop(self, node: str) -> None:
        """Stop its pg_autoctl, as a service manager does; that stops PostgreSQL."""
        self.end_agent(node)

    def bring_back(self, node: str, primary: str) -> None:  # noqa: ARG002 - it asks its monitor
        """Start its pg_autoctl again, unless it runs."""
        if self.agents[node].poll() is not None:
            self.start(node)

    def settled(self) -> bool:
        """Whether the monitor has one node as primary and one as secondary, and would have them so."""
        with connected(self._monitor, Login(user="postgres", password="", database="pg_auto_failover")) as link:
            return link.execute(_SETTLED).fetchone() == (True,)

    def end_everything(self) -> None:
        """SIGKILL to all nodes and the monitor: their titles hide from `end_leftovers` whose they are."""
        for agent in self.agents.values():
            if agent.poll() is None:
                root = psutil.Process(agent.pid)
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()

    def _do(self, *words: str, node: str) -> None:
        argv = ("/usr/bin/pg_autoctl", *words, "--pgdata", str(self.folder / node))
        run(argv, run_as=self._run_as, environment=self._environment, cwd=self.folder)

    def _configure(self, endpoint: Endpoint, settings: dict[str, int]) -> None:
        wait_until(lambda: _answers(endpoint, self.admin), deadline=30, waiting_for=f"{endpoint} to accept connections")
        with connected(endpoint, self.admin) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
            connection.execute("SELECT pg_reload_conf()")


def _answers(endpoint: Endpoint, login: Login) -> bool:
    try:
        with connected(endpoint, login) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except ConnectionFailed:
        return False


@contextmanager
def pgaf_side(bindir: Path, folder: Path) -> Iterator[PgafSide]:
    """Such a cluster in a new folder, which is given to the servers' user; at the end all its processes are gone.

    Raises:
        Refused: it is not installed.
        HaopError: it did not come up.
    """
    if shutil.which("pg_autoctl") is None:
        raise Refused("there is no pg_auto_failover", hint="apt-get install postgresql-15-auto-failover")
    run_as = account.choose(None, folder / "db1")
    if run_as.switches:
        os.chown(folder, run_as.uid, run_as.gid)
    with ExitStack() as stack:
        stack.callback(end_leftovers, folder)
        side = PgafSide(folder, bindir, run_as, stack)
        try:
            side.make()
            yield side
        finally:
            side.end_everything()
