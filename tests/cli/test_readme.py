"""The README's tour, run as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import support

README = Path(__file__).parents[2] / "README.md"


def commands() -> list[str]:
    tour = README.read_text().partition("## A two-minute tour")[2]
    block = re.search(r"```console\n(.*?)```", tour, re.DOTALL)
    assert block, "the README has no tour"
    return [line.removeprefix("$ ") for line in block[1].splitlines()]


def test_the_tour_runs_as_printed_and_leaves_nothing_running(folder: Path) -> None:
    script = "set -eu\n" + "\n".join(f"echo '$ {command}'\n{command}" for command in commands())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ("bash", "-c", script),
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("shop is healthy", "PASSED", "writes failed for", "drill failover kill db1 done", "stopped db2, db1"):
        assert told in done.stdout
    assert not support.processes_in(folder)


def test_every_command_and_exit_code_is_in_the_readme() -> None:
    text = README.read_text()
    for word in ("init", "render", "up", "down", "status", "drill failover", "failover", "rejoin", "logs", "demo"):
        assert f"`haop {word}" in text
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert f"**{code}**" in text
