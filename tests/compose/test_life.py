"""A stack that lives on its own: reboots, fences, first boots, health, init scripts, with haop or without."""

import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import permutations, product
from pathlib import Path

import pytest

from haop.errors import ConnectionFailed
from haop.model.health import Health
from haop.model.service import State
from haop.model.status import Reachable
from haop.operations.cluster import Cluster
from haop.operations.render import refresh
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import Haop

ROWS = [(42,)]


def keep_rows(cluster: Cluster, primary: str = "db1") -> None:
    support.sql(cluster, primary, "CREATE TABLE kept AS SELECT 42 AS answer")


def rows_are_kept(cluster: Cluster) -> None:
    for node in cluster.engine.observe().reachable:
        assert support.sql(cluster, node.name, "SELECT answer FROM kept") == ROWS, node.name


@contextmanager
def only_primary_ever(cluster: Cluster, name: str) -> Iterator[None]:
    """All the while every node is asked for its role; no other may ever be primary, alone or beside that one."""
    own, over, seen = Cluster.of(cluster.project), threading.Event(), list[tuple[str, ...]]()

    def watch() -> None:
        while not over.is_set():
            seen.append(tuple(node.name for node in own.engine.observe().primaries))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
            # Who looks from elsewhere may have been the first to see it.
            wait_until(
                lambda: (name,) in seen or watching.done(), deadline=60, waiting_for=f"{name} to be seen as primary"
            )
        finally:
            over.set()
        watching.result()
    assert set(seen) <= {(), (name,)}


def settled(cluster: Cluster, name: str) -> bool:
    """Whether a node that was started answers, or has ended."""
    return isinstance(cluster.engine.observe().node(name), Reachable) or not stacks.running(cluster, name)


def cut_power(cluster: Cluster) -> None:
    containers = [stacks.container(cluster, name) for name in stacks.services(cluster)]
    alive = [name for name in containers if name in stacks.docker("ps", "--format", "{{.Names}}").split()]
    stacks.docker("kill", *alive)


def boot(cluster: Cluster, order: Sequence[str], *, one_by_one: bool) -> None:
    """Start containers as an engine does at boot: in any order, at once or with time between them."""
    for name in order:
        stacks.docker("start", stacks.container(cluster, name))
        if one_by_one:
            wait_until(lambda name=name: settled(cluster, name), deadline=60, waiting_for=f"{name}")  # type: ignore[misc]


def fail_over(cluster: Cluster, haop: Haop) -> str:
    """Kill the primary's container, fail over; the new primary."""
    stacks.docker("kill", stacks.container(cluster, support.primary_of(cluster)))
    done = haop("-C", str(cluster.project.root), "failover", "--yes")
    assert done.code == 0, done.err
    return support.primary_of(cluster)


# --- Reboots


def test_a_pair_survives_a_power_cut_in_either_order(folder: Path, major: int) -> None:
    with stacks.up_and_running(folder / "shop", postgres=major) as cluster:
        keep_rows(cluster)
        for order, one_by_one in product(permutations(("db1", "db2")), (True, False)):
            print("order:", *order, "one by one" if one_by_one else "at once")
            cut_power(cluster)
            with only_primary_ever(cluster, "db1"):
                boot(cluster, order, one_by_one=one_by_one)
                stacks.streaming(cluster, "db1", "db2")
            rows_are_kept(cluster)


def test_three_nodes_after_a_failover_survive_a_power_cut_in_every_order(folder: Path, haop: Haop) -> None:
    with stacks.up_and_running(folder / "shop", nodes=3) as cluster:
        keep_rows(cluster)
        primary = fail_over(cluster, haop)
        (other,) = {"db2", "db3"} - {primary}
        stacks.streaming(cluster, primary, other)
        fenced_orders = random.sample(list(permutations(stacks.nodes(cluster))), 3)
        for order in fenced_orders:
            print("order, db1 fenced:", *order)
            cut_power(cluster)
            with only_primary_ever(cluster, primary):
                boot(cluster, order, one_by_one=random.random() < 0.5)
                stacks.streaming(cluster, primary, other)
                stacks.has_ended(cluster, "db1")
            rows_are_kept(cluster)
        assert haop("-C", "shop", "rejoin", "db1", "--yes").code == 0
        for order in permutations(stacks.nodes(cluster)):
            print("order:", *order)
            cut_power(cluster)
            with only_primary_ever(cluster, primary):
                boot(cluster, order, one_by_one=random.random() < 0.5)
                stacks.streaming(cluster, primary, "db1", other)
            rows_are_kept(cluster)


