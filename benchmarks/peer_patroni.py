"""A Patroni cluster on this machine, so that its command line and its failovers can be timed beside haop's."""

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import psutil

from haop.errors import CommandFailed, Refused
from haop.model.endpoint import Endpoint
from haop.postgres.connection import Login
from haop.waiting import wait_until
from tests import support

HOST = "127.0.0.1"
ROLES = ("superuser", "replication", "rewind")
# A node that went ahead of the new primary is rewound. That a promotion does not wait 5 s for the WAL receiver is
# haop's default, and a favour here.
_SETTINGS = {"use_pg_rewind": True, "use_slots": True, "parameters": {"wal_retrieve_retry_interval": "100ms"}}


class PatroniPeer(NamedTuple):
    """A running Patroni cluster."""

    patronictl: tuple[str, ...]  # the argv to which a command such as `"list"` is added
    nodes: dict[str, Endpoint]
    apis: dict[str, int]  # ports
    admin: Login
    folder: Path  # has a data directory of each node's name
    agents: dict[str, subprocess.Popen[bytes]]
    start: Callable[[str], subprocess.Popen[bytes]]  # the agent of a node, ended with the cluster


@contextmanager
def patroni_cluster(bindir: Path, workdir: Path, nodes: int = 2, *, cache: Path | None = None) -> Iterator[PatroniPeer]:
    """Run etcd and `nodes` Patroni nodes on loopback; inside, db1 leads and all others are streaming.

    `bindir` has PostgreSQL's programs; `cache` (or else `workdir`) is for `patroni_venv`. Started by root, it
    runs as `postgres` or else `nobody`, and both folders are opened to that user. At the end, also of a start
    that failed, every process started here is gone; data and logs stay in a new folder of `workdir`.
    Raises Refused if etcd is missing, CommandFailed if a program fails or is closed to that user, and
    DeadlineExceeded if the cluster is not complete in time.
    """
    if (etcd := shutil.which("etcd")) is None:
        raise Refused("Patroni needs etcd, which is not installed", hint="apt-get install etcd-server")
    programs = patroni_venv(cache or workdir) / "bin"
    open_to_servers(workdir)
    _run("ls", "-d", f"{workdir.absolute()}/.", f"{bindir.absolute()}/postgres", **identity())
    client_port, peer_port, *ports = free_ports(2 + 2 * nodes)
    folder = Path(tempfile.mkdtemp(prefix="patroni-", dir=workdir.absolute()))
    users = {role: {"username": f"ha_{role}", "password": secrets.token_urlsafe()} for role in ROLES}
    files = _write_configurations(folder, bindir.absolute(), client_port, ports, users)
    with ExitStack() as stack:
        stack.callback(end_leftovers, folder)
        store = stack.enter_context(running_agent(_etcd_argv(etcd, client_port, peer_port), folder / "etcd.log"))
        _await(lambda: _get(client_port, "/health").get("health") == "true", "etcd", store)
        agents = {}

        def start(name: str) -> subprocess.Popen[bytes]:
            argv = (f"{programs}/patroni", str(folder / f"{name}.yaml"))
            return stack.enter_context(running_agent(argv, folder / f"{name}.log"))

        for count, file in enumerate(files, start=1):  # the first leads, the others clone it at once
            agents[file.stem] = start(file.stem)
            complete = partial(is_complete, ports[1], count)
            _await(complete, f"{file.stem} to join (log: {folder})", agents[file.stem])
        yield PatroniPeer(
            (f"{programs}/patronictl", "-c", str(files[0])),
            nodes={file.stem: Endpoint(HOST, port) for file, port in zip(files, ports[::2], strict=True)},
            apis={file.stem: port for file, port in zip(files, ports[1::2], strict=True)},
            admin=Login(user=users["superuser"]["username"], password=users["superuser"]["password"]),
            folder=folder, agents=agents, start=start,
        )  # fmt: skip


def patroni_venv(cache: Path) -> Path:
    """Return `cache/patroni-venv` with Patroni in it, byte-compiled; made unless it is there complete.

    `cache` is a folder that nobody else can write to. Root gets the system's Python: the present one may be
    below root's home. Raises CommandFailed if pip fails, or the nodes' user cannot run what it installed.
    """
    venv = cache.absolute() / "patroni-venv"
    python, complete = str(venv / "bin" / "python"), venv / "complete"
    open_to_servers(venv.parent)
    if not complete.exists():
        system = shutil.which("python3", path=f"{os.defpath}:/usr/local/bin") if identity() else None
        _run(system or sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv), umask=0o022)
        pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
        _run(*pip, "patroni[etcd3]", "psycopg[binary]", umask=0o022)
        _run(python, "-m", "compileall", "-q", str(venv / "lib"), umask=0o022)
        complete.touch()
    _run(python, "-c", "import patroni", cwd="/", **identity())
    return venv


def same_python(cache: Path) -> str:
    """`patronictl` for this very interpreter, so that a comparison with haop is not one of interpreters."""
    venv = cache / "same-python"
    _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
    python = str(venv / "bin" / "python")
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "patroni[etcd3]", "psycopg[binary]")
    _run(python, "-m", "compileall", "-q", str(venv / "lib"))
    return str(venv / "bin" / "patronictl")


