"""Bad input and bad luck on Compose: one clear message, and nothing changed that was not asked for."""

import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from haop.model.service import State
from haop.operations.cluster import Cluster
from tests import support
from tests.cli.test_bad_input import Refusals, edit, snapshot
from tests.compose import stacks
from tests.conftest import Haop


@pytest.fixture
def refused(haop: Haop, folder: Path) -> Refusals:
    return Refusals(haop, folder)


@pytest.fixture
def shop(folder: Path) -> Iterator[Cluster]:
    """A stack that was never started, its files as haop.toml says; whatever a test makes of it is gone afterwards."""
    made = support.make_project(folder / "shop", runtime="compose")
    stacks.rendered(made)
    with stacks.ended(made):
        yield made


def config(cluster: Cluster) -> Path:
    return cluster.project.root / "haop.toml"


def nothing_was_made(cluster: Cluster) -> bool:
    return stacks.left(cluster.project.spec.name) == []


# --- The engine, and Compose


def refused_apart(where: Path, *arguments: str, says: tuple[str, ...], **more: Any) -> None:
    """As `Refusals`, in a process of its own: the engine's library leaves a socket behind when nobody answers."""
    before = snapshot(where)
    done = stacks.apart(where, *arguments, **more)
    assert done.code == 2, done
    assert not done.out
    assert done.err.startswith("error: ")
    assert done.err.count("error: ") == 1
    for words in says:
        assert words in done.err
    assert snapshot(where) == before


@pytest.mark.parametrize("command", ["up", "status", "down"])
def test_no_engine(shop: Cluster, folder: Path, command: str) -> None:
    nowhere = {**os.environ, "DOCKER_HOST": "unix:///nonexistent.sock"}
    says = ("no Docker engine answers at", "/nonexistent.sock", "start Docker")
    refused_apart(folder, "-C", "shop", command, says=says, env=nowhere)


def test_an_engine_that_refuses_connections(shop: Cluster, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "dead.sock"))
        environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/dead.sock"}
        says = ("no Docker engine answers at", "dead.sock", "start Docker")
        refused_apart(folder, "-C", "shop", "up", says=says, env=environment)


