"""What haop prints never ends it: a terminal of Latin-1, one of ASCII, one that is gone."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from haop.operations.cluster import Cluster
from tests import support

HAOP = (sys.executable, "-m", "haop")
# Whatever locales a machine has: Latin-1 as `LC_ALL=es_ES` has it, and ASCII also for files and paths.
TERMINALS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"},
}


@pytest.fixture(scope="module")
def shop() -> Iterator[Cluster]:
    """Guarded; in a folder whose name ASCII does not have. haop.toml and .env begin as some editors leave them."""
    with support.folder() as folder:
        cluster = support.make_project(folder / "niño", guard=True)
        for name in ("haop.toml", ".env"):
            path = cluster.project.root / name
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        with support.running(cluster):
            yield cluster


def run(shop: Cluster, terminal: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, **TERMINALS[terminal]}
    return subprocess.run((*HAOP, *arguments), cwd=shop.project.root, env=environment, capture_output=True, check=False,
                          timeout=240)  # fmt: skip


@pytest.mark.parametrize("terminal", TERMINALS)
def test_no_command_ends_with_a_traceback(shop: Cluster, terminal: str) -> None:
    for command in (
        ("status",), ("check",), ("doctor",), ("up",), ("--verbose", "status"), ("guard", "status"), ("dsn",),
        ("drill", "list"), ("render", "--check"), ("-C", "/nowhere/ñandú→", "status"), ("--help",),
    ):  # fmt: skip
        done = run(shop, terminal, *command)
        assert done.returncode in {0, 2, 3}, (command, done)
        assert b"Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_drill_gives_its_verdict(shop: Cluster, terminal: str) -> None:
    done = run(shop, terminal, "drill", "failover", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rb"PASSED  kill db\d > db\d", done.stdout), done.stdout
    for command in ("events", "logs"):
        told = run(shop, terminal, command)
        assert (told.returncode, b"Traceback" in told.stderr) == (0, False), told.stderr


def test_a_drill_goes_on_when_who_read_its_progress_is_gone(shop: Cluster) -> None:
    argv = (*HAOP, "drill", "failover", "--yes")
    with subprocess.Popen(argv, cwd=shop.project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as drill:
        assert drill.stdout
        assert drill.stderr
        drill.stderr.readline()
        drill.stderr.close()
        told = drill.stdout.read()
    assert (drill.returncode, b"PASSED" in told) == (0, True), told
