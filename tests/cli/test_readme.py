"""The README's tour, run as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from haop.project import load
from tests import support
from tests.conftest import REQUIRED

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[str]:
    tour = README.read_text().partition("## A two-minute tour")[2]
    block = re.search(r"```console\n(.*?)```", tour, re.DOTALL)
    assert block, "the README has no tour"
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


def test_the_tour_runs_as_printed_and_leaves_nothing_running(folder: Path, runtime: str) -> None:
    """With the runtime that `haop init` chooses where an engine answers, and with the one that it chooses elsewhere."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if runtime == "local":
        environment["DOCKER_HOST"] = "unix:///nonexistent.sock"
    elif containers_of("shop"):
        told = "a stack named shop is on this machine already, and the README's has that name"
        (pytest.fail if "compose" in REQUIRED else pytest.skip)(told)
    script = "set -eu\n" + "\n".join(f"echo '$ {command}'\n{command}" for command in commands())
    try:
        done = in_a_shell(script, folder, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        for told in (f"runtime {runtime}: ", "shop is healthy", "PASSED", "writes failed for"):
            assert told in done.stdout
        for told in (r"drill failover kill db1 +done", r"stopped (redis, )?db2, db1"):
            assert re.search(told, done.stdout), told
        assert load(folder / "shop").spec.runtime == runtime
        assert not support.processes_in(folder)
        assert runtime == "local" or not containers_of("shop")
    finally:
        if (folder / "shop" / "haop.toml").exists():
            gone = in_a_shell("haop -C shop down --volumes --yes", folder, environment)
            assert gone.returncode == 0, gone.stderr


def in_a_shell(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = ("bash", "-c", script)
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=240)


def containers_of(stack: str) -> str:
    """Those that run and those that do not."""
    argv = ("docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={stack}")
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_command_and_exit_code_is_in_the_readme() -> None:
    text = README.read_text()
    for word in ("init", "render", "up", "down", "status", "drill failover", "drill list", "drill heal", "failover",
                 "rejoin", "logs", "demo"):  # fmt: skip
        assert f"`haop {word}" in text
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"**{code}**" in text