def test_a_restart_of_each_container_changes_no_role(folder: Path) -> None:
    with stacks.up_and_running(folder / "shop", redis=True) as cluster:
        keep_rows(cluster)
        for name in ("db2", "db1", "redis"):
            with only_primary_ever(cluster, "db1"):
                stacks.docker("restart", stacks.container(cluster, name))
                stacks.streaming(cluster, "db1", "db2")
                wait_until(lambda name=name: stacks.running(cluster, name), deadline=60, waiting_for=name)  # type: ignore[misc]
                assert stacks.inspect(cluster, name)["RestartCount"] == 0, stacks.log(cluster, name)[-500:]
        rows_are_kept(cluster)
        assert "not properly shut down" not in stacks.log(cluster, "db1")
        support.await_health(cluster)


def test_compose_itself_takes_the_stack_down_and_brings_it_back(folder: Path, haop: Haop) -> None:
    with stacks.up_and_running(folder / "shop") as cluster:
        keep_rows(cluster)
        fail_over(cluster, haop)
        assert haop("-C", "shop", "rejoin", "db1", "--yes").code == 0
        stacks.compose(cluster, "down")
        with only_primary_ever(cluster, "db2"):
            stacks.compose(cluster, "up", "--detach")
            stacks.streaming(cluster, "db2", "db1")
        rows_are_kept(cluster)


@pytest.mark.parametrize("new", [True, False], ids=["new", "reboot"])
def test_up_waits_for_a_stack_that_comes_up_by_itself(folder: Path, new: bool) -> None:
    """An operator logs in after a power cut, and types `haop up` at once."""
    with stacks.ended(support.make_project(folder / "shop", runtime="compose")) as cluster:
        refresh(cluster)
        if not new:
            stacks.up(cluster)
            cut_power(cluster)
        stacks.compose(cluster, "up", "--detach")
        assert stacks.up(cluster).health is Health.HEALTHY


# --- The fence


def test_a_fenced_primary_refuses_until_it_is_rejoined(folder: Path, haop: Haop) -> None:
    with stacks.up_and_running(folder / "shop") as cluster:
        keep_rows(cluster)
        assert fail_over(cluster, haop) == "db2"
        assert stacks.restart_policy(cluster, "db1") == "no"
        with only_primary_ever(cluster, "db2"):
            stacks.docker("start", stacks.container(cluster, "db1"))
            stacks.has_ended(cluster, "db1")
        assert "refuse: fenced" in stacks.log(cluster, "db1")
        told = haop("-C", "shop", "status")
        assert told.code == 3
        assert "db1 does not answer: fenced" in told.out

        stacks.compose(cluster, "down")
        with only_primary_ever(cluster, "db2"):
            stacks.compose(cluster, "up", "--detach")
            wait_until(lambda: "refuse: fenced" in stacks.log(cluster, "db1"), deadline=60, waiting_for="db1 to refuse")
            wait_until(lambda: cluster.engine.observe().primary, deadline=60, waiting_for="db2")
        wait_until(
            lambda: "db1 does not answer: fenced" in haop("-C", "shop", "status").out, deadline=60,
            waiting_for="status to say that db1 is fenced",
        )  # fmt: skip

        done = haop("-C", "shop", "rejoin", "db1", "--yes")
        assert done.code == 0, done.err
        stacks.streaming(cluster, "db2", "db1")
        assert stacks.restart_policy(cluster, "db1") == "unless-stopped"
        assert haop("-C", "shop", "status").code == 0
        rows_are_kept(cluster)


# --- With no haop around


