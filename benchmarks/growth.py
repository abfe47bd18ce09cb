"""What grows for years: each curve of an older commit and of this one, in one run.

    python -m benchmarks.growth [--old COMMIT] [--only NAME ...] [--small]

The older commit is checked out into a temporary folder; both sides are measured by `growth_side.py`. `--small` takes
sizes for a machine that does other work as well. A size that would cost the older side minutes or gigabytes is left out
there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
OLD = "db2ddb4"
SECONDS = 900


@dataclass(frozen=True, slots=True)
class Curve:
    """Something that is measured at several sizes."""

    name: str  # in growth_side.py
    told: str
    sizes: tuple[int, ...]
    small: tuple[int, ...]
    old_up_to: int = 10**9


CURVES = (
    Curve("fence_busy", "fence, busy sessions whose postmaster died", (20, 50, 100, 200), (10, 20, 50), 100),
    Curve("fence_idle", "fence, idle sessions whose postmaster died", (100, 300, 900), (50, 100, 300)),
    Curve("log_bound", "MB of logs on disk, after so many MB were logged", (20, 60, 120), (20, 60, 120)),
    Curve("logs_since", "haop logs --since 1m, of so many MB", (10, 100, 1000), (10, 50, 1000), 100),
    Curve("events", "haop events, of so many lines", (2000, 20_000, 200_000), (2000, 10_000, 50_000)),
    Curve("guard_status", "haop guard status, of so many lines", (2000, 20_000, 200_000), (2000, 20_000, 200_000)),
    Curve("salvage", "haop salvage list, of so many folders", (10, 100, 1000), (10, 100, 1000), 0),
    Curve("check", "haop check, of so many tables", (100, 1000, 10_000), (100, 500, 2000)),
    Curve("guards", "guards of so many idle clusters", (1, 5, 20), (1, 2, 4)),
)  # fmt: skip


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--old", default=OLD, metavar="COMMIT")
    asked.add_argument("--only", nargs="+", choices=[curve.name for curve in CURVES])
    asked.add_argument("--small", action="store_true")
    given = asked.parse_args()
    with _checked_out(given.old) as old:
        print(f"old: {_commit(old)}, new: {_commit(ROOT)}{', small sizes' if given.small else ''}")
        for curve in CURVES:
            if given.only and curve.name not in given.only:
                continue
            print(f"\n{curve.told}", flush=True)
            for size in curve.small if given.small else curve.sizes:
                before = _measured(old, curve.name, size) if size <= curve.old_up_to else "not measured"
                print(f"  {size:>7}  old: {before:64} new: {_measured(ROOT, curve.name, size)}", flush=True)


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="haop-old-") as folder:
        path = Path(folder) / "haop"
        subprocess.run(("git", "clone", "-q", "--no-checkout", str(ROOT), str(path)), check=True)
        subprocess.run(("git", "-C", str(path), "checkout", "-q", "--detach", commit), check=True)
        Path(folder).chmod(0o755)  # servers' users read node.sh from their own copies; Python reads from here
        yield path


def _measured(side: Path, name: str, size: int) -> str:
    argv = (sys.executable, str(Path(__file__).with_name("growth_side.py")), name, str(size))
    try:
        done = subprocess.run(
            argv, env={**os.environ, "PYTHONPATH": str(side)}, capture_output=True, text=True, timeout=SECONDS,
            check=False, cwd=side,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"more than {SECONDS} s"
    if done.returncode:
        return f"failed: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    figures = json.loads(done.stdout.splitlines()[-1])
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _commit(root: Path) -> str:
    argv = ("git", "-C", str(root), "rev-parse", "--short", "HEAD")
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
