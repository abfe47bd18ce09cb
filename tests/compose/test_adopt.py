"""An existing database becomes a cluster: nothing copied, nothing deleted, applications go on."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from haop.docker import foreign
from haop.model import adoption
from haop.waiting import wait_until
from tests import support
from tests.compose.stacks import ask, docker, loaded
from tests.conftest import REQUIRED, Haop

PASSWORD = "of the old days"
ROWS = "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 5000) AS i;"
DIGEST = "SELECT count(*), md5(string_agg(note, '' ORDER BY id)) FROM orders"


@contextmanager
def old(name: str, major: int, *arguments: str, command: tuple[str, ...] = ()) -> Iterator[str]:
    """A container that the official image's documentation would lead to, with data in it."""
    require_image(major)
    try:
        policy = ("--restart", "unless-stopped", "--env", "POSTGRES_INITDB_ARGS=--no-sync")
        docker("run", "--detach", "--name", name, *policy, *arguments, f"postgres:{major}", "-c", "fsync=off", *command)
        await_server(name)
        yield name
    finally:
        ask("rm", "--force", name)
        ask("volume", "rm", name)


def require_image(major: int) -> None:
    """One that is neither the oldest nor the newest is built for these tests alone."""
    if ask("image", "inspect", f"postgres:{major}").returncode:
        (pytest.fail if "compose" in REQUIRED else pytest.skip)(f"no image postgres:{major}")


def await_server(name: str) -> None:
    """Over TCP, where the server of the image's own initialisation does not answer."""
    argv = ("exec", name, "pg_isready", "--quiet", "--host", "127.0.0.1", "--dbname", "template1")
    wait_until(lambda: ask(*argv).returncode == 0, deadline=60, pause=0.1, waiting_for=f"{name} to answer")


@contextmanager
def cluster_of(haop: Haop, project: Path) -> Iterator[None]:
    """Gone afterwards, whatever became of it."""
    try:
        yield
    finally:
        if (project / "haop.toml").exists():
            with suppress(BaseException):
                support.end(loaded(project))


def psql(container: str, *statements: str, user: str = "shop") -> str:
    commands = [part for statement in statements for part in ("-c", statement)]
    return docker("exec", "--user", "postgres", container, "psql", "-XAtq", "-U", user, "-d", "shop", *commands)


def as_application(port: int, user: str, password: str = PASSWORD) -> tuple[Any, ...]:
    """What a client with the connection string of before reads."""
    where = conninfo.make_conninfo("", host="127.0.0.1", port=port, user=user, password=password, dbname="shop")
    with psycopg.connect(where, connect_timeout=5) as connection:
        row = connection.execute(DIGEST).fetchone()
        assert row
        return row


def state(container: str) -> dict[str, Any]:
    found = json.loads(docker("inspect", container))[0]
    parts = {key: found[key] for key in ("Id", "Created", "State", "RestartCount")}
    return {**parts, **found["HostConfig"]["RestartPolicy"]}


def replicated(project: Path, expected: tuple[Any, ...]) -> None:
    """Primary and standby have the rows."""
    cluster = loaded(project)
    assert [support.sql(cluster, node, DIGEST, database="shop")[0] for node in ("db1", "db2")] == [expected] * 2
    assert support.primary_of(cluster) == "db1"


def kept(haop: Haop, project: Path, container: str, volume: str) -> None:
    """After `down --volumes` the old container and the data are still there."""
    done = haop("-C", str(project), "down", "--volumes", "--yes")
    assert done.code == 0, done.err
    assert f"kept, because haop did not make it: {volume}" in done.out
    found = state(container)
    assert not found["State"]["Running"]
    assert found["Name"] == "no"


