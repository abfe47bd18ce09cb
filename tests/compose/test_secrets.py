"""What a stack shows to whoever looks: no secret, and no more rights than it needs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dotenv
import pytest

from haop.model.spec import NODES_AT_LEAST, NODES_AT_MOST
from haop.operations import render
from haop.operations.cluster import Cluster
from haop.operations.initialise import Wishes, initialise
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import Haop


def awkward(made: Cluster) -> Cluster:
    support.awkward_passwords(made.project.root)
    return stacks.loaded(made.project.root)


@pytest.fixture(scope="module")
def shop() -> Iterator[Cluster]:
    """The default stack: two nodes and Redis."""
    with support.folder() as where, stacks.up_and_running(where / "shop", awkward, redis=True) as cluster:
        yield cluster


def secret_values(cluster: Cluster) -> dict[str, str]:
    values = dotenv.dotenv_values(cluster.project.root / ".env")
    # Without its end, which would be shown escaped.
    found = {
        key: value.removesuffix(support.AWKWARD) for key, value in values.items() if value and key.endswith("_PASSWORD")
    }
    assert len(found) == 6
    keys = (cluster.project.state / "tls").glob("*.key")
    return found | {path.name: path.read_text().splitlines()[1] for path in keys}


def of_each(say: Callable[[Cluster, str], str]) -> Callable[[Cluster], str]:
    return lambda cluster: "\n".join(say(cluster, service) for service in stacks.services(cluster))


USERS = {"db1": "postgres", "db2": "postgres", "redis": "redis"}
SHOWN: dict[str, tuple[Callable[[Cluster], str], str]] = {
    # where somebody may look, and a word that shows that the look was a real one
    "inspect": (of_each(lambda c, name: stacks.docker("inspect", stacks.container(c, name))), "com.docker.compose"),
    "config": (lambda c: stacks.compose(c, "config"), "replication"),
    "logs": (of_each(stacks.log), "ready to accept connections"),
    "environment": (
        of_each(lambda c, name: stacks.execute(c, name, "cat /proc/1/environ", user=USERS[name])),
        "POSTGRES_PASSWORD_FILE=",
    ),
    "processes": (
        of_each(lambda c, name: stacks.docker("top", stacks.container(c, name), "-eo", "pid,args")),
        "redis-server",
    ),
    "stack": (lambda c: "\n".join(path.read_text() for path in c.project.stack.iterdir()), "services:"),
    "image": (
        of_each(lambda c, name: stacks.docker("history", "--no-trunc", stacks.inspect(c, name)["Image"])),
        "ENTRYPOINT",
    ),
}


@pytest.mark.parametrize("where", SHOWN)
def test_no_secret_is_shown_by_docker(shop: Cluster, where: str) -> None:
    look, word = SHOWN[where]
    told = look(shop)
    assert word in told
    assert [key for key, value in secret_values(shop).items() if value in told] == []


@pytest.mark.parametrize(("command", "word"), [
    (("logs",), "database system is ready"), (("status", "--json"), "healthy"), (("status",), "healthy"),
    (("events",), "done"), (("events", "--json"), "done"), (("render", "--check"), "up to date"),
], ids=["logs", "status-json", "status", "events", "events-json", "render"])  # fmt: skip
def test_no_secret_is_shown_by_haop(shop: Cluster, haop: Haop, command: tuple[str, ...], word: str) -> None:
    done = haop("-C", str(shop.project.root), *command)
    assert word in done.out
    assert [key for key, value in secret_values(shop).items() if value in done.out + done.err] == []


def test_the_folder_of_secrets_is_closed(shop: Cluster) -> None:
    secrets = shop.project.state / "secrets"
    folders = [path for path in secrets.iterdir() if path.is_dir()]
    for folder in (secrets, *folders):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    assert {path.name for path in folders} == {"db1", "db2", "redis"}
    (remembered,) = (path for path in secrets.iterdir() if path not in folders)
    assert (remembered.name, remembered.stat().st_mode & 0o777) == ("superuser_password", 0o600)


def test_the_servers_own_copies_are_closed_and_in_memory(shop: Cluster) -> None:
    for node in stacks.nodes(shop):
        listed = stacks.execute(shop, node, "stat -c '%a %U %n' /run/haop/secrets/*").splitlines()
        assert len(listed) >= 6
        assert {line.rpartition(" ")[0] for line in listed} == {"600 postgres"}
        assert stacks.execute(shop, node, "stat -f -c %T /run/haop/secrets").strip() == "tmpfs"
    assert stacks.execute(shop, "redis", "stat -c '%a %U' /dev/shm/redis.conf").strip() == "600 redis"


# --- psql, dsn


def test_psql_within_the_container_where_the_machine_has_none(shop: Cluster, folder: Path) -> None:
    """As on a machine that has Docker and nothing of PostgreSQL; no password is left there, or shown meanwhile."""
    for program in ("docker", "sh"):
        (folder / program).symlink_to(str(shutil.which(program)))
    environment = {**os.environ, "PATH": str(folder)}

    def psql(*arguments: str, stdin: str = "") -> support.Finished:
        return stacks.apart(shop.project.root, "psql", *arguments, input=stdin, env=environment)

    of_this = "FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    ask = f"SELECT current_user, current_database(), pg_is_in_recovery(), ssl {of_this}"
    assert psql("-c", ask, "--", "-At").out == "postgres|shop|f|t\n"
    assert psql("--standby", "--", "-Atq", stdin=f"{ask};\n").out == "postgres|shop|t|t\n"
    assert psql("db1", "-c", "\\connect - shop", "-c", "SELECT current_user", "--", "-Atq").out == "shop\n"
    failed = psql("-c", "SELECT pear")
    assert failed.code == 1
    assert 'column "pear" does not exist' in failed.err
    with subprocess.Popen(
        (sys.executable, "-m", "haop", "psql", "-c", "SELECT pg_sleep(250), 'haop'"), cwd=shop.project.root,
        env=environment, stdout=subprocess.DEVNULL,
    ) as sleeping:  # fmt: skip
        asleep = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(250%'"
        wait_until(lambda: support.sql(shop, "db1", asleep), deadline=60, waiting_for="psql to sleep")
        shown = "\n".join(look(shop) for look, _ in SHOWN.values())
        shown += "".join(p.read_text() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists())
        support.sql(shop, "db1", asleep.replace("SELECT pid", "SELECT pg_terminate_backend(pid)", 1))
    assert sleeping.returncode == 1
    assert [key for key, value in secret_values(shop).items() if value in shown] == []
    assert "psql." not in stacks.execute(shop, "db1", "ls -a /dev/shm")


@pytest.mark.parametrize(("options", "standby"), [((), "f"), (("--read",), "t")], ids=["write", "read"])
def test_dsn_from_within_the_network_connects_there(
    shop: Cluster, haop: Haop, options: tuple[str, ...], standby: str
) -> None:
    done = haop("-C", str(shop.project.root), "dsn", "--from", "network", *options)
    assert "@db1:5432,db2:5432/shop?" in done.out
    assert "mount .haop/tls/ca.crt" in done.err
    ask = "SELECT current_user, pg_is_in_recovery(), ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    script = f"PGPASSWORD=$(cat /run/secrets/owner_password) psql '{done.out.strip()}' -Atc '{ask}'"
    assert stacks.execute(shop, "db2", script) == f"shop|{standby}|t\n"


# --- compose.yaml


OPTIONS = """
[compose]
image = "postgres:18"
memory = "1g"
cpus = 1.5
shm_size = "300m"
init_scripts = "initdb.d"

