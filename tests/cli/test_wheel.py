"""The built wheel, alone in a clean environment, does what the checkout does."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from haop.postgres.binaries import installation
from tests import support

CHECKOUT = Path(__file__).parents[2]


def ran(*argv: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with support.folder() as path:
        yield path


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    ran(sys.executable, "-m", "build", "--wheel", "--outdir", str(place / "dist"), str(CHECKOUT), cwd=place)
    (built,) = (place / "dist").glob("haop-*.whl")
    return built


def test_templates_and_compose_travel_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    for kept in ("templates", "compose", "haop"):
        for path in (CHECKOUT / kept).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                name = str(path.relative_to(CHECKOUT))
                assert (name if kept == "haop" else f"haop/{name}") in inside
    assert not [name for name in inside if name.startswith(("tests/", "templates/", "compose/", "benchmarks/"))]


def test_it_runs_in_a_clean_environment(wheel: Path, place: Path) -> None:
    ran(sys.executable, "-m", "venv", str(place / "venv"), cwd=place)
    ran(str(place / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", str(wheel), cwd=place)
    haop = str(place / "venv" / "bin" / "haop")
    bindir = str(installation(support.available()[-1]).bindir)
    # -I: the checkout is not on the path, whatever PYTHONPATH says.
    where = ran(str(place / "venv" / "bin" / "python"), "-I", "-c", "import haop; print(haop.__file__)", cwd=place)
    assert where.startswith(str(place / "venv"))
    assert ran(haop, "--version", cwd=place).startswith("haop ")
    files = ["haop.toml", ".env", ".env.example", ".gitignore", "stack/node.sh", "stack/postgresql.conf"]
    more: dict[str, list[str]] = {
        "local": [],
        "compose": ["stack/compose.yaml", "stack/health.sh", "stack/redis.sh", "stack/roles.sql"],
    }
    for runtime, its_own in more.items():
        told = ran(haop, "init", runtime, "--runtime", runtime, cwd=place, HAOP_PG_BINDIR=bindir)
        assert f"cluster '{runtime}'" in told
        for name in (*files, *its_own):
            assert (place / runtime / name).stat().st_size > 0
        ran(haop, "-C", runtime, "render", "--check", cwd=place, HAOP_PG_BINDIR=bindir)