def test_a_context_that_is_not_there(shop: Cluster, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    says = ("there is no Docker context 'nowhere'", "docker context ls")
    refused_apart(folder, "-C", "shop", "up", says=says, env={**environment, "DOCKER_CONTEXT": "nowhere"})


def test_an_engine_that_may_not_be_asked(folder: Path, other_user: dict[str, Any]) -> None:
    os.chown(folder, other_user["user"], other_user["group"])
    who = {**other_user, "env": {**os.environ, "HOME": str(folder)}}
    ports = str(support.free_ports(2))
    made = stacks.apart(folder, "init", "shop", "--runtime", "compose", "--first-port", ports, **who)
    assert made.code == 0, made.err
    says = ("no permission to talk to the Docker engine at ", "join the group that owns the socket")
    for command in ("up", "status", "down"):
        refused_apart(folder, "-C", "shop", command, says=says, **who)


@contextmanager
def engine_of_the_past(where: Path) -> Iterator[str]:
    """Answers as Docker 19.03 does. A fake, because old engines cannot be had."""

    class Old(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"Version": "19.03.15", "ApiVersion": "1.40", "MinAPIVersion": "1.12"}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A socket's client has no address to print."""

    with ThreadingUnixStreamServer(str(where), Old) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"unix://{where}"
        finally:
            server.shutdown()
            serving.join()


def test_an_engine_that_is_too_old(
    refused: Refusals, shop: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of_the_past(folder / "old.sock") as address, monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", address)
        refused("-C", "shop", "up", says=("Docker engine 19.03.15 is too old", "20.10 or newer"))


@pytest.mark.parametrize(("script", "says"), [
    ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", ("Compose v2 is missing",)),
    ("echo 2.17.3", ("Compose 2.17.3 is too old", "2.20 or newer")),
    ("echo v1.29.2", ("Compose v1.29.2 is too old", "2.20 or newer")),
    (None, ("Compose v2 is missing",)),
], ids=["missing", "too-old", "version-1", "no-docker-command"])  # fmt: skip
def test_compose_that_cannot_be_used(
    *, refused: Refusals, shop: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch, script: str | None,
    says: tuple[str, ...],
) -> None:  # fmt: skip
    (programs := folder / "bin").mkdir()
    if script:
        (programs / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "docker").chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}" if script else str(programs))
        refused("-C", "shop", "up", says=(*says, "docs.docker.com/compose/install"))
    assert nothing_was_made(shop)


# --- Images, ports, volumes, names


@pytest.mark.parametrize("where", ["compose", "redis"])
def test_an_image_that_is_not_there(haop: Haop, shop: Cluster, where: str) -> None:
    if where == "compose":
        edit(config(shop), r"^# image = .*", 'image = "nonexistent-haop-image:1"')
    else:
        edit(config(shop), r"^enabled = false(?= +# default)", "enabled = true")
        edit(config(shop), r'^image = "redis:7"', 'image = "nonexistent-haop-image:1"')
    done = haop("-C", "shop", "up")
    assert done.code == 2, done.err
    assert done.err.count("error: ") == 1
    assert "nonexistent-haop-image" in done.err.partition("error: ")[2]
    assert re.search("the image nonexistent-haop-image:1 cannot be pulled|no image nonexistent-haop-image:1", done.err)
    assert nothing_was_made(shop)


def test_a_port_that_a_process_listens_on(refused: Refusals, shop: Cluster) -> None:
    port = shop.project.spec.nodes[1].port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections may have ended there just now
        taken.bind(("127.0.0.1", port))
        taken.listen()
        refused("-C", "shop", "up", says=(f"port {port} of db2 is in use by process {os.getpid()} (",))
    assert nothing_was_made(shop)


@contextmanager
def stranger(*arguments: str) -> Iterator[str]:
    """A container of somebody else's; its name."""
    name = f"haop-test-stranger-{os.getpid()}"
    stacks.docker("run", "--detach", "--rm", "--name", name, *arguments, "redis:7")
    try:
        yield name
    finally:
        stacks.docker("rm", "--force", "--volumes", name)


def test_a_port_that_another_container_publishes(refused: Refusals, shop: Cluster) -> None:
    port = shop.project.spec.nodes[1].port
    with stranger("--publish", f"127.0.0.1:{port}:6379") as name:
        refused("-C", "shop", "up", says=(f"port {port} of db2 is in use by the container {name}",))
    assert nothing_was_made(shop)


@pytest.mark.parametrize("volume", ["db2", "cluster"])
def test_a_volume_that_somebody_else_made(refused: Refusals, shop: Cluster, volume: str) -> None:
    name = f"{shop.project.spec.name}_{volume}"
    stacks.docker("volume", "create", name)
    try:
        refused("-C", "shop", "up", says=(f"the volume {name} is not this cluster's",))
    finally:
        stacks.docker("volume", "rm", name)
    assert nothing_was_made(shop)


@pytest.mark.parametrize(("here", "wanted", "image"), [(15, 16, "postgres:15"), (18, 15, None)])
def test_volumes_of_another_major_version(folder: Path, haop: Haop, here: int, wanted: int, image: str | None) -> None:
    with stacks.up_and_running(folder / "shop", postgres=here) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        assert haop("-C", "shop", "down").code == 0
        before = config(cluster).read_text()
        edit(config(cluster), "^postgres = .*", f"postgres = {wanted}")
        if image:
            edit(config(cluster), "^# image = .*", f'image = "{image}"')
        done = haop("-C", "shop", "up")
        assert done.code == 2, done.err
        assert f"_db1 is of PostgreSQL {here}; haop.toml asks for {wanted}" in done.err
        config(cluster).write_text(before)
        assert haop("-C", "shop", "down").code == 0
        assert haop("-C", "shop", "up").code == 0
        assert support.sql(cluster, "db2", "SELECT answer FROM kept") == [(42,)]


def test_a_volume_of_another_cluster(folder: Path, haop: Haop) -> None:
    """db2's volume holds another cluster's data, copied there by hand."""
    with stacks.up_and_running(folder / "one") as one, stacks.up_and_running(folder / "two") as two:
        for cluster in (one, two):
            assert haop("-C", str(cluster.project.root), "down").code == 0
        names = one.project.spec.name, two.project.spec.name
        config(one).write_text(config(one).read_text().replace(f'name = "{names[0]}"', 'name = "renamed"'))
        renamed = haop("-C", "one", "up")
        assert (renamed.code, f"this cluster is named {names[0]}" in renamed.err) == (2, True), (
            "it would begin anew, empty"
        )
        config(one).write_text(config(one).read_text().replace('name = "renamed"', f'name = "{names[0]}"'))
        stacks.docker(
            "run", "--rm", "--volume", f"{names[0]}_db2:/from:ro", "--volume", f"{names[1]}_db2:/to",
            "--entrypoint", "sh", "postgres:18", "-c", "rm -rf /to/18 && cp -a /from/18 /to/18",
        )  # fmt: skip
        done = haop("-C", "two", "up")
        assert done.code == 2, done.err
        assert f"the volume {names[1]}_db2 belongs to another cluster (system identifier " in done.err
        assert f"docker volume rm {names[1]}_db2" in done.err


@pytest.mark.parametrize(
    "command", [("up",), ("down",), ("down", "--volumes", "--yes")], ids=["up", "down", "down-volumes"]
)
def test_another_folder_with_the_same_name(refused: Refusals, folder: Path, command: tuple[str, ...]) -> None:
    with stacks.up_and_running(folder / "one") as one:
        support.sql(one, "db1", "CREATE TABLE kept AS SELECT 42 AS answer")
        name, before = one.project.spec.name, stacks.started(one)
        two = support.make_project(folder / "two", runtime="compose")
        edit(config(two), "^name = .*", f'name = "{name}"')
        stacks.rendered(stacks.loaded(two.project.root))
        refused("-C", "two", *command, says=(f"a stack named {name} exists already, from {folder}/one/stack",))
        assert stacks.started(one) == before
        assert support.sql(one, "db2", "SELECT answer FROM kept") == [(42,)]


def test_a_file_in_stack_that_was_edited_by_hand_is_kept(refused: Refusals, shop: Cluster) -> None:
    with (shop.project.stack / "compose.yaml").open("a") as file:
        file.write("# mine\n")
    for command in ("render", "up"):
        told = refused("-C", "shop", command, says=("stack/compose.yaml was edited by hand", "haop.toml"))
        assert "-# mine" in told
    assert nothing_was_made(shop)


@pytest.mark.parametrize(("setting", "says"), [
    ('shared_buffers = "lots"', ("shared_buffers", "lots")),
    ("max_conections = 200", ("max_conections",)),
    ("max_connections = -5", ("max_connections", "-5")),
])  # fmt: skip
def test_a_setting_that_postgres_rejects(refused: Refusals, shop: Cluster, setting: str, says: tuple[str, ...]) -> None:
    edit(config(shop), r"^\[postgres.parameters\].*", f"[postgres.parameters]\n{setting}")
    refused("-C", "shop", "up", says=("PostgreSQL rejects its settings", "haop.toml", *says))
    assert nothing_was_made(shop)


def test_a_folder_of_init_scripts_that_is_not_there(haop: Haop, shop: Cluster) -> None:
    edit(config(shop), "^# init_scripts = .*", 'init_scripts = "nowhere"')
    done = haop("-C", "shop", "up")
    assert done.code == 2, done
    assert done.err.count("error: ") == 1
    assert "nowhere" in done.err.partition("error: ")[2]
    assert not (shop.project.root / "nowhere").exists()


def test_a_password_that_the_volumes_do_not_know(haop: Haop, folder: Path) -> None:
    """A new .env over old volumes, and nothing that tells which password worked last: another checkout."""
    with stacks.up_and_running(folder / "shop") as cluster:
        assert haop("-C", "shop", "down").code == 0
        env, own = cluster.project.root / ".env", cluster.secrets
        edit(env, "^POSTGRES_PASSWORD=.*", "POSTGRES_PASSWORD=another")
        (cluster.project.state / "secrets" / "superuser_password").unlink()
        done = stacks.apart(folder, "-C", "shop", "up", seconds=90)
        assert done.code not in {0, 3}
        assert done.err.count("error: ") == 1
        assert "the server rejects the password that .env holds" in done.err
        edit(env, "^POSTGRES_PASSWORD=.*", f"POSTGRES_PASSWORD={own.postgres_password}")
        done = haop("-C", "shop", "up")
        assert done.code == 0, done.err


# --- Bad luck: named by status, mended by up


@pytest.fixture
def live(folder: Path) -> Iterator[Cluster]:
    with stacks.up_and_running(folder / "shop") as cluster:
        yield cluster


@pytest.mark.parametrize("which", ["replication", "apps", "both"])
def test_a_node_that_was_disconnected_by_hand_is_named_and_mended_by_up(live: Cluster, haop: Haop, which: str) -> None:
    name = live.project.spec.name
    networks = {"replication": [f"{name}-replication"], "apps": [name], "both": [name, f"{name}-replication"]}[which]
    for network in networks:
        stacks.docker("network", "disconnect", network, stacks.container(live, "db2"))
    told = haop("-C", "shop", "status")
    assert told.code == 3
    assert "cut off from the network" in told.out
    for network in networks:
        assert network in told.out.partition("cut off from the network")[2]
    before = stacks.started(live)
    done = haop("-C", "shop", "up")
    assert done.code == 0, done.err
    assert stacks.started(live) == before
    assert haop("-C", "shop", "status").code == 0
    for known in ("db2", "db2.replication"):
        assert stacks.execute(live, "db1", f"getent hosts {known}")


def test_a_node_that_ran_out_of_memory_is_named_and_brought_back_by_up(folder: Path, haop: Haop) -> None:
    def small(made: Cluster) -> Cluster:
        edit(config(made), "^# memory = .*", 'memory = "128m"')
        return stacks.loaded(made.project.root)

    with stacks.up_and_running(folder / "shop", small) as cluster:
        # The engine would start it again at once, and nobody would see how it ended.
        stacks.docker("update", "--restart", "no", stacks.container(cluster, "db2"))
        stacks.run_out_of_memory(cluster, "db2")
        assert stacks.inspect(cluster, "db2")["State"]["OOMKilled"]
        told = haop("-C", "shop", "status")
        assert told.code == 3
        assert "db2 ran out of memory and was killed" in told.out
        assert "raise compose.memory" in told.out
        haop("-C", "shop", "up")
        assert cluster.runtime.state("db2").state is State.RUNNING
        stacks.streaming(cluster, "db1", "db2")
        # What the engine remembers of a container goes with the container.
        assert haop("-C", "shop", "down").code == 0
        assert haop("-C", "shop", "up").code == 0


def test_a_limit_that_is_too_small_to_start_is_told_as_that(shop: Cluster, haop: Haop) -> None:
    edit(config(shop), "^# memory = .*", 'memory = "8m"')
    done = haop("-C", "shop", "up")
    assert done.code == 1, done
    assert "memory" in done.err.partition("error: ")[2]
