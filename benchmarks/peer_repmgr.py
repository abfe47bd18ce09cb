"""A repmgr cluster on this machine, so that `repmgr standby switchover` can be timed beside haop's.

repmgr reaches the other machine by ssh. Both nodes are on this one, so an `ssh` that comes first in PATH runs the
command at once, by a shell. This favours repmgr: no key is exchanged and no network is crossed, on any of its calls.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from benchmarks.peer_patroni import HOST, end_leftovers, free_ports
from haop.errors import Refused
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login, connected
from haop.process import RunAs, run
from haop.runtimes import account

# repmgr's documentation asks for senders and slots, which PostgreSQL has enough of by itself, and for checksums or
# wal_log_hints; a rewind needs WAL from before the promotion.
# That a promotion does not wait 5 s for the WAL receiver is haop's default, and a favour here.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
wal_retrieve_retry_interval = '100ms'
wal_keep_size = '512MB'
"""

# `repmgr` gives options, the host, then one string for the shell of the other side.
_SSH = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do
    if [ "$1" = -o ]; then shift; fi
    shift
done
shift
exec sh -c "$*"
"""


@dataclass(frozen=True, slots=True)
class RepmgrPeer:
    """A running cluster: `db1`, at first the primary, and `db2`; `application` owns its database."""

    nodes: Mapping[str, Endpoint]
    admin: Login
    application: Login
    folder: Path  # has a data directory of each node's name, and its log
    _bindir: Path
    _run_as: RunAs

    def switchover(self, to: str) -> None:
        """Run `repmgr standby switchover` on that standby, to its end.

        Raises:
            CommandFailed: it ended with an error, or took longer than a minute.
        """
        self.repmgr(to, "standby", "switchover")

    def repmgr(self, node: str, *words: str) -> None:
        """Run a command of repmgr on a node."""
        self.program(f"{self._bindir}/repmgr", "-f", f"{self.folder}/{node}.conf", *words)

    def program(self, *argv: str) -> None:
        """Run a program to its end, as the servers' user."""
        run(argv, run_as=self._run_as, environment=self.environment, cwd=self.folder)

    @property
    def environment(self) -> dict[str, str]:
        """What programs of this cluster find in their environment."""
        return {
            "PATH": f"{self.folder}/bin:{self._bindir}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PGPASSFILE": f"{self.folder}/pgpass",
        }


@contextmanager
def repmgr_cluster(bindir: Path, folder: Path, *, services: bool, automatic: bool = False) -> Iterator[RepmgrPeer]:
    """Run two nodes on loopback, the second cloned and registered by repmgr, without repmgrd.

    `services` gives repmgr the commands that start and stop a node; it has commands of its own otherwise. With
    `automatic` the nodes are ready for a repmgrd each, which fails over.
    `bindir` has the programs of PostgreSQL and of repmgr; `folder`, new and empty, is given to the servers' user.
    At the end, also of a start that failed, every process started here is gone; data and logs stay in `folder`.

    Raises:
        Refused: repmgr is not installed there.
        CommandFailed: a program failed.
    """
    if not (bindir / "repmgr").exists():
        raise Refused(f"there is no repmgr in {bindir}", hint="apt-get install postgresql-15-repmgr")
    peer = _prepared(bindir, folder, services=services, automatic=automatic)
    with ExitStack() as stack:
        stack.callback(end_leftovers, folder)
        _first_node(peer, folder, automatic=automatic)
        _second_node(peer)
        yield peer


def _prepared(bindir: Path, folder: Path, *, services: bool, automatic: bool) -> RepmgrPeer:
    """Write the configuration, passwords and the `ssh` of the nodes' user."""
    run_as = account.choose(None, folder / "db1")
    nodes = {f"db{number}": Endpoint(HOST, port) for number, port in enumerate(free_ports(2), start=1)}
    admin = Login(user="repmgr", password=secrets.token_urlsafe())
    files = {
        "password": admin.password,
        "pgpass": f"{HOST}:*:*:{admin.user}:{admin.password}\n",
        "ssh": _SSH,
        **{
            f"{node}.conf": _configuration(node, at.port, bindir, folder, services=services, automatic=automatic)
            for node, at in nodes.items()
        },
    }
    (folder / "bin").mkdir()
    for name, text in files.items():
        file = folder / "bin" / name if name == "ssh" else folder / name
        file.touch(mode=stat.S_IRWXU if name == "ssh" else stat.S_IRUSR | stat.S_IWUSR)
        file.write_text(text)
    for path in (folder, *folder.rglob("*")) if run_as.switches else ():
        os.chown(path, run_as.uid, run_as.gid)
    application = Login(user="shop", password=secrets.token_urlsafe(), database="shop")
    return RepmgrPeer(nodes, admin, application, folder, bindir, run_as)


def _configuration(node: str, port: int, bindir: Path, folder: Path, *, services: bool, automatic: bool) -> str:
    """One node's repmgr.conf."""
    data = folder / node
    conninfo = f"host={HOST} port={port} user=repmgr dbname=repmgr connect_timeout=2 passfile={folder}/pgpass"
    own_port = f'-o "-p {port}"'  # not in its folder, where a rewind would put the other node's
    settings = {
        "node_id": node.removeprefix("db"),
        "node_name": node,
        "conninfo": conninfo,
        "data_directory": data,
        "pg_bindir": bindir,
        "pg_ctl_options": f"-l {data}.log {own_port}",
        "use_replication_slots": "yes",
        "reconnect_attempts": 2,
        "reconnect_interval": 1,
    }
    if services:
        control = f"{bindir}/pg_ctl -D {data} -l {data}.log -w"
        settings |= {f"service_{each}_command": f"{control} {each}" for each in ("reload", "promote")}
        settings |= {
            "service_start_command": f"{control} {own_port} start",
            "service_stop_command": f"{control} -m fast stop",
            "service_restart_command": f"{control} -m fast {own_port} restart",
        }
    if automatic:
        file = f"{folder}/{node}.conf"
        settings |= {
            "failover": "automatic",
            "promote_command": f"{bindir}/repmgr standby promote -f {file}",
            "follow_command": f"{bindir}/repmgr standby follow -f {file} --upstream-node-id=%n",
            "monitor_interval_secs": 1,
        }
    return "".join(f"{name}='{value}'\n" for name, value in settings.items())


def _first_node(peer: RepmgrPeer, folder: Path, *, automatic: bool) -> None:
    """Make the primary, its databases and its roles, and register it."""
    secret = ("--pwfile", f"{folder}/password", "--auth", "scram-sha-256")
    peer.program("initdb", "-D", "db1", "-U", "repmgr", *secret, "-E", "UTF8", "--locale", "C", "--data-checksums")
    with (folder / "db1" / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS)
        if automatic:
            settings.write("shared_preload_libraries = 'repmgr'\n")
    peer.repmgr("db1", "node", "service", "--action", "start")
    owner = peer.application
    with connected(peer.nodes["db1"], peer.admin, answer_seconds=30) as connection:
        connection.execute("CREATE DATABASE repmgr")
        role, password = sql.Identifier(owner.user), sql.Literal(owner.password)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(owner.database), role))
    peer.repmgr("db1", "primary", "register")


def _second_node(peer: RepmgrPeer) -> None:
    """Clone the standby as repmgr does, start it, register it."""
    first = peer.nodes["db1"]
    source = ("-h", first.host, "-p", str(first.port), "-U", "repmgr", "-d", "repmgr")
    peer.repmgr("db2", *source, "standby", "clone", "--fast-checkpoint")
    peer.repmgr("db2", "node", "service", "--action", "start")
    peer.repmgr("db2", *source, "standby", "register")