def redis_says(port: int, *commands: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link, link.makefile("rwb") as stream:
        answer = ""
        for command in commands:
            stream.write(f"{command}\r\n".encode())
            stream.flush()
            answer = stream.readline().decode().strip()
        return answer


@pytest.mark.parametrize("durability", ["async", "sync"])
def test_a_new_cluster_boots_without_haop_and_up_finds_nothing_to_do(folder: Path, haop: Haop, durability: str) -> None:
    name, port = f"boot{random.randrange(10**6)}", support.free_ports(2)
    made = haop("init", "shop", "--name", name, "--runtime", "compose", "--durability", durability, "--first-port",
                str(port))  # fmt: skip
    assert made.code == 0, made.err
    support.awkward_passwords(folder / "shop")
    assert haop("-C", "shop", "render").code == 0
    cluster = Cluster.of(load(folder / "shop"))
    spec, own = cluster.project.spec, cluster.secrets
    assert spec.redis
    with stacks.ended(cluster):
        stacks.compose(cluster, "up", "--detach")
        wait_until(lambda: answers(cluster, "db1"), deadline=stacks.SECONDS, waiting_for="db1 to answer")
        stacks.streaming(cluster, "db1", "db2")

        roles = support.sql(cluster, "db1", "SELECT rolname, rolsuper, rolreplication FROM pg_roles WHERE rolcanlogin")
        wanted = {own.replication_user: (False, True), own.rewind_user: (False, False)}
        wanted |= {own.monitor_user: (False, False), "app": (False, False), "postgres": (True, True)}
        assert {role: (superuser, replication) for role, superuser, replication in roles} == wanted
        with support.connect(cluster, "db1", cluster.engine.application) as link:
            link.execute("CREATE TABLE mine AS SELECT 42 AS answer")
            assert link.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'").fetchall() == [
                ("app",)
            ]
        confirming = support.sql(cluster, "db1", "SHOW synchronous_standby_names")
        assert confirming == ([('ANY 1 ("db2")',)] if durability == "sync" else [("",)])
        assert redis_says(spec.redis.port, "PING").startswith("-NOAUTH")
        assert redis_says(spec.redis.port, f"AUTH {own.redis_password}", "PING") == "+PONG"

        before = stacks.started(cluster)
        done = haop("-C", "shop", "up")
        assert done.code == 0, done.err
        assert f"{name} is healthy" in done.out
        assert stacks.started(cluster) == before


def answers(cluster: Cluster, node: str) -> bool:
    try:
        return bool(support.sql(cluster, node, "SELECT 1"))
    except ConnectionFailed:
        return False


# --- Health checks


def health(cluster: Cluster, node: str) -> tuple[str, str]:
    """The engine's word, and what the last check printed."""
    found = stacks.inspect(cluster, node)["State"]["Health"]
    return found["Status"], found["Log"][-1]["Output"].strip() if found["Log"] else ""


def await_health(cluster: Cluster, node: str, word: str, told: str) -> None:
    wait_until(lambda: health(cluster, node) == (word, told), deadline=stacks.SECONDS, pause=0.5,
               waiting_for=f"{node} to be {word}: {told}")  # fmt: skip


def a_check_that_is_killed_does_no_harm(cluster: Cluster) -> None:
    """The engine kills the check's shell alone; the server inherits the rest, and must not take its end for a crash."""
    slow = """mkdir /tmp/slow; real=$(command -v psql)
        printf '#!/bin/sh\\nsleep 1\\nexec %s "$@"\\n' "$real" >/tmp/slow/psql
        chmod +x /tmp/slow/psql; PATH=/tmp/slow:$PATH sh /etc/haop/health.sh & sleep 0.5; kill -9 $!; wait"""
    with support.connect(cluster, "db1", cluster.engine.admin) as connection:
        stacks.execute(cluster, "db1", slow, user="postgres")
        wait_until(lambda: "untracked child process" in stacks.log(cluster, "db1"), deadline=stacks.SECONDS,
                   waiting_for="the server to collect what is left of the check")  # fmt: skip
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_health_checks_know_the_role_and_a_standby_without_its_primary_is_not_well(folder: Path) -> None:
    with stacks.up_and_running(folder / "shop") as cluster:
        await_health(cluster, "db1", "healthy", "primary")
        await_health(cluster, "db2", "healthy", "standby, streaming")
        a_check_that_is_killed_does_no_harm(cluster)
        support.sql(cluster, "db1", "CREATE TABLE kept (answer int)")
        there = "SELECT 1 WHERE to_regclass('kept') IS NOT NULL"
        wait_until(
            lambda: support.sql(cluster, "db2", there), deadline=stacks.SECONDS, waiting_for="the table to arrive"
        )
        support.containers(cluster).cut("db2", clients=False)
        await_health(cluster, "db2", "unhealthy", "standby, not streaming")
        support.sql(cluster, "db1", "INSERT INTO kept VALUES (42)")
        assert support.sql(cluster, "db1", "SELECT answer FROM kept") == ROWS
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == []
        assert health(cluster, "db1") == ("healthy", "primary")
        support.containers(cluster).mend("db2")
        wait_until(lambda: support.sql(cluster, "db2", "SELECT answer FROM kept") == ROWS, deadline=stacks.SECONDS,
                   waiting_for="the row to arrive")  # fmt: skip
        await_health(cluster, "db2", "healthy", "standby, streaming")


