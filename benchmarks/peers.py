"""Patroni and repmgr as sides of a benchmark of failovers."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.peer_patroni import PatroniPeer, is_complete, patroni_cluster, running_agent
from benchmarks.peer_repmgr import RepmgrPeer, repmgr_cluster
from benchmarks.side import APPLICATION, Peer, make_application, package_version
from haop.postgres.connection import Login, connected
from haop.process import run

# repmgrd runs and is not paused; a standby's follows whom the cluster has as its primary, and saw it at most 2 s ago.
_REPMGRD = """
SELECT repmgr.repmgrd_is_running() AND NOT repmgr.repmgrd_is_paused() AND (NOT pg_is_in_recovery() OR (
    repmgr.get_upstream_last_seen() BETWEEN 0 AND 2 AND repmgr.get_upstream_node_id() =
        (SELECT node_id FROM repmgr.nodes WHERE type = 'primary' AND active)))
"""


class PatroniSide(Peer):
    """Patroni with one etcd, asynchronous, its times as short as it accepts."""

    name = "Patroni fastest"

    def __init__(self, peer: PatroniPeer, bindir: Path) -> None:
        super().__init__(peer.folder, bindir)
        self.agents = peer.agents
        self.nodes, self.admin = peer.nodes, peer.admin
        self.application = Login(user=APPLICATION, password=secrets.token_urlsafe(), database=APPLICATION)
        self._peer = peer
        etcd = run(("etcd", "--version")).stdout.split()[2]
        self.version = f"{run((*peer.patronictl[:1], 'version')).stdout.strip()}, etcd {etcd}"

    def switchover(self, to: str) -> None:
        """`patronictl switchover`."""
        run((*self._peer.patronictl, "switchover", "--candidate", to, "--force", "peer"))

    def stop(self, node: str) -> None:
        """Stop its Patroni, as a service manager does; that stops PostgreSQL."""
        self.end_agent(node)

    def bring_back(self, node: str, primary: str) -> None:  # noqa: ARG002 - it asks etcd
        """Start its Patroni again, unless it runs."""
        if self.agents[node].poll() is not None:
            self.agents[node] = self._peer.start(node)

    def settled(self) -> bool:
        """Whether Patroni says so on both nodes."""
        return all(is_complete(port, 2) for port in self._peer.apis.values())


class RepmgrSide(Peer):
    """repmgr with a repmgrd beside each node: two attempts, one second apart."""

    name = "repmgr tuned"

    def __init__(self, peer: RepmgrPeer, bindir: Path, stack: ExitStack) -> None:
        super().__init__(peer.folder, bindir)
        self.nodes, self.admin, self.application = peer.nodes, peer.admin, peer.application
        self.version = f"repmgr {package_version('postgresql-15-repmgr')}"
        self._peer, self._stack = peer, stack
        for node in self.nodes:
            self.start(node)

    def start(self, node: str) -> None:
        """Start the node's repmgrd."""
        pid_file = f"{self.folder}/{node}.repmgrd.pid"
        Path(pid_file).unlink(missing_ok=True)  # a killed one leaves it
        argv = (
            f"{self.bindir}/repmgrd", "-f", f"{self.folder}/{node}.conf", "--daemonize=false", "--pid-file", pid_file,
        )  # fmt: skip
        log = self.folder / f"{node}.repmgrd.log"
        self.agents[node] = self._stack.enter_context(running_agent(argv, log, self._peer.environment))

    def switchover(self, to: str) -> None:
        """`repmgr standby switchover`, which pauses both repmgrd meanwhile."""
        self._peer.switchover(to)

    def stop(self, node: str) -> None:
        """`pg_ctl stop`, after its repmgrd."""
        self.end_agent(node)
        self._stop_server(node)

    def bring_back(self, node: str, primary: str) -> None:
        """`repmgr node rejoin`, with a rewind; first what still runs is stopped. Then its repmgrd.

        A rewind reads the timeline from the new primary's control file, which a checkpoint writes (its documentation).
        """
        if self.agents[node].poll() is None:
            self.end_agent(node)
            self._stop_server(node)
        to = self.nodes[primary]
        with connected(to, self.admin, answer_seconds=60) as connection:
            connection.execute("CHECKPOINT")
        conninfo = f"host={to.host} port={to.port} user=repmgr dbname=repmgr"
        self._peer.repmgr(node, "node", "rejoin", "-d", conninfo, "--force-rewind")
        self.start(node)

    def settled(self) -> bool:
        """Whether both repmgrd run, not paused, and the standby's has seen the present primary just now."""
        answers = []
        for endpoint in self.nodes.values():
            login = Login(user=self.admin.user, password=self.admin.password, database="repmgr")
            with connected(endpoint, login) as link:
                answers.append(link.execute(_REPMGRD).fetchone())
        return all(agent.poll() is None for agent in self.agents.values()) and answers.count((True,)) == len(answers)

    def _stop_server(self, node: str) -> None:
        self._peer.program(f"{self.bindir}/pg_ctl", "-D", f"{self.folder}/{node}", "-m", "fast", "-w", "stop")


@contextmanager
def patroni_side(bindir: Path, folder: Path) -> Iterator[PatroniSide]:
    """A Patroni cluster; its programs are installed once, beside the folder."""
    with patroni_cluster(bindir, folder, cache=folder.parent / "cache") as peer:
        side = PatroniSide(peer, bindir)
        make_application(side.nodes["db1"], side.admin, side.application)
        yield side


@contextmanager
def repmgr_side(bindir: Path, folder: Path) -> Iterator[RepmgrSide]:
    """A repmgr cluster."""
    with repmgr_cluster(bindir, folder, services=True, automatic=True) as peer, ExitStack() as stack:
        yield RepmgrSide(peer, bindir, stack)