def open_to_servers(folder: Path) -> None:
    """Make the folder, and let the nodes' user enter it."""
    folder.mkdir(parents=True, exist_ok=True)
    if identity():
        folder.chmod(folder.stat().st_mode | 0o011)


def identity() -> dict[str, Any]:
    """What makes `subprocess` give up root, which PostgreSQL refuses; empty for any other user."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(*argv: str, **options: Any) -> None:
    """Run a program to its end, or raise CommandFailed with its last words."""
    try:
        subprocess.run(argv, capture_output=True, text=True, check=True, **options)
    except (OSError, subprocess.SubprocessError) as error:
        hint = "what the nodes use must be in folders that every user can enter, as below /var/tmp"
        last_words = getattr(error, "stderr", str(error))[-500:].strip()
        raise CommandFailed(f"{' '.join(argv)} failed: {last_words}", hint=hint) from error


def free_ports(count: int) -> list[int]:
    """So many ports that no outgoing connection is given: a killed node must be able to come back to its own."""
    first = support.free_ports(count)
    return list(range(first, first + count))


def _write_configurations(
    folder: Path, bindir: Path, etcd_port: int, ports: list[int], users: dict[str, Any]
) -> list[Path]:
    """Write one file a node, of the nodes' user as their folder: JSON, which is YAML too."""
    files = [folder / f"db{number}.yaml" for number in range(1, len(ports) // 2 + 1)]
    for file, *pair in zip(files, ports[::2], ports[1::2], strict=True):
        file.touch(mode=0o600)
        file.write_text(_configuration(file, bindir, etcd_port, pair, users))
    for path in (*files, folder):
        os.chown(path, identity().get("user", -1), identity().get("group", -1))
    return files


def _configuration(file: Path, bindir: Path, etcd: int, ports: list[int], users: dict[str, Any]) -> str:
    """One node's settings: the shortest times that Patroni accepts, and the machine's watchdog left alone."""
    sql, api = (f"{HOST}:{port}" for port in ports)
    initdb = [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "scram-sha-256"}, "data-checksums"]
    return json.dumps({
        "scope": "peer", "name": file.stem, "etcd3": {"host": f"{HOST}:{etcd}"}, "watchdog": {"mode": "off"},
        "restapi": {"listen": api, "connect_address": api, "authentication": users["superuser"]},
        "bootstrap": {"dcs": {"ttl": 20, "loop_wait": 1, "retry_timeout": 3, "postgresql": _SETTINGS},
                      "initdb": initdb},
        "postgresql": {
            "listen": sql, "connect_address": sql, "bin_dir": str(bindir), "authentication": users,
            "data_dir": str(file.with_suffix("")), "pgpass": str(file.with_suffix(".pgpass")),
            "parameters": {"password_encryption": "scram-sha-256", "unix_socket_directories": ""},
            "pg_hba": [f"host {database} all {HOST}/32 scram-sha-256" for database in ("all", "replication")],
        },
    })  # fmt: skip


def _etcd_argv(etcd: str, client_port: int, peer_port: int) -> tuple[str, ...]:
    client, peer = f"http://{HOST}:{client_port}", f"http://{HOST}:{peer_port}"
    listen = ("--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer)
    return (etcd, *listen, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}")


@contextmanager
def running_agent(
    argv: tuple[str, ...], log: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program as the nodes' user, in the folder of its log; at the end ask it to stop, then insist."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=log.parent, start_new_session=True,
            env={"PATH": os.environ["PATH"], "HOME": str(log.parent), **environment}, umask=0o077, **identity(),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


def _await(ready: Callable[[], bool], waiting_for: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for `ready`; give up at once when the process has ended."""
    wait_until(lambda: process.poll() is not None or ready(), deadline=60, waiting_for=waiting_for, pause=0.1)
    if process.returncode is not None:
        raise CommandFailed(f"a process ended with code {process.returncode} while waiting for {waiting_for}")


def _get(port: int, path: str) -> dict[str, Any]:
    """The JSON object that a local server answers with; empty while it does not."""
    with closing(HTTPConnection(HOST, port, timeout=2)) as api, suppress(OSError, HTTPException, ValueError):
        api.request("GET", path)
        return dict(json.load(api.getresponse()))
    return {}


def is_complete(port: int, nodes: int) -> bool:
    """Whether so many nodes are in the cluster, one of them leading and all others streaming."""
    states = sorted(f"{each['role']} {each['state']}" for each in _get(port, "/cluster").get("members", []))
    return states == ["leader running", *["replica streaming"] * (nodes - 1)]


def end_leftovers(folder: Path) -> None:
    """End what a killed cluster leaves: every process whose HOME is its folder."""
    for number in (signal.SIGQUIT, signal.SIGKILL):  # PostgreSQL's backends end with their postmaster
        everything = psutil.process_iter(["environ"])
        found = [each for each in everything if (each.info["environ"] or {}).get("HOME") == str(folder)]
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(found, timeout=5)
