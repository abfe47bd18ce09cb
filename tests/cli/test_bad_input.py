"""Bad input: one clear message, exit 2, and nothing changed."""

import errno
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer.main

from haop.cli.app import app
from haop.model.spec import POSTGRES_VERSIONS
from haop.operations.cluster import Cluster
from haop.postgres.binaries import Installation, installation
from haop.project import load
from haop.runtimes import preflight
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop

AS_ROOT = os.geteuid() == 0


def snapshot(where: Path) -> dict[str, tuple[int, bytes]]:
    """Each file and folder with its mode and content; what running servers write themselves is left out."""
    found = {}
    for path in where.rglob("*"):
        name = str(path.relative_to(where))
        if not re.search(r"/\.haop/local/\w+/(data|log)\b", f"/{name}"):
            found[name] = (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
    return found


@dataclass(frozen=True)
class Refusals:
    """Runs commands that must be refused."""

    haop: Haop
    folder: Path

    def __call__(self, *arguments: str, says: tuple[str, ...]) -> str:
        before = snapshot(self.folder)
        done = self.haop(*arguments)
        assert done.code == 2, done
        assert not done.out
        assert len(re.findall(r"^error: ", done.err, re.MULTILINE | re.IGNORECASE)) == 1, done.err
        assert "Traceback" not in done.err
        for words in says:
            assert words in done.err
        assert snapshot(self.folder) == before
        return done.err


@pytest.fixture
def refused(haop: Haop, folder: Path) -> Refusals:
    return Refusals(haop, folder)


@pytest.fixture
def shop(haop: Haop, folder: Path) -> Path:
    """A project on the local runtime that was never started."""
    done = haop("init", "shop", "--runtime", "local", "--first-port", str(support.free_ports(2)))
    assert done.code == 0, done.err
    return folder / "shop"


@pytest.fixture
def stack(haop: Haop, folder: Path) -> Path:
    """A project on the Compose runtime that was never started. No engine is needed to refuse what is wrong in it."""
    done = haop("init", "stack", "--runtime", "compose", "--first-port", str(support.free_ports(2)))
    assert done.code == 0, done.err
    return folder / "stack"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert re.search(old, text, re.MULTILINE), f"{old} is not in {path}"
    path.write_text(re.sub(old, new, text, count=1, flags=re.MULTILINE))


def every_command() -> list[tuple[str, ...]]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if hasattr(command, "commands"):
            for name, child in command.commands.items():
                yield from walk(child, (*path, name))
        else:
            yield path

    return list(walk(typer.main.get_command(app), ()))


NEED_A_PROJECT = [path for path in every_command() if path not in {("init",), ("adopt",), ("demo",)}]


# --- haop.toml


@pytest.mark.parametrize("command", NEED_A_PROJECT, ids=" ".join)
def test_a_command_outside_a_project(refused: Refusals, command: tuple[str, ...]) -> None:
    more = {("rejoin",): ("db1",), ("rebuild",): ("db1",), ("drill", "show"): ("last",)}.get(command, ())
    refused(*command, *more, says=("no haop.toml in", "or above it", "haop init"))


def test_a_folder_that_is_not_there(refused: Refusals) -> None:
    refused("-C", "nowhere", "status", says=("there is no folder nowhere",))


def test_broken_toml_is_told_with_file_and_line(refused: Refusals, shop: Path) -> None:
    edit(shop / "haop.toml", "^postgres = .*", "postgres = = 18")
    line = next(i for i, text in enumerate((shop / "haop.toml").read_text().splitlines(), 1) if "= =" in text)
    refused("-C", "shop", "up", says=(f"{shop}/haop.toml", f"line {line}"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("^postgres = .*", "", ("cluster.postgres: missing", "one of 15, 16, 17, 18")),
        ("^name = .*", "", ("cluster.name: missing",)),
        (r"^\[database\]\nname = .*\nowner.*", "", ("database: missing", "expected a table")),
        ("^postgres = .*", 'postgres = "18"', ("cluster.postgres: expected 15, 16, 17 or 18, not '18'",)),
        ("^postgres = .*", "postgres = 14", ("cluster.postgres: expected 15, 16, 17 or 18, not 14",)),
        ("^durability = .*", 'durability = "often"', ("cluster.durability: expected async or sync, not 'often'",)),
        ("^runtime = .*", 'runtime = "moon"', ("cluster.runtime: expected", "not 'moon'")),
        ("^port = .*", 'port = "5432"', ("nodes[0].port: expected a whole number from 1 to 65535, not '5432'",)),
        ("^port = .*", "port = 70000", ("nodes[0].port: expected", "not 70000")),
        ('^name = "db1"', 'name = "Db 1"', ("nodes[0].name: expected a name", "not 'Db 1'")),
        ("^owner = .*", 'owner = "postgres"', ("database.owner", "choose another")),
        ("^owner = .*", 'owner = "pg_shop"', ("database.owner", "choose another")),
        ("^owner = .*", 'owner = "replicator"', ("'replicator' has two purposes",)),
        ("^write_recovery = .*", 'write_recovery = "soon"', ("objectives.write_recovery: expected a duration", "5s")),
        ("^lost_writes = .*", "lost_writes = -1", ("objectives.lost_writes: expected a whole number from 0",)),
        ("^durability = .*", 'durabilty = "sync"', ("cluster.durabilty: unknown key", "mean 'durability'?")),
        (r"^\[objectives\]", "[objectivs]", ("objectivs: unknown key", "mean 'objectives'?")),
        ('^name = "db2"', 'name = "db1"', ("nodes[1].name: 'db1' is the name of nodes[0] already",)),
        (r"^\[postgres.parameters\]", "[postgres.parameters]\nport = 1", ("postgres.parameters.port", "haop decides")),
        (r"^\[postgres.parameters\]", "[postgres.parameters]\nx = [1]", ("postgres.parameters.x: expected a string",)),
    ],
)
def test_a_key_that_cannot_be_used(refused: Refusals, shop: Path, old: str, new: str, says: tuple[str, ...]) -> None:
    edit(shop / "haop.toml", old, new)
    refused("-C", "shop", "up", says=says)
    refused("-C", "shop", "render", says=says)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (r"^\[compose\].*", '[compose]\nimage = "two words"', "compose.image: expected the name of an image such as"),
        (r"^\[compose\].*", '[compose]\nimage = ""', "compose.image: expected a string that is not empty, not ''"),
        (r"^\[compose\].*", '[compose]\nmemory = "much"', "compose.memory: expected a size such as 512m or 2g, not"),
        (r"^\[compose\].*", "[compose]\nmemory = 512", "compose.memory: expected a string that is not empty, not 512"),
        (r"^\[compose\].*", '[compose]\nshm_size = "-1m"', "compose.shm_size: expected a size such as 512m or 2g"),
        (r"^\[compose\].*", "[compose]\ncpus = 0", "compose.cpus: expected a number greater than 0, not 0"),
        (r"^\[compose\].*", '[compose]\ncpus = "2"', "compose.cpus: expected a number greater than 0, not '2'"),
        (r"^\[compose\].*", "[compose]\ninit_scripts = 1", "compose.init_scripts: expected a string that is not empty"),
        (r"^\[compose\].*", "[compose]\nmemroy = 1", "compose.memroy: unknown key; did you mean 'memory'?"),
        (r"^\[compose\].*", "[compos]", "compos: unknown key; did you mean 'compose'?"),
        (r"^\[redis\].*", "[[redis]]", "redis: expected a table"),
        (r"^\[guard\].*", "[guard]\nsalvages = true", "guard.salvages: unknown key; did you mean 'salvage'?"),
        ("^enabled = .*# `haop up`.*", "enabled = 1", "guard.enabled: expected true or false, not 1"),
        ("^enabled = .*# default.*", 'enabled = "yes"', "redis.enabled: expected true or false, not 'yes'"),
        ("^enabled = .*# default.*", "enabeld = true", "redis.enabeld: unknown key; did you mean 'enabled'?"),
        ("^image = .*", 'image = "Redis"', "redis.image: expected the name of an image such as"),
        (r"^port = \d+ +# published.*", "port = 0", "redis.port: expected a whole number from 1 to 65535, not 0"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nbuild = "."', "web.image: expected either image or build"),
        (r"^# \[web\].*", '[web]\nimage = "a b"', "web.image: expected the name of an image such as"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nport = "80"', "web.port: expected a whole number from 1 to 65535"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nlistens_on = 70000', "web.listens_on: expected a whole number from 1"),
        (r"^# \[web\].*", '[web]\nimage = "a"\ncommand = "run it"', "web.command: expected a list of strings such as"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nsecrets = "none"', "web.secrets: expected files or env, not 'none'"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nimages = "b"', "web.images: unknown key; did you mean 'image'?"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nread_page = "x"', "web.read_page: expected a path such as /items/"),
        (r"^# \[web\].*", '[web]\nimage = "a"\nenvironment = "A=1"', "web.environment: expected a table"),
        (r"^# \[web\].*", '[web]\nimage = "a"\n[web.environment]\nA-B = 1', "web.environment.A-B: expected a variable"),
        (r"^# \[web\].*", '[web]\nimage = "a"\n[web.environment]\nA = [1]', "web.environment.A: expected a variable"),
        ('^name = "db2"', 'name = "redis"', "nodes[1].name: 'redis' is the name of a service beside the nodes"),
        ('^name = "db1"', 'name = "web"', "nodes[0].name: 'web' is the name of a service beside the nodes"),
        ('^name = "db2"', 'name = "cluster"', "nodes[1].name: 'cluster' is the name of a service beside the nodes"),
    ],
)  # fmt: skip
def test_a_key_of_the_stack_that_cannot_be_used(refused: Refusals, stack: Path, old: str, new: str, says: str) -> None:
    edit(stack / "haop.toml", old, new)
    for command in ("up", "render"):
        refused("-C", "stack", command, says=(f"error: {stack}/haop.toml: {says}",))


def test_ports_of_the_stack_that_clash(refused: Refusals, stack: Path) -> None:
    spec, config = load(stack).spec, stack / "haop.toml"
    whole, node = config.read_text(), spec.nodes[1]
    edit(config, r"^port = \d+ +# published.*", f"port = {node.port}")
    refused("-C", "stack", "up", says=(f"haop.toml: redis.port: {node.port} is the port of node 'db2' already",))
    for port, holder in ((node.port, "node 'db2'"), (spec.redis.port if spec.redis else 0, "[redis]")):
        config.write_text(whole)
        edit(config, r"^# \[web\].*", f'[web]\nimage = "a"\nport = {port}')
        refused("-C", "stack", "up", says=(f"haop.toml: web.port: {port} is the port of {holder} already",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", 'web.url: expected a URL: with runtime = "local" haop runs no application'),
        ('url = "127.0.0.1:8000"', "web.url: expected a scheme, a host and a port such as http://127.0.0.1:8000"),
        ('url = "http://a:b@host/"', "web.url: expected a scheme, a host and a port"),
        ('url = "http://h:port"', "web.url: expected a scheme, a host and a port"),
        ('url = "http://h:1/shop"', "web.url: expected a scheme, a host and a port"),
        ('url = "http://h:1"\nread_page = "/é"', "web.read_page: expected a path such as /items/"),
        ('url = "http://h:1"\nread_page = "items"', "web.read_page: expected a path such as /items/"),
        ('url = "http://h:1"\nwrite_page = 1', "web.write_page: expected a string that is not empty"),
        ('url = "http://h:1"\nimage = "a"', "web.image: unknown key"),
    ],
)
def test_an_application_that_haop_does_not_run(refused: Refusals, shop: Path, text: str, says: str) -> None:
    with (shop / "haop.toml").open("a") as config:
        config.write(f"\n[web]\n{text}\n")
    refused("-C", "shop", "up", says=(f"error: {shop}/haop.toml: {says}",))


@pytest.mark.parametrize("table", ["redis", "compose"])
def test_what_stands_beside_the_nodes_needs_containers(refused: Refusals, shop: Path, table: str) -> None:
    with (shop / "haop.toml").open("a") as config:
        config.write(f"\n[{table}]\n")
    refused("-C", "shop", "up", says=(f"{shop}/haop.toml: {table}: only with runtime = \"compose\", not 'local'",))


def test_a_redis_without_a_password(refused: Refusals, stack: Path) -> None:
    edit(stack / ".env", "^REDIS_PASSWORD=.*", "")
    refused("-C", "stack", "render", says=(f"{stack}/.env: REDIS_PASSWORD is missing or empty", "add REDIS_PASSWORD="))


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_does_not_answer(refused: Refusals, stack: Path) -> None:
    refused("-C", "stack", "up", says=("no Docker engine answers", "/nonexistent.sock", "start Docker, or install it"))


def test_duplicate_ports(refused: Refusals, shop: Path) -> None:
    port = load(shop).spec.nodes[0].port
    edit(shop / "haop.toml", f"^port = {port + 1}", f"port = {port}")
    refused("-C", "shop", "up", says=(f"nodes[1].port: {port} is the port of node 'db1' already",))


@pytest.mark.parametrize(("setting", "says"), [
    ('shared_buffers = "lots"', ("shared_buffers", "lots")),
    ("max_conections = 200", ("max_conections",)),
    ("max_connections = -5", ("max_connections", "-5")),
])  # fmt: skip
def test_a_setting_that_postgres_rejects(refused: Refusals, shop: Path, setting: str, says: tuple[str, ...]) -> None:
    edit(shop / "haop.toml", r"^\[postgres.parameters\].*", f"[postgres.parameters]\n{setting}")
    refused("-C", "shop", "up", says=("PostgreSQL rejects its settings", "haop.toml", *says))


# --- The machine


def test_a_port_in_use_is_told_with_its_holder(refused: Refusals, shop: Path) -> None:
    port = load(shop).spec.nodes[1].port
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after another cluster's connections there
        taken.bind(("127.0.0.1", port))
        taken.listen()
        refused("-C", "shop", "up", says=(f"port {port} of db2 is in use by process {os.getpid()} (",))


def missing_version() -> int:
    if missing := set(POSTGRES_VERSIONS) - set(support.available()):
        return max(missing)
    pytest.skip("every supported version of PostgreSQL is on this machine")


def test_a_version_that_is_not_here(refused: Refusals, shop: Path) -> None:
    wanted = missing_version()
    here = ", ".join(map(str, support.available()))
    asked = ("init", "new", "--runtime", "local", "--postgres", str(wanted))
    refused(*asked, says=(f"PostgreSQL {wanted} is not on this machine; here: ",))
    edit(shop / "haop.toml", "^postgres = .*", f"postgres = {wanted}")
    refused("-C", "shop", "up", says=(f"PostgreSQL {wanted} is not on this machine; here: {here}",))


def test_programs_that_are_not_where_they_should_be(refused: Refusals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAOP_PG_BINDIR", raising=False)
    asked = ("init", "new", "--runtime", "local", "--pg-bindir", "/proc")
    refused(*asked, says=("no whole set of PostgreSQL's programs in /proc", "initdb"))


def test_an_unwritable_folder(refused: Refusals, folder: Path) -> None:
    (folder / "file").touch()
    refused("init", "file/deep/shop", says=("cannot write to", "Not a directory"))
    refused("init", "/proc/shop", says=("cannot write to /proc/shop",))


def test_a_folder_of_another_user(refused: Refusals, shop: Path) -> None:
    if AS_ROOT:
        pytest.skip("root may write to every folder; a read-only file system is tried instead")
    (shop / ".haop").chmod(0o555)
    refused("-C", "shop", "up", says=("cannot write to", "another user"))


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_is_too_long(refused: Refusals, length: int) -> None:
    refused("init", "x" * length, says=("File name too long",))
    refused("-C", "x" * length, "status", says=("File name too long",))


def test_a_path_that_is_too_long(haop: Haop, refused: Refusals, folder: Path) -> None:
    deep = "/".join(["x" * 200] * 5)
    refused("init", deep, says=("too long for PostgreSQL", "at most 900 bytes"))
    (folder / "shop").mkdir()
    assert haop("init", "shop", "--runtime", "local", "--first-port", str(support.free_ports(2))).code == 0
    (folder / deep).parent.mkdir(parents=True)
    (folder / "shop").rename(folder / deep)
    refused("-C", deep, "up", says=("too long for PostgreSQL", "at most 900 bytes"))


def test_a_folder_that_the_servers_user_cannot_enter(haop: Haop, refused: Refusals, folder: Path) -> None:
    if not AS_ROOT:
        pytest.skip("only root runs the servers as another user")
    (folder / "closed").mkdir(mode=0o700)
    assert haop("init", "closed/shop", "--runtime", "local", "--first-port", str(support.free_ports(2))).code == 0
    says = ("cannot enter", f"{folder}/closed (mode 700)", f"chmod o+x {folder}/closed")
    refused("-C", "closed/shop", "up", says=says)


def test_an_unknown_user_of_the_servers(refused: Refusals, shop: Path) -> None:
    edit(shop / "haop.toml", r"^\[local\].*", '[local]\nuser = "nosuchuser"')
    refused("-C", "shop", "up", says=("local.user", "'nosuchuser'"))


def test_root_as_the_user_of_the_servers(refused: Refusals, shop: Path) -> None:
    edit(shop / "haop.toml", r"^\[local\].*", '[local]\nuser = "root"')
    says = "PostgreSQL refuses to run as root" if AS_ROOT else "only root can switch"
    refused("-C", "shop", "up", says=("local.user", says))


def test_a_data_directory_of_another_version(refused: Refusals, shop: Path) -> None:
    (data := shop / ".haop" / "local" / "db2" / "data").mkdir(parents=True)
    (data / "PG_VERSION").write_text("13\n")
    refused("-C", "shop", "up", says=(f"{data} is of PostgreSQL 13; haop.toml asks for", "set postgres = 13"))


def test_a_data_directory_of_another_cluster(refused: Refusals, shop: Path) -> None:
    local = shop / ".haop" / "local"
    (control := local / "db2" / "data" / "global" / "pg_control").parent.mkdir(parents=True)
    control.write_bytes(b"\1" + bytes(8191))
    (local / "db2" / "data" / "PG_VERSION").write_text(f"{load(shop).spec.postgres}\n")
    (local / "cluster").mkdir()
    (local / "cluster" / "system_identifier").write_text("7000000000000000000\n")
    refused("-C", "shop", "up", says=("belongs to another cluster (system identifier 1, not 7000000000000000000)",))


# --- .env


def test_a_missing_env(refused: Refusals, shop: Path) -> None:
    (shop / ".env").unlink()
    refused("-C", "shop", "up", says=(f"{shop}/.env: cannot be read (No such file", "restore it"))


def test_an_env_that_lacks_a_key(refused: Refusals, shop: Path) -> None:
    edit(shop / ".env", "^REWIND_PASSWORD=", "REWIND_PASWORD=")
    refused("-C", "shop", "up", says=(f"{shop}/.env: REWIND_PASSWORD is missing", "did you mean 'REWIND_PASWORD'?"))


def test_an_env_that_others_can_read(refused: Refusals, shop: Path) -> None:
    (shop / ".env").chmod(0o644)
    refused("-C", "shop", "status", says=("readable by others (mode 644)", f"chmod 600 {shop}/.env"))


# --- Words on the command line


def test_values_that_do_not_work_are_not_offered(refused: Refusals) -> None:
    refused("init", "new", "--nodes", "1", says=("--nodes", "2<=x<=9"))
    refused("init", "new", "--nodes", "10", says=("--nodes", "2<=x<=9"))
    refused("init", "new", "--postgres", "14", says=("--postgres", "15<=x<=18"))
    refused("init", "new", "--runtime", "moon", says=("--runtime", "'moon'", "compose", "local"))
    refused("init", "new", "--engine", "magic", says=("--engine", "'magic'", "streaming"))
    refused("init", "new", "--durability", "maybe", says=("--durability", "async", "sync"))
    refused("status", "--colour", says=("No such option",))
    refused("explode", says=("No such command 'explode'",))


def test_wishes_that_would_not_load_write_nothing(refused: Refusals, folder: Path) -> None:
    refused("init", "new", "--name", "Bad Name", says=("cluster.name: expected a name", "not 'Bad Name'"))
    refused("init", "new", "--database", "my-db", says=("database.name: expected a name", "not 'my-db'"))
    refused("init", "new", "--database", "postgres", says=("database.name", "PostgreSQL's own"))
    refused("init", "new", "--first-port", "80", says=("--first-port", "1024<=x<=65500"))
    assert not (folder / "new").exists()


def test_init_overwrites_nothing(refused: Refusals, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / ".env").write_text("PRECIOUS=1\n")
    refused("init", "mine", says=("has a .env already", "overwrites nothing"))


@pytest.mark.parametrize(
    "command", [("logs", "--node", "db9"), ("failover", "--to", "db9"), ("rejoin", "db9")], ids=lambda words: words[0]
)
def test_an_unknown_node(refused: Refusals, shop: Path, command: tuple[str, ...]) -> None:
    refused("-C", "shop", *command, says=("there is no node 'db9'", "nodes: db1, db2"))


def test_a_since_that_is_no_duration(refused: Refusals, shop: Path) -> None:
    refused("-C", "shop", "logs", "--since", "yesterday", says=("--since", "10min", "'yesterday'"))


def test_a_file_in_stack_that_was_edited_by_hand_is_kept(refused: Refusals, shop: Path) -> None:
    with (shop / "stack" / "postgresql.conf").open("a") as file:
        file.write("work_mem = '7MB'  # mine\n")
    for command in ("render", "up"):
        told = refused("-C", "shop", command, says=("stack/postgresql.conf was edited by hand", "haop.toml"))
        assert "-work_mem = '7MB'  # mine" in told


def test_deleting_data_needs_an_answer(haop: Haop, refused: Refusals, shop: Path) -> None:
    (data := shop / ".haop" / "local" / "db1").mkdir(parents=True)
    refused("-C", "shop", "down", "--volumes", says=("Delete all data of cluster 'shop'?", "no terminal", "--yes"))
    assert data.exists()
    assert haop("-C", "shop", "down", "--volumes", "--yes").code == 0
    assert not data.exists()


# --- On a running cluster, of processes: the messages are the same, and it costs a second


@pytest.fixture(scope="module")
def live() -> Iterator[Cluster]:
    with support.folder() as where, support.running(support.make_project(where / "shop")) as cluster:
        yield cluster


@pytest.fixture
def on_live(haop: Haop, live: Cluster) -> Iterator[Callable[..., support.Finished]]:
    """Runs commands in the running project, whose haop.toml and .env are put back afterwards."""
    kept = {path: path.read_text() for path in (live.project.root / "haop.toml", live.project.root / ".env")}
    yield lambda *words: haop("-C", str(live.project.root), *words)
    for path, text in kept.items():
        path.write_text(text)


def test_a_wrong_password_is_told_as_that(on_live: Haop, live: Cluster) -> None:
    edit(live.project.root / ".env", "^POSTGRES_PASSWORD=.*", "POSTGRES_PASSWORD=wrong")
    found = on_live("status")
    assert found.code == 3, "its primary lives"
    assert found.out.count("the server rejects the password that .env holds") >= 2
    before = snapshot(live.project.root)
    refused = on_live("failover", "--yes")
    assert refused.code == 2
    assert "runs as primary and refuses haop" in refused.err
    assert snapshot(live.project.root) == before
    edit(live.project.root / ".env", "^POSTGRES_PASSWORD=.*", f"POSTGRES_PASSWORD={live.secrets.postgres_password}")
    assert on_live("status").code == 0


def test_a_bad_setting_leaves_a_running_cluster_alone(on_live: Haop, haop: Haop, live: Cluster) -> None:
    root = live.project.root
    edit(root / "haop.toml", r"^\[postgres.parameters\].*", '[postgres.parameters]\nwork_mem = "much"')
    Refusals(haop, root)("-C", str(root), "up", says=("PostgreSQL rejects its settings", "work_mem"))


def test_a_primary_that_answers_is_not_failed_over_nor_rejoined(haop: Haop, live: Cluster) -> None:
    root = live.project.root
    refused = Refusals(haop, root)
    refused("-C", str(root), "failover", "--yes", says=("db1 is primary and answers", "haop drill failover"))
    refused("-C", str(root), "rejoin", "db1", says=("db1 is the primary",))
    assert support.primary_of(live) == "db1"


def test_a_drill_needs_an_answer(haop: Haop, live: Cluster) -> None:
    root = live.project.root
    Refusals(haop, root)("-C", str(root), "drill", "failover", says=("Kill db1", "no terminal", "--yes"))


def test_servers_of_root_run_as_somebody_else(haop: Haop, live: Cluster) -> None:
    if not AS_ROOT:
        pytest.skip("only root runs the servers as another user")
    done = haop("-C", str(live.project.root), "up")
    assert done.code == 0
    assert f"running as root: servers run as user '{support.local(live).run_as.name}'" in done.err
    pid = int((live.project.state / "local" / "db1" / "data" / "postmaster.pid").read_text().splitlines()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == support.local(live).run_as.uid != 0


# --- A full disk, a read-only one: below a whole project of processes; of a volume: tests/compose


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")


@pytest.fixture
def newest() -> Installation:
    return installation(support.available()[-1])


@pytest.fixture
def disk(folder: Path, newest: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Gives a small file system of the asked size; asked again, it has another size."""
    if not AS_ROOT:
        pytest.skip("only root can mount a small file system")
    if newest.wheel:  # else haop may have to copy it onto the disk, which then is full of that
        monkeypatch.setenv("HAOP_PG_BINDIR", str(preflight.copied(newest, folder)))
    where = folder / "disk"
    where.mkdir()

    def sized(size: str) -> Path:
        mount(*(("-o", f"remount,size={size}") if where.is_mount() else ("-t", "tmpfs", "-o", f"mode=755,size={size}")),
              *(() if where.is_mount() else ("tmpfs",)), str(where))  # fmt: skip
        return where

    try:
        yield sized
    finally:
        if where.is_mount():
            if (where / "shop" / "haop.toml").exists():
                support.end(Cluster.of(load(where / "shop")))
            subprocess.run(["umount", where], check=True)


def fill(where: Path) -> Path:
    """Take all that is left."""
    filler = where / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(2**16))
        except OSError:
            pass
    return filler


def nodes_in(where: Path) -> set[str]:
    """Whose processes live there."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(where) in " ".join(process.cmdline()):
                found.add(process.environ().get("HAOP_NODE", "nobody's"))
    return found


@pytest.mark.parametrize("size", ["30m", "40m", "64m"], ids=["initialising", "making the database", "cloning"])
def test_a_disk_that_is_full_for_postgres(haop: Haop, disk: Callable[[str], Path], size: str) -> None:
    where = disk(size)
    support.make_project(where / "shop")
    done = haop("-C", "disk/shop", "up")
    assert done.code == 1, done.err
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    staying = {"db1"} if size != "30m" else set()  # a primary that is whole, if it found room, and its log's keeper
    wait_until(lambda: nodes_in(where) <= staying, deadline=20, waiting_for="what haop up started to end")
    disk("500m")
    again = haop("-C", "disk/shop", "up")
    assert again.code == 0, again.err
    assert haop("-C", "disk/shop", "status").code == 0


def test_a_disk_that_is_full_for_haop(haop: Haop, disk: Callable[[str], Path]) -> None:
    where = disk("300m")
    support.make_project(where / "shop")
    filler = fill(where)
    refused = haop("init", "disk/second")
    assert refused.code == 2, refused.err
    assert "No space left on device" in refused.err
    assert not (where / "second").exists()
    done = haop("-C", "disk/shop", "up")
    assert done.code == 1
    assert "error: No space left on device" in done.err
    assert "make room on the disk" in done.err
    assert not support.processes_in(where)
    filler.unlink()
    assert haop("-C", "disk/shop", "up").code == 0


def test_a_disk_that_is_full_for_a_copy_of_postgres(newest: Installation, disk: Callable[[str], Path]) -> None:
    if not newest.wheel:
        pytest.skip("this machine's newest PostgreSQL is not a wheel, and is never copied")
    where = disk("10m")
    with pytest.raises(OSError, match="No space left on device") as full:
        preflight.copied(newest, where)
    assert full.value.errno == errno.ENOSPC
    assert list(where.iterdir()) == []


def test_a_disk_that_is_mounted_read_only(refused: Refusals, disk: Callable[[str], Path]) -> None:
    where = disk("300m")
    support.make_project(where / "shop")
    mount("-o", "remount,ro", str(where))
    refused("-C", "disk/shop", "up", says=("cannot write to", "read-only"))
    refused("init", "disk/second", says=("cannot write to", "Read-only file system"))
