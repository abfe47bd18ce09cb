"""Each command does what its --help says, and prints what it promises where it promises it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dotenv
import psycopg
import pytest
import typer.main

import haop as package
from haop.cli import healing
from haop.cli.app import app
from haop.cli.cluster import _consent as consent
from haop.model.spec import ClusterSpec
from haop.operations import heal
from haop.operations.cluster import Cluster
from haop.postgres.connection import Login
from haop.project import load
from tests import support
from tests.conftest import RUNTIMES, Haop, require_compose

HAOP = (sys.executable, "-m", "haop")
ESCAPE = "\x1b"
SPEC_KEYS = {
    "cluster": {"name", "postgres", "runtime", "engine", "durability"},
    "database": {"name", "owner"},
    "nodes": {"name", "port"},
    "guard": {"enabled", "salvage", "rebuild"},
    "objectives": {"write_recovery", "read_recovery", "lost_writes"},
}
# What only one runtime has. [web] is a comment: its image and its build exclude each other.
PAGES = {"read_page", "write_page", "health_page"}
RUNTIME_KEYS = {
    "local": {"local": {"user", "bindir", "log_size", "log_files"}, "web": {"url", *PAGES}},
    "compose": {
        "compose": {"image", "memory", "cpus", "shm_size", "init_scripts"},
        "redis": {"enabled", "image", "port"},
        "web": {"image", "build", "port", "listens_on", "command", "secrets", "environment", *PAGES},
    },
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """One folder for all of this file; each test has its own project in it, or shares the cluster `shop`."""
    with support.folder() as path:
        yield path


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Cluster]:
    """A running cluster that the tests below share; each leaves it healthy. A drill loses nothing there: it is sync.

    Of processes: these tests look at every file and every process of it. What a command says of containers is tested
    where it differs, in tests/compose.
    """
    with support.running(support.make_project(folder / "shop", durability="sync")) as cluster:
        yield cluster


def made(haop: Haop, name: str, *options: str, runtime: str = "local") -> support.Finished:
    done = haop("init", name, "--runtime", runtime, "--first-port", str(support.free_ports(9)), *options)
    assert done.code == 0, done.err
    return done


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def in_a_process(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


# --- init


def test_init_writes_the_files_with_their_modes(haop: Haop, folder: Path) -> None:
    done = made(haop, "modes")
    root = folder / "modes"
    assert f"{root}: cluster 'modes', PostgreSQL {support.available()[-1]}, local, async, db1 on " in done.out
    assert "cd modes && haop up" in done.out
    assert mode(root / ".env") == 0o600
    for name in ("haop.toml", ".env.example", ".gitignore", "stack/postgresql.conf", "stack/pg_hba.conf"):
        assert mode(root / name) == 0o644, name
    assert mode(root / "stack" / "node.sh") == 0o755
    ignored = (root / ".gitignore").read_text().split()
    assert ".env" in ignored
    assert ".haop/" in ignored
    assert ".env.example" not in ignored


def test_secrets_are_random_and_the_example_has_none(haop: Haop, folder: Path) -> None:
    made(haop, "one")
    made(haop, "two")
    one, two = (dotenv.dotenv_values(folder / name / ".env") for name in ("one", "two"))
    example = dotenv.dotenv_values(folder / "one" / ".env.example")
    assert one.keys() == two.keys() == example.keys()
    assert {"POSTGRES_PASSWORD", "REPLICATION_USER", "REPLICATION_PASSWORD"} <= one.keys()
    passwords = [value for values in (one, two) for key, value in values.items() if key.endswith("_PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 10
    assert all(value and len(value) >= 24 for value in passwords)
    text = (folder / "one" / ".env.example").read_text()
    assert not [value for value in passwords if value and value in text]


def test_haop_toml_loads_as_it_was_asked_for(haop: Haop, folder: Path) -> None:
    first = support.free_ports(3)
    oldest = support.available()[0]
    done = haop(
        "init", "full", "--name", "orders", "--nodes", "3", "--durability", "sync", "--first-port", str(first),
        "--postgres", str(oldest), "--database", "sales", "--runtime", "local", "--engine", "streaming",
    )  # fmt: skip
    assert done.code == 0, done.err
    spec = load(folder / "full").spec
    assert (spec.name, spec.postgres, spec.database, spec.owner) == ("orders", oldest, "sales", "sales")
    assert (spec.durability, spec.runtime, spec.engine) == ("sync", "local", "streaming")
    assert [(node.name, node.port) for node in spec.nodes] == [(f"db{i + 1}", first + i) for i in range(3)]


def uncommented(text: str) -> str:
    """haop.toml with everything switched on that it shows as a comment."""
    return re.sub(r"^# (\[[\w.]+\]|\w+ = )", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("runtime", "left_out"), [("local", None), ("compose", "image"), ("compose", "build")])
def test_haop_toml_names_every_key_and_all_of_them_load(
    haop: Haop, folder: Path, runtime: str, left_out: str | None
) -> None:
    made(haop, f"every-{runtime}-{left_out}", runtime=runtime)
    text = uncommented((folder / f"every-{runtime}-{left_out}" / "haop.toml").read_text())
    wanted = {**SPEC_KEYS, **RUNTIME_KEYS[runtime]}
    told = tomllib.loads(text)
    assert {name: set(told[name][0] if name == "nodes" else told[name]) for name in wanted} == wanted
    assert told.keys() == wanted.keys() | {"postgres"}
    if left_out:
        head, web = text.split("\n[web]", 1)
        told = tomllib.loads(f"{head}\n[web]" + re.sub(rf"^{left_out} = .*", "", web, flags=re.MULTILINE))
    spec = ClusterSpec.from_toml(told)
    assert spec.runtime == runtime
    assert (spec.web is None) == (runtime == "local")


def test_the_defaults_that_haop_toml_tells_are_the_defaults(haop: Haop, folder: Path) -> None:
    made(haop, "defaults", runtime="compose")
    text = (folder / "defaults" / "haop.toml").read_text()
    document = tomllib.loads(text)
    spec = ClusterSpec.from_toml(document)
    told = {
        match[1]: match[2] for match in re.finditer(r"^(?:# )?(\w+) = .*\(?default:? (\w[\w:.]*)", text, re.MULTILINE)
    }
    assert told["shm_size"] == spec.compose.shm_size
    assert told["enabled"] == "true"
    del document["redis"]
    bare = ClusterSpec.from_toml({**document, "web": {"image": "shop"}})
    assert bare.redis
    assert bare.web
    assert text.count(f'image = "{bare.redis.image}"') == 1
    assert (bare.redis.port, bare.web.port, bare.web.listens_on) == (6379, 8000, 8000)


# --- init: the runtime


def test_where_an_engine_answers_init_chooses_compose_and_says_why(haop: Haop, folder: Path) -> None:
    require_compose()
    done = haop("init", "chosen")
    assert done.code == 0, done.err
    assert re.search(r"^runtime compose: Docker engine [\d.]+\S* answers; for processes: --runtime local$",
                     done.out, re.MULTILINE)  # fmt: skip
    assert load(folder / "chosen").spec.runtime == "compose"
    assert "services:" in (folder / "chosen" / "stack" / "compose.yaml").read_text()
    assert haop("-C", "chosen", "render", "--check").code == 0


@pytest.mark.usefixtures("no_engine")
def test_where_no_engine_answers_init_chooses_processes_and_says_why(haop: Haop, folder: Path) -> None:
    done = haop("init", "no-engine")
    assert done.code == 0, done.err
    (line,) = (line for line in done.out.splitlines() if line.startswith("runtime "))
    assert line.startswith("runtime local: no Docker engine answers at ")
    assert "nonexistent.sock" in line
    assert line.endswith("; to run on Docker Compose: --runtime compose")
    assert load(folder / "no-engine").spec.runtime == "local"
    assert not (folder / "no-engine" / "stack" / "compose.yaml").exists()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("engine", ["an engine", "no engine"])
def test_the_option_decides(
    haop: Haop, folder: Path, request: pytest.FixtureRequest, runtime: str, engine: str
) -> None:
    if engine == "no engine":
        request.getfixturevalue("no_engine")
    else:
        require_compose()
    name = f"{runtime}-{engine[:2]}".strip()
    done = made(haop, name, runtime=runtime)
    assert f", {runtime}, async, " in done.out
    assert "runtime " not in done.out, "nothing was chosen, so there is no reason to give"
    assert load(folder / name).spec.runtime == runtime


def test_a_password_of_redis_is_made_where_there_is_a_redis(haop: Haop, folder: Path) -> None:
    made(haop, "with-redis", runtime="compose")
    made(haop, "without-redis", runtime="local")
    for name, there in (("with-redis", True), ("without-redis", False)):
        for file in (".env", ".env.example"):
            assert ("REDIS_PASSWORD" in dotenv.dotenv_values(folder / name / file)) == there, (name, file)
    own = dotenv.dotenv_values(folder / "with-redis" / ".env")
    passwords = [value for key, value in own.items() if key.endswith("_PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 6
    assert all(value and len(value) >= 24 for value in passwords)


def test_init_twice_says_so_and_changes_nothing(haop: Haop, folder: Path) -> None:
    made(haop, "twice")
    before = {path: path.read_bytes() for path in (folder / "twice").rglob("*") if path.is_file()}
    again = haop("init", "twice", "--nodes", "5")
    assert again.code == 0
    assert "is a project already; nothing changed" in again.out
    assert {path: path.read_bytes() for path in (folder / "twice").rglob("*") if path.is_file()} == before


# --- render


def test_render_check_exits_3_with_a_diff_when_stale(haop: Haop, folder: Path) -> None:
    made(haop, "stale")
    fresh = haop("-C", "stale", "render", "--check")
    assert (fresh.code, fresh.out) == (0, "stack/ is up to date\n")
    config, rendered = folder / "stale" / "haop.toml", folder / "stale" / "stack" / "postgresql.conf"
    config.write_text(config.read_text().replace("# max_connections = 200", "max_connections = 200"))
    before = rendered.read_text()
    stale = haop("-C", "stale", "render", "--check")
    assert stale.code == 3
    assert "--- stack/postgresql.conf" in stale.out
    assert "+max_connections = '200'" in stale.out
    document = haop("-C", "stale", "render", "--check", "--json")
    assert document.code == 3
    assert json.loads(document.out)["stale"] is True
    assert rendered.read_text() == before
    assert "wrote postgresql.conf" in haop("-C", "stale", "render").out
    assert "max_connections = '200'" in rendered.read_text()
    assert haop("-C", "stale", "render", "--check").code == 0
    assert json.loads(haop("-C", "stale", "render", "--json").out)["changed"] == {}


# --- Help, version, start-up

HAVE_CODES_OF_THEIR_OWN = {
    (), ("up",), ("restart",), ("status",), ("check",), ("doctor",), ("render",), ("switchover",), ("failover",),
    ("rejoin",), ("rebuild",), ("drill", "failover"), ("drill", "heal"), ("drill", "show"), ("psql",),
}  # fmt: skip


def commands() -> Iterator[tuple[str, ...]]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    yield from walk(typer.main.get_command(app), ())


@pytest.mark.parametrize("command", list(commands()), ids=lambda words: " ".join(words) or "haop")
def test_help_of_every_command_has_examples(haop: Haop, command: tuple[str, ...]) -> None:
    done = haop(*command, "--help")
    assert done.code == 0
    assert re.search(r"^ +Examples:\n +(sudo )?haop ", done.out, re.MULTILINE), done.out
    assert re.match(r"Usage: .*\n( +.*\n)*\n  \S", done.out), "what it does, in words"
    assert ("Exit codes:" in done.out) or command not in HAVE_CODES_OF_THEIR_OWN
    assert not done.err
    assert haop(*command, "-h").out == done.out


def test_wherever_a_node_is_named_the_shell_completes_it() -> None:
    def at(path: tuple[str, ...]) -> Any:
        command: Any = typer.main.get_command(app)
        for name in path:
            command = command.commands[name]
        return command

    found = {
        (*path, parameter.name): parameter._custom_shell_complete is not None
        for path in commands()
        for parameter in at(path).params
        if "NODE" in (parameter.metavar or "")
    }
    assert len(found) >= 7
    assert all(found.values()), found


def test_help_tells_the_exit_codes(haop: Haop) -> None:
    told = haop("--help").out
    codes = (
        "0  fine",
        "1  failed",
        "2  refused",
        "3  degraded",
        "4  no primary",
        "5  inconclusive",
        "130  interrupted",
    )
    for line in codes:
        assert line in told


def test_version(haop: Haop) -> None:
    assert haop("--version").out == f"haop {package.__version__}\n"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_imported_before_it_is_needed(folder: Path, option: str) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['haop', {option!r}]\n"
        "from haop.cli.app import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = in_a_process(sys.executable, "-c", program, cwd=folder)
    loaded = set(done.stderr.split())
    assert {"haop", "typer"} <= loaded
    assert not loaded & {"psycopg", "docker", "jinja2", "rich", "psutil", "cryptography", "dotenv"}


# --- On a running cluster: what is printed, and where


def test_json_is_all_that_is_on_standard_output(haop: Haop, shop: Cluster) -> None:
    status = haop("-C", "shop", "status", "--json")
    assert status.code == 0
    document = json.loads(status.out)
    assert (document["schema"], document["health"], document["primary"]) == ("haop.status/1", "healthy", "db1")
    assert [node["role"] for node in document["nodes"]] == ["primary", "standby"]
    assert json.loads(haop("-C", "shop", "up", "--json").out)["health"] == "healthy"
    assert json.loads(haop("-C", "shop", "render", "--json").out)["schema"] == "haop.render/1"
    assert "nothing to do" in json.loads(haop("-C", "shop", "rejoin", "db2", "--dry-run", "--json").out)["plan"]
    for command, schema in (("events", "haop.event/1"), ("logs", "haop.log/1")):
        lines = haop("-C", "shop", command, "--json").out.splitlines()
        assert lines
        assert all(json.loads(line)["at"] and line.startswith(f'{{"schema": "{schema}"') for line in lines)
    assert haop("-C", "shop", "status", "--watch", "--json").code == 2


def test_up_ends_with_what_dsn_prints(haop: Haop, shop: Cluster) -> None:
    assert haop("-C", "shop", "up").out.splitlines()[-1].strip() == haop("-C", "shop", "dsn").out.strip()


def test_quiet_asks_nothing_blindly_and_still_reminds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("haop.cli.console.ERR.quiet", True)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert not consent(yes=False)(["remove db3"])
    assert "remove db3" in capsys.readouterr().err
    assert consent(yes=True)(["remove db3"])
    assert "remove db3" not in capsys.readouterr().err, "nobody is asked"
    made = support.make_project(folder / "quiet")
    heal.begin(made.project, "switchover", "db1")
    healing.remind(made)
    assert "haop up" in capsys.readouterr().err


def test_failover_and_rejoin_by_hand(haop: Haop, shop: Cluster) -> None:
    shop.runtime.kill("db1")
    assert haop("-C", "shop", "status").code == 4
    plan = haop("-C", "shop", "failover", "--dry-run", "--json")
    assert json.loads(plan.out) == {
        "schema": "haop.failover/1", "done": False, "old_primary": "db1", "new_primary": "db2", "fence": ["db1"],
        "salvaged": [],
    }  # fmt: skip
    assert "would fence db1, then promote db2" in haop("-C", "shop", "failover", "--dry-run").out
    assert not shop.runtime.state("db1").fenced, "a plan changes nothing"
    done = haop("-C", "shop", "failover", "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["done"] is True
    assert "db2 promoted" in done.err, "progress is told beside JSON too"
    assert support.primary_of(shop) == "db2"
    assert haop("-C", "shop", "status").code == 3
    plan = haop("-C", "shop", "rejoin", "db1", "--dry-run", "--json")
    assert [json.loads(plan.out)[key] for key in ("done", "decision")] == [False, None]
    assert shop.runtime.state("db1").fenced, "a plan changes nothing"
    refused = haop("-C", "shop", "rejoin", "db1")
    assert (refused.code, "rewound, and its WAL kept. Go on?" in refused.err) == (2, True)
    done = haop("-C", "shop", "rejoin", "db1", "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["decision"]
    assert haop("-C", "shop", "status").code == 0


def test_output_without_a_terminal_has_no_escape_sequences(folder: Path, shop: Cluster) -> None:
    for command in (("status",), ("up",), ("events",), ("logs",), ("--help",), ("render", "--check")):
        done = in_a_process(*HAOP, "-C", "shop", *command, cwd=folder, TERM="xterm-256color")
        assert done.returncode == 0, done.stderr
        assert ESCAPE not in done.stdout + done.stderr, command


def on_a_terminal(*argv: str, cwd: Path, **environment: str) -> str:
    """What a command prints on a terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    terminal, side = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as output:
        child = subprocess.Popen(
            argv, cwd=cwd, stdin=side, stdout=side, stderr=side,
            env={**kept, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(side)
        told = b""
        try:
            while piece := output.read(2**16):
                told += piece
        except OSError:  # Linux says EIO once nobody holds the other side
            pass
        assert child.wait(timeout=30) == 0
    return told.decode()


def test_no_color_takes_the_colours_away(folder: Path, shop: Cluster) -> None:
    colour = re.compile(ESCAPE + r"\[[\d;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
    argv = (*HAOP, "-C", "shop", "status")
    assert colour.search(on_a_terminal(*argv, cwd=folder))
    plain = on_a_terminal(*argv, cwd=folder, NO_COLOR="1")
    assert "healthy" in plain
    assert not colour.search(plain)


# --- logs, events


def fail_on(cluster: Cluster, node: str, mark: str) -> None:
    """Leave an error with a mark in a node's log."""
    link = connect_as(cluster, node, "postgres", cluster.secrets.postgres_password)
    with link, pytest.raises(psycopg.errors.UndefinedColumn):
        link.execute(f"SELECT {mark}".encode())


def connect_as(
    cluster: Cluster, node: str, user: str, password: str, database: str = "postgres"
) -> "psycopg.Connection[tuple[object, ...]]":
    login = Login(user=user, password=password, database=database, ca=cluster.engine.admin.ca)
    return support.connect(cluster, node, login)


def log_entries(haop: Haop, *options: str) -> list[dict[str, str]]:
    done = haop("-C", "shop", "logs", "--json", *options)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_logs_are_merged_by_time(haop: Haop, shop: Cluster) -> None:
    for node in ("db2", "db1", "db2"):
        fail_on(shop, node, "in_turn")
        time.sleep(0.01)
    entries = log_entries(haop)
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    assert {entry["node"] for entry in entries} == {"db1", "db2", "haop"}
    assert [entry["node"] for entry in entries if '"in_turn"' in entry["message"]] == ["db2", "db1", "db2"]
    assert any("up done" in entry["message"] for entry in entries if entry["node"] == "haop")


def test_logs_of_one_node_a_level_a_time(haop: Haop, shop: Cluster) -> None:
    fail_on(shop, "db2", "early")
    assert {entry["node"] for entry in log_entries(haop, "--node", "db2")} == {"db2"}
    grave = log_entries(haop, "--level", "error")
    assert {entry["level"] for entry in grave} <= {"error", "fatal", "panic"}
    assert any('"early"' in entry["message"] for entry in grave)
    assert not [entry for entry in log_entries(haop, "--level", "panic") if entry["level"] != "panic"]
    with (shop.project.state / "local" / "db2" / "log").open("a") as log:
        log.write("2020-01-01 00:00:00.000 UTC [7] ERROR:  ancient\n")
    assert "ancient" in {entry["message"] for entry in log_entries(haop, "--level", "error")}
    young = {entry["message"] for entry in log_entries(haop, "--since", "10m", "--level", "error")}
    assert "ancient" not in young
    assert any('"early"' in message for message in young)


def test_logs_for_people_name_node_and_level(haop: Haop, shop: Cluster) -> None:
    fail_on(shop, "db1", "for_people")
    line = next(line for line in haop("-C", "shop", "logs").out.splitlines() if '"for_people"' in line)
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} db1 +error +", line)


def test_what_a_client_wrote_steers_no_terminal(haop: Haop, shop: Cluster) -> None:
    link = connect_as(shop, "db1", "postgres", shop.secrets.postgres_password)
    with link, pytest.raises(psycopg.errors.UndefinedColumn):
        link.execute(b'SELECT "\x1b[2Jsteered"')
    line = next(line for line in haop("-C", "shop", "logs", "--node", "db1").out.splitlines() if "steered" in line)
    assert '"\\x1b[2Jsteered"' in line


def test_following_the_logs_sees_what_is_new(folder: Path, shop: Cluster) -> None:
    child = subprocess.Popen(
        [*HAOP, "-C", "shop", "logs", "-f", "--node", "db1", "--since", "1m"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    assert child.stderr
    try:
        fail_on(shop, "db1", "followed")
        told, end = b"", time.monotonic() + 20
        while b'"followed"' not in told:
            assert time.monotonic() < end, told
            if select.select([child.stdout], [], [], 0.2)[0]:
                told += os.read(child.stdout.fileno(), 2**16)
        # Its first sight of the log may have held that line already; the second cannot.
        fail_on(shop, "db1", "followed_on")
        while b'"followed_on"' not in told:
            assert time.monotonic() < end, told
            if select.select([child.stdout], [], [], 0.2)[0]:
                told += os.read(child.stdout.fileno(), 2**16)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=10) == 130
        assert b"Traceback" not in child.stderr.read()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def test_events_are_the_audit_trail(haop: Haop, folder: Path, shop: Cluster) -> None:
    events = [json.loads(line) for line in haop("-C", "shop", "events", "--json").out.splitlines()]
    actions = [event["action"] for event in events]
    assert actions[:2] == ["init", "render"]
    assert {"up", "failover", "rejoin"} <= set(actions)
    assert all(event["actor"] and event["outcome"] == "done" for event in events), events
    failover = next(event for event in events if event["action"] == "failover")
    assert failover["detail"] == "fenced db1; promoted db2; db2 lacked nothing of db1's WAL"
    assert failover["duration_seconds"] > 0
    assert [
        json.loads(line) for line in haop("-C", "shop", "events", "--json", "--last", "2").out.splitlines()
    ] == events[-2:]
    assert haop("-C", "shop", "events", "--since", "1h", "--last", "1").out.count("\n") == 1
    assert haop("-C", "shop", "events", "--since", "1ms").out == ""
    told = haop("-C", "shop", "events").out
    assert re.search(
        r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+ failover done in \d+\.\d s: fenced db1; ", told, re.MULTILINE
    )


# --- Roles


def test_the_replication_role_replicates_and_does_nothing_else(shop: Cluster) -> None:
    own, primary = shop.secrets, support.primary_of(shop)
    for database in ("postgres", "template1", "shop"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect_as(shop, primary, own.replication_user, own.replication_password, database)
    rights = "rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication"
    found = support.sql(shop, primary, f"SELECT {rights} FROM pg_roles WHERE rolname = '{own.replication_user}'")
    assert found == [(False, False, False, False, True)]
    member = f"SELECT count(*) FROM pg_auth_members WHERE member = '{own.replication_user}'::regrole"
    assert support.sql(shop, primary, member) == [(0,)]


def test_the_rewind_role_has_its_functions(shop: Cluster) -> None:
    own, primary = shop.secrets, support.primary_of(shop)
    functions = ("pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)", "pg_read_binary_file(text)",
                 "pg_read_binary_file(text, bigint, bigint, boolean)")  # fmt: skip
    with connect_as(shop, primary, own.rewind_user, own.rewind_password) as link:
        for function in functions:
            question = "SELECT has_function_privilege(%s, 'EXECUTE')"
            assert link.execute(question, [function]).fetchone() == (True,)
        assert link.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            link.execute("SELECT * FROM pg_authid")


def test_the_monitor_sees_and_changes_nothing(shop: Cluster) -> None:
    own, primary = shop.secrets, support.primary_of(shop)
    for database in ("postgres", "shop"):
        with connect_as(shop, primary, own.monitor_user, own.monitor_password, database) as link:
            assert link.execute("SELECT pg_has_role('pg_monitor', 'MEMBER')").fetchone() == (True,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                link.execute("CREATE TABLE public.mine ()")


def test_the_owner_owns_the_database_and_is_no_superuser(shop: Cluster) -> None:
    spec, primary = shop.project.spec, support.primary_of(shop)
    question = f"SELECT datdba::regrole::text FROM pg_database WHERE datname = '{spec.database}'"
    assert support.sql(shop, primary, question) == [(spec.owner,)]
    with connect_as(shop, primary, spec.owner, shop.secrets.database_password, spec.database) as link:
        link.execute("CREATE TABLE public.orders ()")
        link.execute("DROP TABLE public.orders")
        assert link.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect_as(shop, primary, spec.owner, "wrong", spec.database)


# --- Where it is called


def test_from_a_sub_folder_and_from_elsewhere(haop: Haop, folder: Path, shop: Cluster) -> None:
    below = in_a_process(*HAOP, "status", "--json", cwd=shop.project.root / "stack")
    assert json.loads(below.stdout)["cluster"] == "shop"
    elsewhere = in_a_process(*HAOP, "-C", str(shop.project.root), "status", "--json", cwd=Path("/"))
    assert json.loads(elsewhere.stdout)["cluster"] == "shop"
    assert haop("-C", "shop/stack", "status").code == 0
