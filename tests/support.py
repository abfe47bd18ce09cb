"""Real clusters for tests: small, quick, gone afterwards."""

import itertools
import os
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psycopg
import pytest

from haop.errors import CommandFailed, DeadlineExceeded
from haop.model.health import Health
from haop.model.spec import POSTGRES_VERSIONS
from haop.operations import guarding, status
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.operations.up import up
from haop.postgres.binaries import installation, installations
from haop.postgres.connection import Login, connected
from haop.process import RunAs, run
from haop.project import load
from haop.runtimes import account, preflight
from haop.runtimes.compose import ComposeRuntime
from haop.runtimes.local import LocalRuntime
from haop.runtimes.processes import port_holder
from haop.waiting import wait_until


class Quiet:
    """Progress that nobody watches."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:  # noqa: ARG002 - the protocol's
        return nullcontext(lambda _: None)


# Tests do not need to survive a power cut of this machine.
QUICK = {"fsync": "off", "max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}

_COUNT = itertools.count(1)


def available() -> list[int]:
    """Major versions of PostgreSQL that this machine has."""
    return sorted({found.major for found in installations() if found.major in POSTGRES_VERSIONS})


def programs(major: int, run_as: RunAs, folder: Path) -> Path:
    """Where that user can run that PostgreSQL: in place, or a copy below that folder."""
    found = installation(major, None)
    return found.bindir if _can_run(found.bindir, run_as) else preflight.copied(found, folder)


def needs_a_copy(major: int) -> bool:
    """Whether the servers' user cannot run that PostgreSQL where it lies, as below a home that only root can enter."""
    return not _can_run(installation(major, None).bindir, account.choose(None, Path("/nonexistent")))


def _can_run(bindir: Path, run_as: RunAs) -> bool:
    try:
        run((str(bindir / "postgres"), "--version"), run_as=run_as, cwd=Path("/"))
    except CommandFailed:
        return False
    return True


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, below the range that the kernel hands out by itself.

    Tests that run beside each other have ranges of their own: between the look and the use there is time.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 4
    for _ in range(200):
        first = 20000 + worker * 3000 + random.randrange(3000 - count)
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


def compose_images() -> set[str]:
    """Images that can be run in containers here: a Docker engine and Compose answer, and they need no registry.

    Raises:
        Refused: with what is missing.
    """
    from haop.docker import compose, engine

    client = engine.connect()
    compose.check_version()
    tags = {str(tag) for image in client.images() for tag in image["RepoTags"] or []}
    client.close()
    return tags


def make_project(
    where: Path,
    *,
    runtime: str = "local",
    redis: bool = False,
    nodes: int = 2,
    postgres: int | None = None,
    durability: str = "async",
    parameters: Mapping[str, str] | None = None,
    guard: bool = False,
    salvage: bool = True,
) -> Cluster:
    """A project with quick settings, on free ports; nothing runs yet. Without a guard what breaks stays so."""
    # Containers and networks have names that are the whole machine's; SEED would give two clusters the same number.
    name = "shop" if runtime == "local" else f"shop-{os.getpid()}-{next(_COUNT)}"
    first = free_ports(nodes + 1)
    wishes = Wishes(
        name=name, nodes=nodes, postgres=postgres, durability=durability, database="shop", runtime=runtime,
        first_port=first,
    )  # fmt: skip
    root = initialise(where, wishes).project.root
    config = root / "haop.toml"
    # What a drill is judged by must not depend on how busy this machine is.
    text = re.sub(r'^(write|read)_recovery = "[^"]*"', r'\1_recovery = "30s"', config.read_text(), flags=re.MULTILINE)
    # In containers settings cost a start of their own, which looks whether PostgreSQL accepts them.
    settings = {**(QUICK if runtime == "local" else {}), **(parameters or {})}
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    section = "[local]" if runtime == "local" else "[compose]"
    text = text.replace(f"\n{section}", f"{lines}\n{section}")
    for section, wanted in (("guard", guard), ("redis", redis)):
        text = re.sub(rf"(?ms)^(\[{section}\].*?enabled = )(true|false)", rf"\g<1>{str(wanted).lower()}", text, count=1)
    if not salvage:
        text = text.replace("# salvage = true ", "salvage = false ")
    config.write_text(re.sub(r"^port = \d+ +# published.*", f"port = {first + nodes}", text, flags=re.MULTILINE))
    return Cluster.of(load(root))


# What password files, URLs, redis.conf and connection strings read as something else.
AWKWARD = ":\\@/%\\:"


def awkward_passwords(root: Path) -> None:
    """Each password of `.env` gets an end that has to be escaped everywhere."""
    env = root / ".env"
    env.write_text(re.sub(r"(?m)^\w+_PASSWORD=.*$", lambda line: line[0] + AWKWARD, env.read_text()))


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
    """Kill every process of the cluster, its guard first; of containers, nothing is left."""
    guarding.stop(cluster.project)
    crash(cluster)
    if cluster.project.spec.runtime == "compose":
        cluster.runtime.down(volumes=True, say=lambda _: None)


