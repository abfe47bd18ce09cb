"""Real clusters for tests: small, quick, gone afterwards."""

import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from haop.model.spec import POSTGRES_VERSIONS
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.operations.progress import Quiet
from haop.operations.up import up
from haop.postgres.binaries import installations
from haop.postgres.connection import Login, connected
from haop.project import load
from haop.runtimes.processes import port_holder

# Tests do not need to survive a power cut of this machine.
QUICK = {"fsync": "off", "max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}


def available() -> list[int]:
    """Major versions of PostgreSQL that this machine has."""
    return sorted({found.major for found in installations() if found.major in POSTGRES_VERSIONS})


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, below the range that the kernel hands out by itself."""
    for _ in range(200):
        first = random.randrange(20000, 32000)
        if not any(port_holder(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no free ports")


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that any user can enter (pytest's own cannot be)."""
    path = Path(tempfile.mkdtemp(prefix="haop-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def make_project(
    where: Path,
    *,
    nodes: int = 2,
    postgres: int | None = None,
    durability: str = "async",
    parameters: Mapping[str, str] | None = None,
) -> Cluster:
    """A project with quick settings, on free ports; nothing runs yet."""
    wishes = Wishes(
        name="shop", nodes=nodes, postgres=postgres, durability=durability, database="shop",
        first_port=free_ports(nodes),
    )  # fmt: skip
    root = initialise(where, wishes).project.root
    config = root / "haop.toml"
    # What a drill is judged by must not depend on how busy this machine is.
    text = re.sub(r'^(write|read)_recovery = "[^"]*"', r'\1_recovery = "30s"', config.read_text(), flags=re.MULTILINE)
    lines = "".join(f'{key} = "{value}"\n' for key, value in {**QUICK, **(parameters or {})}.items())
    config.write_text(text.replace("\n[local]", f"{lines}\n[local]"))
    return Cluster.of(load(root))


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, up and verified; every process of it is gone afterwards, and its logs are printed on failure."""
    try:
        up(cluster, Quiet())
        yield cluster
    except BaseException:
        print_logs(cluster)
        raise
    finally:
        end(cluster)


def end(cluster: Cluster) -> None:
    """Kill every process of the cluster."""
    for node in cluster.project.spec.nodes:
        cluster.runtime.resume(node.name)
        cluster.runtime.kill(node.name)


def print_logs(cluster: Cluster) -> None:
    """The tail of each node's log."""
    for node in cluster.project.spec.nodes:
        path = cluster.project.state / "local" / node.name / "log"
        if path.exists():
            print(f"--- {node.name}", *path.read_text(errors="replace").splitlines()[-40:], sep="\n")


def sql(cluster: Cluster, node: str, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
    """Run a statement on a node as haop's superuser; the rows, if it has any."""
    admin = cluster.engine.admin
    login = Login(user=admin.user, password=admin.password, database=database, ca=admin.ca)
    with connected(cluster.runtime.endpoint(node), login, answer_seconds=30) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def connect(cluster: Cluster, node: str, login: Login) -> "psycopg.Connection[tuple[object, ...]]":
    """A plain connection to one node, as any client would open it."""
    endpoint = cluster.runtime.endpoint(node)
    return psycopg.connect(
        host=endpoint.host, port=endpoint.port, autocommit=True, connect_timeout=2, **login.parameters()
    )


def primary_of(cluster: Cluster) -> str:
    """The one node that accepts writes."""
    primary = cluster.engine.observe().primary
    assert primary, "the cluster has no primary, or two"
    return primary.name


def standby_of(cluster: Cluster) -> str:
    """A node that follows."""
    return cluster.engine.observe().standbys[0].name


def processes_in(where: Path) -> list[str]:
    """Command lines of living processes that name a path below `where`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(where) in command:
                found.append(command)
    return found


@dataclass(frozen=True)
class Finished:
    """How a run of the command ended."""

    code: int
    out: str
    err: str
