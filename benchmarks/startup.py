"""How long `haop --version` and `--help` take, against bare Python and patronictl."""

import sys
import tempfile
from pathlib import Path

from benchmarks.peer_patroni import same_python
from benchmarks.timing import HAOP, in_turn, ratio, succeeds, wall


def main() -> None:
    """Both sides in turn."""
    print("start-up, whole processes; patronictl on the same Python as haop")
    with tempfile.TemporaryDirectory(prefix="haop-bench-") as folder:
        patronictl = same_python(Path(folder))
        for argv in ((HAOP, "--version"), (HAOP, "--help"), (patronictl, "--help")):
            succeeds(argv)
        found = in_turn({
            "python -c pass": lambda: wall((sys.executable, "-c", "pass")),
            "haop --version": lambda: wall((HAOP, "--version")),
            "haop --help": lambda: wall((HAOP, "--help")),
            "patronictl --help": lambda: wall((patronictl, "--help")),
        })  # fmt: skip
    ratio("haop --version / patronictl --help", found["haop --version"], found["patronictl --help"], 1 / 3)
    ratio("haop --help / patronictl --help", found["haop --help"], found["patronictl --help"], 1 / 3)


if __name__ == "__main__":
    main()