def test_a_compose_service_of_17_becomes_db1(haop: Haop, folder: Path) -> None:
    """POSTGRES_USER with a password file, an init script, settings in three places, a second database."""
    name, port = f"adopt17-{os.getpid()}", support.free_ports(3)
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "init.sql").write_text(f"{ROWS} CREATE DATABASE reports; ALTER SYSTEM SET maintenance_work_mem = '96MB';")
    service = {
        "image": "postgres:17", "restart": "unless-stopped", "ports": [f"127.0.0.1:{port}:5432"],
        "environment": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
                        "POSTGRES_INITDB_ARGS": "--no-sync"},
        "command": ["-c", "work_mem=8MB", "-c", "shared_preload_libraries=pg_stat_statements", "-c",
                    "pg_stat_statements.max=2000", "-c", "fsync=off", "-c", "DateStyle=SQL, DMY"],
        "secrets": ["password"], "volumes": ["data:/var/lib/postgresql/data",
                                             "./init.sql:/docker-entrypoint-initdb.d/init.sql:ro"],
    }  # fmt: skip
    stack = {"services": {"db": service}, "volumes": {"data": {}}, "secrets": {"password": {"file": "./password"}}}
    (folder / "compose.yaml").write_text(json.dumps(stack))
    compose = ("compose", "--project-name", name, "--file", str(folder / "compose.yaml"))
    container, volume, project = f"{name}-db-1", f"{name}_data", folder / f"{name}-ha"
    require_image(17)
    try:
        docker(*compose, "up", "--detach")
        await_server(container)
        before, rows = state(container), as_application(port, "shop")
        roles, files = psql(container, "SELECT * FROM pg_authid"), sorted(folder.iterdir())

        told = haop("adopt", container, "--dry-run")
        assert told.code == 0, told.err
        for words in ("work_mem = 8MB", "maintenance_work_mem = 96MB", "let alone: reports", "checksums-off", volume):
            assert words in told.out
        assert PASSWORD not in told.out
        assert (before, roles, files) == (
            state(container),
            psql(container, "SELECT * FROM pg_authid"),
            sorted(folder.iterdir()),
        )
        assert haop("adopt", volume).code == 2, "nobody was asked, and nobody said yes"
        assert (before, files) == (state(container), sorted(folder.iterdir()))

        with cluster_of(haop, project):
            done = haop("adopt", container, "--yes", "--json")
            assert done.code == 0, done.err
            document = json.loads(done.out)
            assert (document["schema"], document["done"]) == ("haop.adopt/1", True)
            assert PASSWORD not in done.out + done.err
            replicated(project, rows)
            assert as_application(port, "shop") == rows
            settings = "SELECT name, setting FROM pg_settings WHERE name IN ('work_mem', 'pg_stat_statements.max')"
            assert support.sql(loaded(project), "db2", settings) == [
                ("pg_stat_statements.max", "2000"),
                ("work_mem", "8192"),
            ]
            told = haop("adopt", container)
            assert (told.code, "was adopted already" in told.out) == (0, True)
            kept(haop, project, container, volume)
        # Somebody starts the old stack again: no second server, no new database over the data.
        docker("start", container)
        wait_until(lambda: not state(container)["State"]["Running"], deadline=60, waiting_for=f"{container} to give up")
        # The way back, as the plan told it.
        for command in document["undo"]:
            subprocess.run(["sh", "-euc", command], check=True, capture_output=True)
            if "docker start" in command:
                await_server(container)
        assert as_application(port, "shop") == rows
        assert psql(container, "SHOW maintenance_work_mem").strip() == "96MB"
        assert psql(container, "SELECT count(*) FROM pg_replication_slots").strip() == "0"
    finally:
        ask(*compose, "down", "--volumes")


