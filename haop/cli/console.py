"""Where things are shown: results on standard output, progress and remarks on standard error."""

import json
import os
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from haop.model.service import LogLine


class _Remarks(Console):
    """Of them nobody need read any: what is at work goes on."""

    def on_broken_pipe(self) -> None:
        """Let what is still to come go nowhere."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


# Where there is no terminal, lines are as long as they need to be: nobody wants a table cut for grep.
_WIDTH = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))
OUT = Console(highlight=False, width=_WIDTH)
ERR = _Remarks(stderr=True, highlight=False)


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
    first, *more = line.message.splitlines() or [""]
    when = line.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    head = Text.assemble((when, "dim"), " ", (f"{line.node:8}", colour), " ", (f"{line.level:7}", style), " ", first)
    OUT.print(Text("\n    ").join([head, *map(Text, more)]), soft_wrap=True)
