"""Where things are shown: results on standard output, progress and remarks on standard error."""

import io
import json
import os
import re
import select
import sys
import threading
from typing import Any

from rich.console import Console
from rich.style import Style

from haop.model.service import LogLine


class _Remarks(Console):
    """Of them nobody need read any: what is at work goes on."""

    def on_broken_pipe(self) -> None:
        """Let what is still to come go nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


# Where there is no terminal, lines are as long as they need to be: nobody wants a table cut for grep.
_WIDTH = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all control characters but the tabulator and the line's end
OUT = Console(highlight=False, width=_WIDTH)
ERR = _Remarks(stderr=True, highlight=False)


def begin_to_follow() -> None:
    """Each line is written at once, and where nobody reads any more this ends, though there may be no other line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if not sys.stdout.isatty():  # who closes a terminal sends a signal
        reader = select.poll()
        reader.register(sys.stdout, 0)  # what is told all the same: there is an error, or the other end is closed
        threading.Thread(target=lambda: reader.poll() and os._exit(0), daemon=True, name="reader").start()


def print_json(document: Any) -> None:
    """A document, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def print_line(document: Any) -> None:
    """One JSON document in one line, at once: somebody may follow."""
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def print_log(line: LogLine, colour: str) -> None:
    """A log entry; what continues it is set in."""
    style = {"warning": "yellow", "error": "red", "fatal": "bold red", "panic": "bold red"}.get(line.level, "")
    when = line.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    message = "\n    ".join(line.message.splitlines())
    print_plain((when, "dim"), (f" {line.node:8} ", colour), (f"{line.level:7}", style), (f" {message}", ""))


def print_plain(*parts: tuple[str, str]) -> None:
    """A line of texts with their styles, as long as it is: many of them, which rich would take its time to lay out.

    What clients wrote is in it: what would steer the terminal is shown instead.
    """
    shown = (_shown(text, style) if OUT.is_terminal and not OUT.no_color else _harmless(text) for text, style in parts)
    OUT.file.write("".join(shown) + "\n")


def _shown(text: str, style: str) -> str:
    return Style.parse(style).render(_harmless(text))


def _harmless(text: str) -> str:
    return text if text.isprintable() else _STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
