"""`haop demo --web`: the application serves its pages through the drill, and ends with the demo."""

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from haop.operations import demo_web
from haop.runtimes.processes import port_holder
from haop.waiting import wait_until
from tests import support
from tests.conftest import Haop

HAOP = (sys.executable, "-m", "haop")
pytestmark = pytest.mark.skipif(not support.available(), reason="PostgreSQL is not on this machine")


@contextmanager
def demonstrated(folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """The command at work, as from a terminal; its temporary folder lies in that of the test."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}
    argv = (*HAOP, "demo", "--web", *options)
    with subprocess.Popen(argv, env=environment, cwd=folder, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:  # the test failed
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=60)


def port_in(said: str) -> int:
    found = re.search(r"http://127\.0\.0\.1:(\d+)/live/", said)
    assert found, said
    return int(found[1])


def nothing_is_left(folder: Path, port: int) -> None:
    assert list(folder.glob("haop-demo-*")) == []
    assert support.processes_in(folder) == []
    assert port_holder(port) is None


def test_ctrl_c_in_the_drill_ends_the_application_too(folder: Path) -> None:
    with demonstrated(folder) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if "steady state" in line:  # before, modules are read: python -m dies by SIGINT when that is in exec()
                break
        port = port_in(said)
        assert port_holder(port)
        process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    nothing_is_left(folder, port)


def test_kept_it_says_in_its_last_line_how_to_end_both(folder: Path) -> None:
    with demonstrated(folder, "--keep") as process:
        said, _ = process.communicate(timeout=120)
    last = said.strip().splitlines()[-1]
    script = last.partition("when you are done: ")[2]
    try:
        assert process.returncode == 0, said
        with urllib.request.urlopen(f"http://127.0.0.1:{port_in(said)}/", timeout=10) as answer:
            assert answer.status == 200
        (secret,) = folder.glob("haop-demo-*/.haop/web/database_url")
        assert secret.stat().st_mode & 0o077 == 0
        assert secret.parent.stat().st_mode & 0o077 == 0
        assert re.fullmatch(r"kill \d+; haop -C \S+ down --volumes", script)
    finally:
        ended = f"{script.replace('haop -C', f'{shlex.quote(sys.executable)} -m haop -C')} --yes"
        subprocess.run(("sh", "-c", ended), cwd="/", check=True, capture_output=True, timeout=60)
    wait_until(lambda: not port_holder(port_in(said)), deadline=20, waiting_for="the application to end")
    assert support.processes_in(folder) == []


def test_without_django_or_gunicorn_nothing_is_begun(folder: Path, haop: Haop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(demo_web, "find_spec", lambda _: None)
    done = haop("demo", "--web")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: the demo application needs django and gunicorn and redis, not installed beside haop\n"
        'hint:  pip install "haop[django]" gunicorn redis\n'
    )
    assert list(folder.iterdir()) == []


def test_nobody_who_looks_sees_a_page_fail_and_nothing_is_left(folder: Path) -> None:
    told = {**os.environ, "TMPDIR": str(folder)}
    argv = (sys.executable, "-m", "haop", "demo", "--web")
    done = subprocess.run(argv, env=told, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told_of = re.search(r"(\d+) pages were asked for meanwhile; (\d+) failed", done.stdout)
    assert told_of, done.stdout
    assert int(told_of[1]) > 10
    assert int(told_of[2]) == 0
    assert "http://127.0.0.1:" in done.stdout
    assert list(folder.iterdir()) == []
    assert support.processes_in(folder) == []


def test_containers_are_told_of_another_way(haop: Haop, folder: Path) -> None:
    done = haop("demo", "--web", "--runtime", "compose")
    assert done.code == 2
    assert "--web is for the runtime local" in done.err
    assert list(folder.iterdir()) == []
