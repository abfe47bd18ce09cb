"""The application beside the database: what it is told, and that it survives a failover without a restart."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.compose import stacks
from tests.conftest import Haop

IMAGE = 'image = "haop-test-web"'


def with_web(*lines: str, source: str = IMAGE) -> Callable[[Cluster], Cluster]:
    """A change of haop.toml: the application of the tests, on a free port."""

    def change(made: Cluster) -> Cluster:
        spec = made.project.spec
        taken = {node.port for node in spec.nodes} | {addon.port for addon in spec.addons.values()}
        port = next(port for port in iter(lambda: support.free_ports(1), None) if port not in taken)
        text = "\n".join(["", "[web]", source, f"port = {port}", "listens_on = 8000", *lines, ""])
        return stacks.more_toml(made, text)

    return change


def ask(cluster: Cluster) -> dict[str, Any]:
    """What the application says; it is patient: a connection may wait for a node that is gone."""
    web = cluster.project.spec.web
    assert web
    with urllib.request.urlopen(f"http://127.0.0.1:{web.port}/", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def await_answer(cluster: Cluster) -> dict[str, Any]:
    def answer() -> dict[str, Any] | None:
        try:
            return ask(cluster)
        except OSError:
            return None

    return wait_until(answer, deadline=60, pause=0.1, waiting_for="the application to answer")


def writes_to(cluster: Cluster, node: str) -> None:
    wait_until(lambda: ask(cluster)["write"] == [node, "read-write", None], deadline=60, pause=0.2,
               waiting_for=f"the application to write to {node}")  # fmt: skip


def environment(cluster: Cluster) -> dict[str, str]:
    """As `docker inspect` shows it to everybody who may ask the engine."""
    return dict(entry.split("=", 1) for entry in stacks.inspect(cluster, "web")["Config"]["Env"])


def add_to_env(cluster: Cluster, line: str) -> None:
    with (cluster.project.root / ".env").open("a") as file:
        file.write(f"{line}\n")


# --- Secrets in files


def test_an_application_finds_everybody_through_files_and_no_password_is_in_its_environment(folder: Path) -> None:
    with stacks.up_and_running(folder / "shop", with_web(), redis=True) as cluster:
        found = await_answer(cluster)
        assert found["write"] == ["db1", "read-write", None]
        assert found["read"] == ["db2", "read-only", None]
        assert found["redis"] == "PONG"
        urls = {name: url for name, url in found["environment"].items() if not name.endswith("_FILE")}
        assert set(urls) == {"DATABASE_URL", "DATABASE_READ_URL", "REDIS_URL"}
        assert urls["DATABASE_URL"].startswith("postgresql://shop@db1:5432,db2:5432/shop?")
        assert urls["REDIS_URL"] == "redis://redis:6379/0"
        shown = "\n".join(environment(cluster).values())
        own = cluster.secrets
        assert own.database_password not in shown
        assert own.redis_password not in shown
        assert environment(cluster)["PORT"] == "8000"


def test_an_application_without_redis_is_told_of_none(folder: Path) -> None:
    with stacks.up_and_running(folder / "shop", with_web()) as cluster:
        found = await_answer(cluster)
        assert found["write"] == ["db1", "read-write", None]
        assert found["redis"] is None
        assert "REDIS_URL" not in found["environment"]


@pytest.mark.parametrize("gone", ["killed", "removed"])
def test_an_application_writes_to_the_new_primary_without_a_restart(folder: Path, haop: Haop, gone: str) -> None:
    with stacks.up_and_running(folder / "shop", with_web()) as cluster:
        assert await_answer(cluster)["write"] == ["db1", "read-write", None]
        before = stacks.inspect(cluster, "web")["State"]["StartedAt"]
        stacks.docker(*({"killed": ("kill",), "removed": ("rm", "--force")}[gone]), stacks.container(cluster, "db1"))
        done = haop("-C", "shop", "failover", "--yes")
        assert done.code == 0, done.err
        writes_to(cluster, "db2")
        done = haop("-C", "shop", "rejoin", "db1", "--yes")
        assert done.code == 0, done.err
        assert ask(cluster)["write"] == ["db2", "read-write", None]
        assert ask(cluster)["read"] == ["db1", "read-only", None]
        assert stacks.inspect(cluster, "web")["State"]["StartedAt"] == before
        assert stacks.inspect(cluster, "web")["RestartCount"] == 0


# --- Secrets in the environment


def test_whole_urls_in_the_environment_work_and_are_named(folder: Path, haop: Haop) -> None:
    with stacks.up_and_running(folder / "shop", with_web('secrets = "env"'), redis=True) as cluster:
        found, own = await_answer(cluster), cluster.secrets
        assert found["write"] == ["db1", "read-write", None]
        assert found["read"] == ["db2", "read-only", None]
        assert found["redis"] == "PONG"
        assert found["environment"]["DATABASE_URL"].startswith(f"postgresql://shop:{own.database_password}@db1:5432,")
        assert found["environment"]["REDIS_URL"] == f"redis://:{own.redis_password}@redis:6379/0"
        assert not [name for name in found["environment"] if name.endswith("_FILE")]
        told = haop("-C", "shop", "status", "--json")
        assert told.code == 0, "good to know, and no more"
        assert "secrets-in-environment" in {finding["code"] for finding in json.loads(told.out)["findings"]}
        stack = "".join(path.read_text() for path in cluster.project.stack.iterdir())
        assert own.database_password not in stack


@pytest.mark.parametrize("password", ["p@ss/word", "100%", "a b", "naïve", "do$lar", "quo'te"])
def test_a_password_that_a_url_cannot_hold_is_refused(folder: Path, haop: Haop, password: str) -> None:
    cluster = with_web('secrets = "env"')(support.make_project(folder / "shop", runtime="compose"))
    env = cluster.project.root / ".env"
    env.write_text(env.read_text().replace(cluster.secrets.database_password, f'"{password}"'))
    for command in ("up", "render"):
        done = haop("-C", "shop", command)
        assert done.code == 2
        assert done.err.count("error: ") == 1
        assert "DATABASE_PASSWORD has characters that a URL cannot hold" in done.err
        assert password not in done.err
    assert stacks.left(cluster.project.spec.name) == []


def test_files_hold_a_password_that_a_url_cannot(folder: Path) -> None:
    made = with_web()(support.make_project(folder / "shop", runtime="compose"))
    env = made.project.root / ".env"
    env.write_text(env.read_text().replace(made.secrets.database_password, '"p@ss/w%rd it\'s"'))
    with stacks.ended(stacks.loaded(made.project.root)) as cluster:
        stacks.up(cluster)
        assert await_answer(cluster)["write"] == ["db1", "read-write", None]


# --- Its own variables, its own image


def test_own_variables_take_values_from_env(folder: Path) -> None:
    lines = ("[web.environment]", 'GREETING = "${HELLO}, world"', 'PRICE = "$$5"', "DEBUG = false")

    def change(made: Cluster) -> Cluster:
        add_to_env(made, "HELLO=good morning")
        return with_web(*lines)(made)

    with stacks.up_and_running(folder / "shop", change) as cluster:
        found = environment(cluster)
        assert {name: found[name] for name in ("GREETING", "PRICE", "DEBUG")} == {
            "GREETING": "good morning, world", "PRICE": "$5", "DEBUG": "false",
        }  # fmt: skip


def test_a_variable_that_env_lacks_is_refused(folder: Path, haop: Haop) -> None:
    """Compose would go on with an empty one."""
    made = support.make_project(folder / "shop", runtime="compose")
    with (made.project.root / "haop.toml").open("a") as file:
        file.write('\n[web]\nimage = "haop-test-web"\n[web.environment]\nTOKEN = "${NOWHERE}"\n')
    for command in (("up",), ("render",)):
        done = haop("-C", "shop", *command)
        assert done.code == 2, done
        assert ".env: NOWHERE is missing; [web.environment] in haop.toml names it" in done.err
    assert haop("-C", "shop", "status").code == 4, "what does not start the application goes on"


def test_an_application_is_built_from_its_folder(folder: Path) -> None:
    def change(made: Cluster) -> Cluster:
        (home := made.project.root / "app").mkdir()
        (home / "Dockerfile").write_text("FROM haop-test-web\nENV BUILT=here\n")
        return with_web(source='build = "app"')(made)

    image = None
    try:
        with stacks.up_and_running(folder / "shop", change) as cluster:
            image = stacks.inspect(cluster, "web")["Config"]["Image"]
            assert await_answer(cluster)["write"] == ["db1", "read-write", None]
            assert environment(cluster)["BUILT"] == "here"
    finally:
        if image:
            stacks.docker("image", "rm", image)


# --- It is part of the cluster


@pytest.mark.parametrize("gone", ["stop", "pause", "rm"])
def test_an_application_that_does_not_run_is_named_and_brought_back_by_up(folder: Path, haop: Haop, gone: str) -> None:
    with stacks.up_and_running(folder / "shop", with_web()) as cluster:
        await_answer(cluster)
        stacks.docker(gone, *(("--force",) if gone == "rm" else ()), stacks.container(cluster, "web"))
        told = haop("-C", "shop", "status", "--json")
        assert told.code == 3
        found = [finding for finding in json.loads(told.out)["findings"] if finding["code"] == "addon-down"]
        assert [finding["node"] for finding in found] == ["web"]
        before = {name: stacks.inspect(cluster, name)["State"]["StartedAt"] for name in stacks.nodes(cluster)}
        done = haop("-C", "shop", "up")
        assert done.code == 0, done.err
        assert await_answer(cluster)["write"] == ["db1", "read-write", None]
        after = {name: stacks.inspect(cluster, name)["State"]["StartedAt"] for name in stacks.nodes(cluster)}
        assert after == before