def test_an_interrupted_move_is_completed(haop: Haop, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL 15; killed among the files of the data directory, where nothing can start until the same command."""
    name, port = f"adopt15-{os.getpid()}", support.free_ports(3)
    project = folder / "ha"
    variables = ("POSTGRES_USER=shop", f"POSTGRES_PASSWORD={PASSWORD}")
    arguments = [part for variable in variables for part in ("--env", variable)]
    arguments += ["--publish", f"127.0.0.1:{port}:5432", "--volume", f"{name}:/var/lib/postgresql/data"]
    with old(name, 15, *arguments), cluster_of(haop, project):
        psql(name, ROWS)
        rows = as_application(port, "shop")
        whole = foreign._MOVE
        killed = whole.replace(
            'mv "$entry" "$moving/"', 'mv "$entry" "$moving/"; if [ "$entry" = global ]; then exit 137; fi'
        )
        assert killed != whole
        monkeypatch.setattr(foreign, "_MOVE", killed)
        done = haop("adopt", name, "ha", "--name", name + "-ha", "--yes")
        assert done.code == 1
        assert "it goes on from there: haop adopt" in done.err
        # Nothing starts on half a data directory: not the old container, not the cluster.
        docker("start", name)
        wait_until(lambda: not state(name)["State"]["Running"], deadline=60, waiting_for=f"{name} to give up")
        done = haop("-C", "ha", "up")
        assert done.code == 1
        assert "run haop adopt again" in done.err
        monkeypatch.setattr(foreign, "_MOVE", whole)
        done = haop("adopt", name, "ha", "--yes")
        assert done.code == 0, done.err
        replicated(project, rows)
        assert as_application(port, "shop") == rows
        kept(haop, project, name, name)


def test_a_folder_of_18_whose_owner_is_postgres(haop: Haop, folder: Path) -> None:
    """A bind mount, no POSTGRES_USER: the application goes on as the superuser, haop gets a role beside it."""
    name, port = f"adopt18-{os.getpid()}", support.free_ports(3)
    project, data = folder / "ha", folder / "data"
    data.mkdir()
    arguments = ["--env", f"POSTGRES_PASSWORD={PASSWORD}", "--env", "POSTGRES_DB=shop"]
    arguments += ["--publish", f"127.0.0.1:{port}:5432", "--volume", f"{data}:/var/lib/postgresql"]
    with old(name, 18, *arguments), cluster_of(haop, project):
        psql(name, ROWS, user="postgres")
        rows = as_application(port, "postgres")
        done = haop("adopt", name, "ha", "--name", name + "-ha", "--yes")
        assert done.code == 0, done.err
        assert "new-owner" in done.out
        replicated(project, rows)
        assert as_application(port, "postgres") == rows
        # What would be kept is a standby's: its only primary is not deleted beside it.
        (data / "18" / "haop" / "standby.signal").touch()
        done = haop("-C", "ha", "down", "--volumes", "--yes")
        assert (done.code, "db1" in done.err) == (2, True)
        (data / "18" / "haop" / "standby.signal").unlink()
        kept(haop, project, name, str(data))
        assert (data / "18" / "haop" / "PG_VERSION").read_text().strip() == "18"
        assert [entry.name for entry in (data / "18" / "docker").iterdir()] == [adoption.NOTE]


def test_what_cannot_be_adopted_is_refused_with_every_reason(haop: Haop, folder: Path) -> None:
    name, sharer = f"adoptno-{os.getpid()}", f"adoptno2-{os.getpid()}"
    variables = ("POSTGRES_USER=shop", f"POSTGRES_PASSWORD={PASSWORD}")
    arguments = [part for variable in variables for part in ("--env", variable)]
    arguments += ["--volume", f"{name}:/var/lib/postgresql/data"]
    assert "there is no container 'nobody'" in haop("adopt", "nobody").err
    with old(name, 15, *arguments, command=("-c", "wal_level=logical")):
        psql(name, "SELECT pg_create_logical_replication_slot('events', 'pgoutput')")
        psql(name, f"SET password_encryption = 'md5'; CREATE ROLE legacy LOGIN PASSWORD '{PASSWORD}'")
        psql(name, "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE elsewhere LOCATION ''")
        psql(name, "CREATE DATABASE one")
        before, there = state(name), sorted(folder.iterdir())
        done = haop("adopt", name, "--yes")
        assert done.code == 2
        for reason in ("slots: events", "MD5", "legacy", "tablespaces", "elsewhere"):
            assert reason in done.err
        done = haop("adopt", name, "--database", "two", "--nodes", "9", "--yes")
        assert (done.code, "it has no database two" in done.err) == (2, True)
        docker(
            "run", "--detach", "--name", sharer, "--volumes-from", name, "--entrypoint", "sleep", "postgres:15", "60"
        )
        try:
            done = haop("adopt", name, "--yes")
            assert (done.code, sharer in done.err) == (2, True)
        finally:
            docker("rm", "--force", sharer)
        assert (before, there) == (state(name), sorted(folder.iterdir()))
        docker("stop", name)
        done = haop("adopt", name, "--yes")
        assert (done.code, "it does not run" in done.err) == (2, True)
    assert not re.search(re.escape(name), docker("volume", "ls"))
