"""psql and dsn: they really connect; and how haop ends when it is told to.

Of processes; what containers add is in tests/compose/test_secrets.py.
"""

import ast
import json
import os
import pty
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
import pytest

from haop.operations.cluster import Cluster
from haop.postgres.binaries import installation
from haop.project import load
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop, require

HAOP = (sys.executable, "-m", "haop", "-C", "shop")
ASLEEP = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND application_name = 'haop psql'"
PASSWORD = "p@ss/w%rd+ &=?#;'x"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with support.folder() as path:
        yield path


@pytest.fixture(scope="module")
def shop(folder: Path) -> Iterator[Cluster]:
    """A pair with TLS, which the system's build has and the wheel's has not, and an odd password of the owner."""
    made = support.make_project(folder / "shop", postgres=require(15), durability="sync")
    env = made.project.root / ".env"
    env.write_text(
        re.sub("^DATABASE_PASSWORD=.*", f'DATABASE_PASSWORD="{PASSWORD}"', env.read_text(), flags=re.MULTILINE)
    )
    with support.running(Cluster.of(load(made.project.root))) as cluster:
        support.sql(cluster, "db1", "CREATE TABLE fruit AS SELECT 'pear' AS name", database="shop")
        support.sql(cluster, "db1", "ALTER TABLE fruit OWNER TO shop", database="shop")
        yield cluster


