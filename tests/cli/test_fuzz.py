"""Whatever stands in haop.toml, in .env or on the command line: no traceback, and no exit code but the design's.

10,000 inputs with HAOP_SOAK=1, else 600. The projects never ran, and nothing of them may start: what would start
servers is stubbed, and so is what would wait for ever.
"""

import json
import os
import random
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from haop.cli.app import app
from haop.errors import HaopError
from haop.guard.guard import Guard
from haop.model.spec import ClusterSpec
from haop.operations import psql
from haop.postgres import binaries
from haop.runtimes.compose import ComposeRuntime
from haop.runtimes.local import LocalRuntime
from tests.conftest import RUNTIMES, SEED

CODES = {0, 1, 2, 3, 4, 5, 130}
pytestmark = pytest.mark.soak
INPUTS = 10_000 if os.environ.get("HAOP_SOAK") else 600
FUZZED = settings(
    max_examples=INPUTS // 4, deadline=None, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A project that never ran, as it was written."""

    root: Path
    toml: str
    env: str


def invoke(where: Path, *arguments: str) -> None:
    """Run it in this process and judge how it ended."""
    before = Path.cwd()
    os.chdir(where)
    try:
        done = CliRunner().invoke(app, [*arguments])
    finally:
        os.chdir(before)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in CODES, done.output
    assert "Traceback" not in done.output


def starts_nothing(*_arguments: object, **_words: object) -> None:
    raise HaopError("a fuzz starts no servers")


def interrupted(seconds: float, really: Callable[[float], None] = time.sleep) -> None:
    """An operator's Ctrl-C for what goes on until then: logs --follow, status --watch, waiting."""
    if sys._getframe(1).f_globals["__name__"].startswith("haop"):
        raise KeyboardInterrupt
    really(seconds)


@pytest.fixture
def projects(folder: Path, no_engine: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Project]:
    """One of each runtime, deep in a folder of its own: a fuzz may find "..", and `init` writes."""
    found = {}
    for runtime in RUNTIMES:
        root = folder / "a" / "b" / "c" / "d" / runtime
        done = CliRunner().invoke(app, ["init", str(root), "--runtime", runtime, "--first-port", "20100"])
        assert done.exit_code == 0, done.output
        toml = re.sub(r"^# (\[[\w.]+\]|\w+ = )", r"\1", (root / "haop.toml").read_text(), flags=re.MULTILINE)
        # [web] has an image or a build; the servers' user and programs are those of this machine.
        toml = re.sub(r"^(build|user|bindir|init_scripts) = .*\n", "", toml, flags=re.MULTILINE)
        ClusterSpec.from_toml(tomllib.loads(toml))
        found[runtime] = Project(root, toml, (root / ".env").read_text())
    for runtime_class in (LocalRuntime, ComposeRuntime):
        for method in ("create", "start"):
            monkeypatch.setattr(runtime_class, method, starts_nothing)
    monkeypatch.setattr(time, "sleep", interrupted)
    monkeypatch.setattr(Guard, "run", starts_nothing)
    # psql's arguments are psql's.
    monkeypatch.setattr(psql, "hand_over", lambda *_arguments, **_words: 2)
    # Which programs are here does not change, and asking them takes longer than all the rest.
    monkeypatch.setattr(binaries, "_inspect", cache(binaries._inspect))
    monkeypatch.setattr(binaries, "has_tls", cache(binaries.has_tls))
    monkeypatch.setenv("HOME", str(folder))
    return found


# --- Mutations

ODD = (
    "", "0", "-1", "1e400", "nan", "-inf", "99999999999999999999", "1979-05-27T07:32:00Z", "07:32:00", "[]", "[[]]",
    "{}", "{a = 1}", "true", '""', '"\\u0000"', '"../../x"', '"/"', "'a\"b'", '"a\\nb"', '"${HOME}"', '"ünï"',
    "'''x'''", '"' + "x" * 3000 + '"', '"postgres"', '"pg_x"', '"10x"', "0x10", "1_0", '"\\ud83d"', "[1, 'a', {}]",
    "\x00", "\ufeff",
)  # fmt: skip
PRINTABLE = st.text(max_size=40).map(lambda text: json.dumps(text, ensure_ascii=False))  # a string of TOML, mostly
ANYTHING = st.one_of(
    PRINTABLE, st.sampled_from(ODD), st.integers(-2, 70_000).map(str), st.floats().map(str), st.text(max_size=40)
)
VALUE = 2  # in the list below
HOW = st.sampled_from((*(VALUE,) * 12, *range(10)))


def changed(line: str, text: str, how: int) -> list[str]:
    """A line after something has happened to it."""
    key, equals, value = line.partition("=")
    cut = len(text) % (len(line) + 1)
    return [
        [],
        [line, line],
        [f"{key}{equals}{text}"],
        [f"{text}{equals}{value}"],
        [line[:cut] + text + line[cut:]],
        [line[:cut]],
        [line, text],
        [f"[{text}]", line],
        [f"{key}x{equals}{value}"],
        [line.replace('"', "", 1)],
    ][how]


@st.composite
def mutations(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Callable[[str], bytes]:
    """What makes other bytes of a valid text: a few changed lines, two that changed places, or something else."""
    edits = draw(st.lists(st.tuples(st.integers(0, 200), ANYTHING, HOW), min_size=1, max_size=3))
    swap = draw(st.integers(0, 9)) == 0
    garbage: bytes | None = draw(st.binary(max_size=200)) if draw(st.integers(0, 19)) == 0 else None

    def mutate(text: str) -> bytes:
        if garbage is not None:
            return garbage if swap else text.encode() + garbage
        lines = text.splitlines()
        told = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
        for number, replacement, how in edits:
            at = told[number % len(told)]
            lines[at] = "\n".join(changed(lines[at], replacement, how))
        if swap:
            one, other = told[edits[0][0] % len(told)], told[edits[-1][0] * 7 % len(told)]
            lines[one], lines[other] = lines[other], lines[one]
        return bytes("\n".join(lines), "utf-8", "surrogatepass") + b"\n"

    return mutate


COMMANDS = st.sampled_from((
    ("status", "--json"), ("up",), ("render",), ("render", "--check"), ("dsn",),
    ("dsn", "--format", "django", "--show-password"), ("dsn", "--from", "network", "--format", "npgsql"),
    ("events",), ("logs",), ("down",), ("failover", "--yes"), ("rejoin", "db1", "--yes"), ("psql", "db1"),
    ("drill", "failover", "--yes"),
))  # fmt: skip


@seed(SEED)
@FUZZED
@given(mutate=mutations(), command=COMMANDS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_any_haop_toml(
    projects: dict[str, Project], runtime: str, mutate: Callable[[str], bytes], command: tuple[str, ...]
) -> None:
    project = projects[runtime]
    (project.root / "haop.toml").write_bytes(mutate(project.toml))
    (project.root / ".env").write_text(project.env)
    invoke(project.root, *command)


@seed(SEED)
@FUZZED
@given(mutate=mutations(), command=COMMANDS, runtime=st.sampled_from(RUNTIMES))
def test_any_env(
    projects: dict[str, Project], runtime: str, mutate: Callable[[str], bytes], command: tuple[str, ...]
) -> None:
    project = projects[runtime]
    (project.root / ".env").write_bytes(mutate(project.env))
    invoke(project.root, *command)


def commands() -> dict[tuple[str, ...], list[str]]:
    """Every command with its options, but for the demo, which starts a cluster."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
        yield path, [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
        for name, child in getattr(command, "commands", {}).items():
            if name != "demo":
                yield from walk(child, (*path, name))

    found = dict(walk(typer.main.get_command(app), ()))
    # These write into the user's shell.
    found[()] = [option for option in found[()] if "completion" not in option]
    return found


GOOD = (
    "db1",
    "db2",
    "local",
    "compose",
    "10m",
    "1",
    "15",
    "18",
    "sync",
    "libpq",
    "jdbc",
    "network",
    "kill",
    "error",
    "..",
)
WORD = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(GOOD),
    st.sampled_from(("--", "-", "", "-1", "--yes", "up", "events")),
    # No slash: `init` and -C stay in the test's folder.
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=12),
)


@st.composite
def lines(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[str]:
    """Options of haop, a command, its own options, words; seldom something in a wrong place."""
    known = commands()
    path = draw(st.sampled_from(sorted(known)))
    options = st.one_of(st.sampled_from(known[path] or ["--help"]), st.sampled_from(known[path] or ["--json"]), WORD)
    before = draw(st.lists(st.sampled_from(("-q", "-v", "--quiet", "--verbose")), max_size=1))
    wrong = draw(st.lists(WORD, min_size=1, max_size=2)) if draw(st.integers(0, 9)) == 0 else []
    return [*before, *wrong, *path, *draw(st.lists(options, max_size=5))]


@seed(SEED)
@FUZZED
@given(line=lines(), runtime=st.sampled_from(RUNTIMES))
def test_any_arguments(projects: dict[str, Project], runtime: str, line: list[str]) -> None:
    project = projects[runtime]
    random.seed(SEED)
    (project.root / "haop.toml").write_text(project.toml)
    (project.root / ".env").write_text(project.env)
    invoke(project.root, *line)
