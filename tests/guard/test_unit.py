"""The guard's unit of systemd.

No service manager runs where tests run, so what is in its place is a program of that name: it does of `systemctl` what
the commands need, and starts the unit's own ExecStart, in its WorkingDirectory, with its Environment.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from haop.errors import CommandFailed, HaopError, Refused
from haop.guard.acts import Acts
from haop.guard.decisions import BringBack, Decision
from haop.guard.trouble import Troubles
from haop.operations import guarding, unit
from haop.operations.cluster import Cluster
from tests import support
from tests.conftest import Haop

_SYSTEMCTL = """import shlex, subprocess, sys
from pathlib import Path
words = [word for word in sys.argv[1:] if not word.startswith("-")]
folder = Path({folder!r})
with (folder / "asked").open("a") as asked:
    print(*words, file=asked)
if (folder / "broken").exists() and words[0] == "enable":
    sys.exit("Failed to enable unit: Access denied")
lines = [line.partition("=") for file in folder.glob("*.service") for line in file.read_text().splitlines()]
told = {{key: value for key, _, value in lines}}
if words[0] == "is-active":
    sys.exit(3)
if words[0] == "enable":
    argv = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(told["ExecStart"])]
    subprocess.Popen(argv, cwd=told["WorkingDirectory"].replace("%%", "%"), start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[Cluster]:
    """In a folder whose name needs quoting."""
    with (
        support.folder() as folder,
        support.running(support.make_project(folder / "my shop 100%", runtime="local", guard=True)) as cluster,
    ):
        yield cluster


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    (script := tmp_path / "systemctl.py").write_text(_SYSTEMCTL.format(folder=str(tmp_path)))
    program.write_text(f'#!/bin/sh\nexec {shlex.join((sys.executable, str(script)))} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(unit, "_MANAGER", tmp_path)
    monkeypatch.setattr(unit, "_SYSTEM", tmp_path)
    monkeypatch.setattr(unit, "_USERS", tmp_path)
    return tmp_path


def test_the_unit_starts_a_guard_that_is_the_only_one_and_goes_with_it(shop: Cluster, systemd: Path) -> None:
    before = guarding.found(shop.project)
    assert before
    there = unit.install(shop.project)
    assert there.pid != before.pid
    assert guarding.found(shop.project) == there
    text = unit.path(shop.project).read_text()
    assert "KillMode=process" in text  # PostgreSQL's processes may be its children
    assert guarding.ensure(shop.project) == there, "haop up leaves it alone"
    assert unit.install(shop.project) == guarding.found(shop.project), "twice does no harm"
    assert unit.uninstall(shop.project) == systemd / f"haop-guard-{shop.project.spec.name}.service"
    assert unit.uninstall(shop.project) is None
    assert "disable" in (systemd / "asked").read_text()
    guarding.stop(shop.project)
    guarding.ensure(shop.project)


def test_a_unit_that_somebody_has_edited_is_left_alone(shop: Cluster, systemd: Path) -> None:
    path = unit.path(shop.project)
    path.write_text(f"{unit.text(shop.project)}Nice=5\n")
    with pytest.raises(Refused, match="not what haop would write"):
        unit.install(shop.project)
    assert path.read_text().endswith("Nice=5\n")
    path.write_text("[Unit]\nDescription=another's\n")
    with pytest.raises(Refused, match="was not written for"):
        unit.uninstall(shop.project)
    assert path.exists()


def test_a_unit_that_systemd_does_not_take_is_gone_again(shop: Cluster, systemd: Path) -> None:
    (systemd / "broken").touch()
    with pytest.raises(CommandFailed, match="Access denied"):
        unit.install(shop.project)
    assert not unit.path(shop.project).exists()
    guarding.ensure(shop.project)


def test_where_no_systemd_runs_it_says_so_and_prints_what_it_would_write(shop: Cluster, haop: Haop) -> None:
    root = str(shop.project.root)
    if not unit._MANAGER.is_dir():
        refused = haop("-C", root, "guard", "install")
        assert refused.code == 2
        assert "systemd does not run here" in refused.err
    printed = haop("-C", root, "guard", "install", "--print")
    assert printed.out == unit.text(shop.project)
    line = next(line for line in printed.out.splitlines() if line.startswith("ExecStart="))
    argv = [word.replace("%%", "%") for word in shlex.split(line.removeprefix("ExecStart="))]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)  # another guard watches
    assert done.returncode == 2
    assert "a guard watches this cluster already" in done.stderr


def test_a_guard_is_stopped_without_a_question(shop: Cluster, haop: Haop) -> None:
    """Nothing is lost by it; there is no terminal here that could be asked."""
    assert guarding.found(shop.project)
    done = haop("-C", str(shop.project.root), "guard", "stop")
    assert (done.code, done.out.partition(" ")[0]) == (0, "ended"), done
    guarding.ensure(shop.project)


def test_what_failed_is_recorded_in_an_operators_words(shop: Cluster) -> None:
    for decision in get_args(Decision):
        assert re.fullmatch("[a-z ]+", decision.what), decision
    Acts(shop, Troubles()).trouble(BringBack.what, HaopError("it does not start"), "db2")
    last = list(shop.project.events())[-1]
    assert (last.action, last.outcome, last.node) == ("guard bring back", "failed", "db2")