# --- Init scripts


def with_scripts(cluster: Cluster, scripts: dict[str, bytes]) -> Cluster:
    (home := cluster.project.root / "initdb.d").mkdir()
    for name, text in scripts.items():
        (home / name).write_bytes(text)
    config = cluster.project.root / "haop.toml"
    config.write_text(config.read_text().replace("# init_scripts =", "init_scripts ="))
    return Cluster.of(load(cluster.project.root))


SCRIPTS = {
    "1.sql": b"CREATE TABLE ran (script text, place text, host text DEFAULT ''); "
    b"INSERT INTO ran VALUES ('sql', current_database())",
    "2.sh": b'set -e\npsql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL\n'
    b"INSERT INTO ran VALUES ('sh', current_database(), '$(hostname)')\nSQL\n",
    "3.sql.gz": gzip.compress(b"INSERT INTO ran VALUES ('gz', current_database());\n"),
    "README": b"this is no script\n",
}


def test_init_scripts_run_once_on_the_first_node_in_the_applications_database(folder: Path, major: int) -> None:
    wanted = [("gz", "shop", ""), ("sh", "shop", "db1"), ("sql", "shop", "")]
    with stacks.up_and_running(folder / "shop", lambda made: with_scripts(made, SCRIPTS), postgres=major) as cluster:
        for _ in range(2):
            for node in ("db1", "db2"):
                assert support.sql(cluster, node, "SELECT * FROM ran ORDER BY script", database="shop") == wanted
            stacks.compose(cluster, "down")
            stacks.up(cluster)


@pytest.mark.parametrize(("script", "bad", "good"), [
    ("7.sql", b"SELECT 1 FROM nowhere;", b"CREATE TABLE done ();"),
    ("7.sh", b"exit 3", b'psql -U postgres -d "$POSTGRES_DB" -c "CREATE TABLE done ()"'),
], ids=["sql", "sh"])  # fmt: skip
def test_an_init_script_that_fails_is_named_and_once_corrected_up_completes(
    folder: Path, haop: Haop, script: str, bad: bytes, good: bytes
) -> None:
    cluster = with_scripts(support.make_project(folder / "shop", runtime="compose"), {**SCRIPTS, script: bad})
    with stacks.ended(cluster):
        failed = haop("-C", "shop", "up")
        assert failed.code == 1
        assert f"the init script /docker-entrypoint-initdb.d/{script} failed" in failed.err
        (cluster.project.root / "initdb.d" / script).write_bytes(good)
        done = haop("-C", "shop", "up")
        assert done.code == 0, done.err
        assert support.sql(cluster, "db2", "SELECT count(*) FROM ran", database="shop") == [(3,)]
        assert support.sql(cluster, "db2", "SELECT count(*) FROM done", database="shop") == [(0,)]


# --- Stops and interruptions


def commands(cluster: Cluster, node: str) -> str:
    return stacks.docker("top", stacks.container(cluster, node), "-eo", "pid,args")


def ends_by_itself(cluster: Cluster, node: str) -> None:
    """The trap's own exit code; SIGKILL after the grace period would leave 137."""
    stacks.docker("stop", "--time", "60", stacks.container(cluster, node))
    assert stacks.inspect(cluster, node)["State"]["ExitCode"] == 143


def test_a_node_that_waits_for_a_primary_stops_when_asked(folder: Path) -> None:
    with stacks.ended(support.make_project(folder / "shop", runtime="compose")) as cluster:
        stacks.compose(cluster, "up", "--detach", "--no-deps", "db2")
        wait_until(lambda: "sleep 1" in commands(cluster, "db2"), deadline=60, waiting_for="db2 to wait")
        ends_by_itself(cluster, "db2")