[redis]
enabled = {redis}
image = "redis:7"
port = 7001
"""
WEB = """
[web]
image = "haop-test-web"
port = 7002
listens_on = 8000
command = ["python3", "app.py", "--price=$5", "it's \\"quoted\\""]
secrets = "{secrets}"
[web.environment]
PRICE = "5"
DEBUG = true
TOKEN = "${{POSTGRES_PASSWORD}}"
"""


@pytest.mark.parametrize("web", ["", "files", "env"], ids=["no-web", "web-files", "web-env"])
@pytest.mark.parametrize("redis", ["true", "false"], ids=["redis", "no-redis"])
@pytest.mark.parametrize("nodes", [NODES_AT_LEAST, 3, NODES_AT_MOST])
def test_compose_accepts_what_is_rendered_with_every_key_set(folder: Path, nodes: int, redis: str, web: str) -> None:
    root = initialise(folder / "shop", Wishes(runtime="compose", nodes=nodes, first_port=20000)).project.root
    toml = (root / "haop.toml").read_text().partition("\n[compose]")[0] + OPTIONS.format(redis=redis)
    (root / "haop.toml").write_text(toml + (WEB.format(secrets=web) if web else ""))
    cluster = stacks.loaded(root)
    render.refresh(cluster)
    assert stacks.compose(cluster, "config", "--quiet") == "", "no warning either"
    services = stacks.compose(cluster, "config", "--services").split()
    assert sorted(services) == sorted(stacks.services(cluster))
    for line in re.findall(r"file: (\S*\.haop/secrets/\S+)", stacks.compose(cluster, "config")):
        assert Path(line).is_file()


# --- Hardening


def test_containers_have_no_more_rights_than_they_need(shop: Cluster) -> None:
    for service in stacks.services(shop):
        host = stacks.inspect(shop, service)["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        added = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"} if service != "redis" else set()
        assert {name.removeprefix("CAP_") for name in host["CapAdd"] or []} == added
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Privileged"]
        assert ("/run/haop" in host.get("Tmpfs", {})) == (service != "redis")


def test_servers_do_not_run_as_root(shop: Cluster) -> None:
    for service, user in USERS.items():
        assert stacks.execute(shop, service, "stat -c %U /proc/1").strip() == user
        assert re.search(r"CapEff:\s*0+$", stacks.execute(shop, service, "cat /proc/1/status"), re.MULTILINE)


def test_containers_are_restarted_stopped_and_logged_as_asked_for(shop: Cluster) -> None:
    for service in stacks.services(shop):
        found = stacks.inspect(shop, service)
        assert found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert found["HostConfig"]["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-size": "10m", "max-file": "5"},
        }
        assert found["Config"]["Labels"]["io.haop.cluster"] == shop.project.spec.name
        if service != "redis":
            assert found["Config"]["StopSignal"] == "SIGINT"
            assert found["Config"]["StopTimeout"] == 120


def test_ports_are_published_on_loopback_alone(shop: Cluster) -> None:
    ports = {node.name: ("5432/tcp", node.port) for node in shop.project.spec.nodes}
    ports |= {name: ("6379/tcp", addon.port) for name, addon in shop.project.spec.addons.items()}
    assert "redis" in ports
    for service, (inside, outside) in ports.items():
        bound = stacks.inspect(shop, service)["NetworkSettings"]["Ports"]
        assert {port: to for port, to in bound.items() if to} == {
            inside: [{"HostIp": "127.0.0.1", "HostPort": str(outside)}]
        }


def test_the_replication_network_is_internal_and_only_nodes_are_on_it(shop: Cluster) -> None:
    name = shop.project.spec.name
    internal = '{{.Internal}} {{index .Labels "io.haop.cluster"}}'
    assert stacks.docker("network", "inspect", "--format", internal, f"{name}-replication").split() == ["true", name]
    assert stacks.docker("network", "inspect", "--format", internal, name).split() == ["false", name]
    for service in stacks.services(shop):
        attached = set(stacks.inspect(shop, service)["NetworkSettings"]["Networks"])
        assert attached == ({name} if service == "redis" else {name, f"{name}-replication"})
    for volume in ("db1", "db2", "cluster", "redis"):
        label = stacks.docker(
            "volume", "inspect", "--format", '{{index .Labels "io.haop.cluster"}}', f"{name}_{volume}"
        )
        assert label.strip() == name