def crash(cluster: Cluster) -> None:
    """Kill every process of the cluster, as a power cut would."""
    for node in cluster.project.spec.nodes:
        cluster.runtime.resume(node.name)
        cluster.runtime.kill(node.name)


def by_hand(cluster: Cluster, node: str, script: str) -> str:
    """What an operator would do beside haop, as the servers' user: a shell that knows PGDATA; what it printed."""
    if isinstance(cluster.runtime, LocalRuntime):
        environment = {
            "PGDATA": str(cluster.project.state / "local" / node / "data"),
            "PATH": f"{cluster.runtime._bindir}:{os.environ['PATH']}",
        }
        run_as = cluster.runtime.run_as
        return run(("sh", "-euc", script), run_as=run_as, environment=environment, cwd=Path("/")).stdout
    compose, spec = containers(cluster), cluster.project.spec
    argv = (
        "docker", "run", "--rm", "--network", "none", "--volumes-from", compose._containers.id(node),
        "--user", "postgres", "--env", f"PGDATA={compose._data}", "--entrypoint", "sh", f"postgres:{spec.postgres}",
        "-euc", script,
    )  # fmt: skip
    return run(argv).stdout


@contextmanager
def started_by_hand(cluster: Cluster, node: str) -> Iterator[None]:
    """A fenced node's data are served by something that haop did not start, until haop ends that, or the test."""
    before = """
        sed -i "/^include 'FENCED by haop/d" "$PGDATA/postgresql.auto.conf"
        rm -f "$PGDATA/FENCED.txt" "$PGDATA/postmaster.pid"
    """
    if isinstance(cluster.runtime, LocalRuntime):
        options = run(("cat", str(cluster.project.state / "local" / node / "data" / "postmaster.opts"))).stdout.strip()
        by_hand(cluster, node, f'{before}\nsetsid {options} </dev/null >"$PGDATA.log" 2>&1 &')
        yield  # the cluster's end is its end
        return
    compose, name = containers(cluster), f"by-hand-{os.getpid()}-{next(_COUNT)}"
    argv = (
        "docker", "run", "--detach", "--name", name, "--network", "none",
        "--volumes-from", compose._containers.id(node), "--user", "postgres",
        "--env", f"PGDATA={compose._data}", "--entrypoint", "sh",
        f"postgres:{cluster.project.spec.postgres}", "-euc", f'{before}\nexec postgres -D "$PGDATA"',
    )  # fmt: skip
    run(argv)
    try:
        yield
    finally:
        run(("docker", "rm", "--force", name))


def set_aside(cluster: Cluster, node: str) -> None:
    """Take a stopped node's data directory away, and its fence marker."""
    by_hand(cluster, node, 'rm -rf "$PGDATA" "$PGDATA.fence"')
    assert not cluster.runtime.holds(node, PurePosixPath("PG_VERSION"))


def local(cluster: Cluster) -> LocalRuntime:
    """The cluster's runtime, where a test needs to know that it is the local one."""
    assert isinstance(cluster.runtime, LocalRuntime)
    return cluster.runtime


def containers(cluster: Cluster) -> ComposeRuntime:
    """The cluster's runtime, where a test needs to know that it is Compose."""
    assert isinstance(cluster.runtime, ComposeRuntime)
    return cluster.runtime


def print_logs(cluster: Cluster) -> None:
    """The tail of each node's log, and before it what the node script said."""
    for node in cluster.project.spec.nodes:
        lines = [f"{line.at:%H:%M:%S.%f} {line.level} {line.message}" for line in cluster.runtime.logs(
            [node.name], follow=False, since=None)]  # fmt: skip
        earlier = [line for line in lines[:-40] if " haop: " in line]
        print(f"--- {node.name}", *earlier, "...", *lines[-40:], sep="\n")


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


def await_health(cluster: Cluster) -> None:
    """Until a look finds everything well: one look may meet a server that is slow to answer."""
    found: list[status.Assessment] = []

    def well() -> bool:
        found.append(status.observe(cluster))
        return found[-1].health is Health.HEALTHY

    try:
        wait_until(well, deadline=30, pause=0.2, waiting_for="health")
    except DeadlineExceeded:
        raise AssertionError(found[-1].findings) from None


def cut_stream(cluster: Cluster, standby: str) -> None:
    """The standby receives nothing any more, and goes on."""
    sql(cluster, standby, "ALTER SYSTEM SET primary_conninfo = ''")
    sql(cluster, standby, "SELECT pg_reload_conf()")
    alone = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"
    wait_until(lambda: sql(cluster, standby, alone), deadline=20, waiting_for=f"{standby}'s stream to end")


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


def bytes_read() -> int:
    """What this process has read so far, of files and else."""
    try:
        counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    except OSError:
        pytest.skip("this system does not count what a process reads")
    return int(counters["rchar"])