def psql(folder: Path, *arguments: str, stdin: str = "") -> support.Finished:
    done = subprocess.run(
        (*HAOP, "psql", *arguments), cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    return support.Finished(done.returncode, done.stdout, done.stderr)


# --- psql


def test_psql_is_the_superusers_on_the_node_that_was_meant(folder: Path, shop: Cluster) -> None:
    ask = "SELECT current_user, current_database(), pg_is_in_recovery(), inet_server_port()"
    for where, answer in (
        ((), ("postgres", "shop", "f", "db1")),
        (("--primary", "--database", "postgres"), ("postgres", "postgres", "f", "db1")),
        (("--standby",), ("postgres", "shop", "t", "db2")),
        (("db2", "-d", "template1"), ("postgres", "template1", "t", "db2")),
    ):
        done = psql(folder, *where, "-c", ask, "--", "--no-align", "--tuples-only", "-F,")
        *words, node = answer
        assert (done.code, done.out, done.err) == (0, f"{','.join(words)},{shop.project.spec.node(node).port}\n", "")


def test_psql_passes_input_output_and_the_rest_through(folder: Path, shop: Cluster) -> None:
    script = "CREATE TEMP TABLE t (n int);\nCOPY t FROM STDIN;\n1\n2\n\\.\nSELECT sum(n) FROM t;\n"
    assert psql(folder, "--", "-X", "-Atq", stdin=script).out == "3\n"
    assert psql(folder, "-c", "SELECT 1", "-c", "SELECT 2", "--", "--csv", "-t").out == "1\n2\n"
    owner = psql(folder, "-c", "\\connect - shop", "-c", "SELECT current_user", "--", "-Atq")
    assert owner.out == "shop\n", owner.err


def test_psql_that_fails_is_exit_1_and_a_bad_question_exit_2(folder: Path, haop: Haop, shop: Cluster) -> None:
    failed = psql(folder, "-c", "SELECT pear")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith('ERROR:  column "pear" does not exist')
    assert "Traceback" not in failed.err
    for asked in (("db1", "--standby"), ("--primary", "--standby"), ("db7",)):
        assert haop("-C", "shop", "psql", *asked, "-c", "SELECT 1").code == 2


def test_the_password_is_in_a_closed_file_that_is_gone_afterwards(folder: Path, shop: Cluster) -> None:
    """While psql runs, and when haop is ended in the middle: SIGTERM ends psql, too."""
    environment = {**os.environ, "PGHOST": "nowhere.example", "PGSERVICE": "nobody", "PGTARGETSESSIONATTRS": "standby"}
    argv = (*HAOP, "psql", "-c", "SELECT pg_sleep(60)")
    with subprocess.Popen(argv, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment) as sleeping:
        try:
            wait_until(lambda: support.sql(shop, "db1", ASLEEP), deadline=30, waiting_for="psql to sleep")
            child = int(Path(f"/proc/{sleeping.pid}/task/{sleeping.pid}/children").read_text().split()[0])
            told = Path(f"/proc/{child}/environ").read_text()
            variables = dict(word.split("=", 1) for word in told.split("\0") if word)
            passfile = Path(variables["PGPASSFILE"])
            assert (variables["PGSSLMODE"], "PGSERVICE" in variables) == ("verify-full", False)
            assert shop.secrets.postgres_password in passfile.read_text()
            assert stat.S_IMODE(passfile.stat().st_mode) == 0o600
            for process in (sleeping.pid, child):
                shown = Path(f"/proc/{process}/cmdline").read_text() + Path(f"/proc/{process}/environ").read_text()
                assert shop.secrets.postgres_password not in shown
        finally:
            sleeping.terminate()
        _, err = sleeping.communicate(timeout=30)
    assert (sleeping.returncode, err) == (130, "\ninterrupted\n")
    assert not passfile.exists()
    assert not Path(f"/proc/{child}").exists()


# --- dsn


def dsn(haop: Haop, *options: str) -> str:
    done = haop("-C", "shop", "dsn", "--show-password", *options)
    assert done.code == 0, done.err
    return done.out.rstrip("\n")


def connects(cluster: Cluster, *, read: bool, conninfo: str = "", **parameters: Any) -> None:
    """As the owner, over TLS, to the primary, or to the standby for reading."""
    with psycopg.connect(conninfo, **parameters) as link:
        ask = b"SELECT current_user, current_database(), pg_is_in_recovery(), ssl FROM pg_stat_ssl WHERE pid = "
        assert link.execute(ask + b"pg_backend_pid()").fetchone() == ("shop", "shop", read, True)
        assert link.info.get_parameters()["sslmode"] == "verify-full"
        assert link.execute("SELECT name FROM fruit").fetchone() == ("pear",)


@pytest.mark.parametrize("read", [False, True], ids=["write", "read"])
def test_libpq_django_and_sqlalchemy_really_connect(haop: Haop, shop: Cluster, read: bool) -> None:
    options = ("--read",) if read else ()
    connects(shop, read=read, conninfo=dsn(haop, *options))
    text = dsn(haop, *options, "--format", "django")
    told = ast.literal_eval(text.removeprefix("DATABASES = "))["default"]
    assert told["ENGINE"] == "django.db.backends.postgresql"
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    connects(shop, read=read, **{names[key]: told[key] for key in names}, **told["OPTIONS"])
    url = urlsplit(dsn(haop, *options, "--format", "sqlalchemy"))
    query = parse_qsl(url.query, strict_parsing=True)
    places = [value.split(":") for key, value in query if key == "host"]
    assert (url.scheme, url.hostname) == ("postgresql+psycopg", None)
    connects(
        shop, read=read, user=url.username, password=unquote(url.password or ""), dbname=url.path.strip("/"),
        host=",".join(host for host, _ in places), port=",".join(port for _, port in places),
        **{key: value for key, value in query if key != "host"},
    )  # fmt: skip


def test_pg_dump_of_a_standby_with_the_password_in_a_passfile(haop: Haop, folder: Path, shop: Cluster) -> None:
    done = haop("-C", "shop", "dsn", "--read")
    passfile = folder / "passfile"
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:shop:shop:{PASSWORD}\n")
    before = support.sql(shop, "db2", "SELECT sum(seq_scan) FROM pg_stat_user_tables", database="shop")
    argv = (str(installation(15).bindir / "pg_dump"), "--verbose", done.out.strip())
    dumped = subprocess.run(
        argv, env={"PGPASSFILE": str(passfile)}, capture_output=True, text=True, check=True, timeout=60
    )
    assert "COPY public.fruit (name) FROM stdin;\npear\n" in dumped.stdout
    ask = "SELECT sum(seq_scan) FROM pg_stat_user_tables"
    wait_until(lambda: support.sql(shop, "db2", ask, database="shop") != before, deadline=20, waiting_for="the scan")
    with_variables = haop("-C", "shop", "dsn", "--read", "--format", "env", "--show-password").out
    environment = dict(word.split("=", 1) for word in shlex.split(with_variables))
    asked = subprocess.run(
        (str(installation(15).bindir / "psql"), "-Atc", "SELECT pg_is_in_recovery()"), env=environment,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert asked.stdout == "t\n"


FORMATS = ("libpq", "django", "sqlalchemy", "jdbc", "npgsql", "go", "env")


@pytest.mark.parametrize("form", FORMATS)
def test_the_password_is_hidden_unless_it_is_asked_for(haop: Haop, shop: Cluster, form: str) -> None:
    done = haop("-C", "shop", "dsn", "--format", form)
    assert "--show-password" in done.err
    document = json.loads(haop("-C", "shop", "dsn", "--format", form, "--json").out)
    assert (document["schema"], document["password"]) == ("haop.dsn/1", None)
    assert document["dsn"] == done.out.rstrip("\n")
    for text in (done.out, document["dsn"]):
        assert not re.search(r"p(@|%40)ss", text)
    assert all(str(shop.project.spec.node(node).port) in done.out for node in ("db1", "db2"))
    assert re.search(r"p(@|%40)ss", dsn(haop, "--format", form))
    assert haop("-q", "-C", "shop", "dsn", "--format", form).err == ""


def test_processes_have_no_network_of_their_own(haop: Haop, shop: Cluster) -> None:
    assert haop("-C", "shop", "dsn", "--from", "network").code == 2


# --- quiet, verbose; how it ends


def test_quiet_leaves_the_results_and_verbose_adds_each_action(haop: Haop, shop: Cluster) -> None:
    quiet, verbose, plain = haop("-q", "-C", "shop", "up"), haop("-v", "-C", "shop", "up"), haop("-C", "shop", "status")
    assert [done.code for done in (quiet, verbose, plain)] == [0, 0, 0]
    assert re.search("ok verify.* [0-9.]+ s", verbose.err)
    assert plain.err == ""
    assert quiet.err == ""
    assert "shop is healthy" in quiet.out
    port = shop.project.spec.node("db1").port
    assert re.search(rf"^[\d:.]+ connected to 127.0.0.1:{port} as postgres  [\d.]+ s$", verbose.err, re.MULTILINE)
    assert re.search(r"^[\d:.]+ \S+/postgres --version  [\d.]+ s, code 0$", verbose.err, re.MULTILINE)
    assert haop("-q", "-C", "shop", "rejoin", "db1").err.startswith("error: ")


def test_a_closed_terminal_and_sigterm_end_it_as_ctrl_c_does(folder: Path, shop: Cluster) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with subprocess.Popen(
            (*HAOP, "logs", "-f"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout
            assert child.stdout.readline()
            child.send_signal(number)
            _, told = child.communicate(timeout=30)
            assert (child.returncode, told) == (130, b"\ninterrupted\n"), number
    for hears in (True, False):  # that its terminal is closed; else the next line that it writes says so
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(folder)
            signal.signal(signal.SIGHUP, signal.SIG_DFL if hears else signal.SIG_IGN)
            os.execv(sys.executable, (*HAOP, "logs", "-f"))  # noqa: S606 - on a terminal of its own
        assert os.read(terminal, 10)
        os.close(terminal)
        support.sql(shop, "db1", "SELECT pg_reload_conf()")  # which is a line of the log
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130, hears


def test_a_reader_that_leaves_is_no_error(folder: Path, shop: Cluster) -> None:
    for command in ("logs --json", "logs -f", "events"):
        script = f"{shlex.join(HAOP)} {command} | head -n 1"
        done = subprocess.run(("sh", "-c", script), cwd=folder, capture_output=True, text=True, check=True, timeout=60)
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == "", command


def complete(*words: str, cwd: Path) -> list[str]:
    environment = {
        **os.environ,
        "_HAOP_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    argv = (sys.executable, "-c", "from haop.cli.app import main; main()")
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes_commands_and_nodes(folder: Path, shop: Cluster) -> None:
    assert complete("haop", "ps", cwd=folder) == ["psql"]
    assert complete("haop", "-C", "shop", "rejoin", "d", cwd=folder) == ["db1", "db2"]
    assert complete("haop", "logs", "--node", "db1", cwd=folder / "shop" / "stack") == ["db1"]
    assert complete("haop", "rejoin", "", cwd=folder) == []


def test_the_shells_part_of_it_is_printed() -> None:
    argv = (sys.executable, "-c", "from haop.cli.app import main; main()", "--show-completion", "zsh")
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "_HAOP_COMPLETE=complete_zsh" in done.stdout