def test_a_node_that_clones_from_a_primary_that_hangs_stops_when_asked(folder: Path) -> None:
    with stacks.up_and_running(folder / "shop") as cluster:
        support.sql(cluster, "db1", "CREATE TABLE large AS SELECT repeat('x', 500) FROM generate_series(1, 300000)")
        stacks.docker("rm", "--force", stacks.container(cluster, "db2"))
        stacks.docker("volume", "rm", f"{cluster.project.spec.name}_db2")
        stacks.compose(cluster, "up", "--detach", "--no-deps", "db2")
        wait_until(lambda: "pg_basebackup -D" in commands(cluster, "db2"), deadline=60, pause=0.001,
                   waiting_for="db2 to clone")  # fmt: skip
        stacks.docker("pause", stacks.container(cluster, "db1"))
        assert "pg_basebackup -D" in commands(cluster, "db2")
        ends_by_itself(cluster, "db2")
        stacks.docker("unpause", stacks.container(cluster, "db1"))
        assert stacks.up(cluster).health is Health.HEALTHY
        assert support.sql(cluster, "db2", "SELECT count(*) FROM large") == [(300000,)]


def exists(kind: str, name: str) -> bool:
    return stacks.ask(kind, "inspect", name).returncode == 0


@pytest.mark.parametrize("moment", ["creating", "initialising", "cloning"])
def test_ctrl_c_leaves_what_the_next_up_completes(folder: Path, moment: str) -> None:
    cluster = support.make_project(folder / "shop", runtime="compose")
    name = cluster.project.spec.name

    def reached() -> bool:
        if moment == "creating":
            return exists("network", name)
        node = {"initialising": "db1", "cloning": "db2"}[moment]
        return exists("container", stacks.container(cluster, node)) and stacks.running(cluster, node)

    with stacks.ended(cluster):
        argv = (sys.executable, "-m", "haop", "-C", str(cluster.project.root), "up")
        # Ctrl-C reaches the whole group of the terminal, `docker compose` included.
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        wait_until(reached, deadline=60, pause=0.001, waiting_for=moment)
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == 130, told
        assert "Traceback" not in told
        assert "interrupted" in told
        if moment == "cloning":
            assert cluster.runtime.state("db2").state is not State.RUNNING
        assert stacks.up(cluster).health is Health.HEALTHY


def test_who_has_just_been_started_hears_that_it_is_to_stop(folder: Path) -> None:
    """Process 1 ignores signals until it has a handler: a stop would end with SIGKILL, after two minutes."""
    with stacks.up_and_running(folder / "shop") as cluster:
        for _ in range(5):
            cluster.runtime.stop("db2")
            cluster.runtime.start(cluster.services()["db2"])
            cluster.runtime.stop("db2", seconds=30)
            assert stacks.inspect(cluster, "db2")["State"]["ExitCode"] in {0, 143}, "it was killed"
        assert stacks.up(cluster).health is Health.HEALTHY


# --- Volumes and names


def test_every_volume_has_a_name_and_is_mounted_where_the_image_wants_it(folder: Path, major: int) -> None:
    mount = {15: "/var/lib/postgresql/data", 18: "/var/lib/postgresql"}[major]
    with stacks.up_and_running(folder / "shop", postgres=major, redis=True) as cluster:
        name = cluster.project.spec.name
        wanted = {node: {mount: f"{name}_{node}", "/var/lib/haop": f"{name}_cluster"} for node in ("db1", "db2")}
        wanted["redis"] = {"/data": f"{name}_redis"}
        for service, volumes in wanted.items():
            mounts = [it for it in stacks.inspect(cluster, service)["Mounts"] if it["Type"] == "volume"]
            assert {it["Destination"]: it["Name"] for it in mounts} == volumes
        data = stacks.execute(cluster, "db1", 'test -s "$PGDATA/PG_VERSION" && printf %s "$PGDATA"')
        assert data == {15: f"{mount}/pgdata", 18: f"{mount}/18/docker"}[major]


def test_two_clusters_live_side_by_side(folder: Path, haop: Haop) -> None:
    with stacks.up_and_running(folder / "one") as one, stacks.up_and_running(folder / "two") as two:
        assert one.project.spec.name != two.project.spec.name
        for cluster in (one, two):
            support.sql(cluster, "db1", f"CREATE TABLE kept AS SELECT '{cluster.project.spec.name}' AS name")
        for cluster in (one, two):
            assert support.sql(cluster, "db2", "SELECT name FROM kept") == [(cluster.project.spec.name,)]
            system = {node.server.system_identifier for node in cluster.engine.observe().reachable}
            assert len(system) == 1
        before = stacks.started(two)
        assert haop("-C", "one", "down", "--volumes", "--yes").code == 0
        assert stacks.left(one.project.spec.name) == []
        assert stacks.started(two) == before
        assert json.loads(haop("-C", "two", "status", "--json").out)["health"] == "healthy"
