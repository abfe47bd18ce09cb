"""Draws the pictures of README.md from a real run of `haop demo`, as SVG."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 104


def main() -> int:
    """Run the demo, cut its output at the commands, and write a picture of each part that the README shows."""
    environment = {**os.environ, "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(WIDTH)}
    haop = Path(sys.executable).with_name("haop")
    done = subprocess.run(
        (str(haop), "demo"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, env=environment
    )
    folder = Path(__file__).parent
    parts = done.stdout.split("\n\x1b[1m$ haop ")
    for name, command in {"status": "status", "drill": "drill failover"}.items():
        part = next(part for part in parts if part.startswith(command))
        draw(folder / f"{name}.svg", f"\x1b[1m$ haop {part.rstrip()}", f"haop {command}")
    return 0


def draw(path: Path, output: str, title: str) -> None:
    """A picture of a terminal."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(output))
    console.save_svg(str(path), title=title)


if __name__ == "__main__":
    sys.exit(main())
