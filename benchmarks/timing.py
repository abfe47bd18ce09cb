"""Timing whole processes, and telling the outcome of a comparison."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HAOP = str(Path(sys.executable).with_name("haop"))
RUNS = int(os.environ.get("HAOP_BENCH_RUNS", "9"))  # fewer than 7 only try out the scripts


def wall(argv: Sequence[str], cwd: Path | None = None) -> float:
    """Seconds that a program took from start to end; whatever it prints is thrown away."""
    begun = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd, check=False)
    return time.perf_counter() - begun


def succeeds(argv: Sequence[str]) -> None:
    """Run a program once before it is timed: one that fails is quick, and would win.

    Raises:
        SystemExit: it failed; its last words are the message.
    """
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")


def in_turn(sides: Mapping[str, Callable[[], float]], runs: int = RUNS) -> dict[str, float]:
    """The median of each side, A B A B ..., after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(runs + 1):
        for name, side in sides.items():
            seconds = side()
            if number:
                taken[name].append(seconds)
    for name, values in taken.items():
        show(name, values)
    return {name: statistics.median(values) for name, values in taken.items()}


def show(name: str, values: Sequence[float]) -> None:
    """Print the median of seconds, their range and their number."""
    spread = f"[{min(values) * 1000:.0f} to {max(values) * 1000:.0f}]"
    print(f"  {name:44} {statistics.median(values) * 1000:7.0f} ms  {spread}, {len(values)} runs", flush=True)


def ratio(name: str, ours: float, theirs: float, at_most: float) -> None:
    """Print how one compares with the other, and whether that is what was aimed at."""
    value = ours / theirs
    word = "met" if value <= at_most else "MISSED"
    print(f"  ratio {name}: {value:.2f} (at most {at_most:.3g}: {word})", flush=True)
