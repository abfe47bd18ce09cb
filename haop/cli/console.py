"""Where things are shown: a table on standard output, progress and remarks on standard error."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from haop.model.service import LogLine

# Where there is no terminal, lines are as long as they need to be: nobody wants a table cut for grep.
_WIDTH = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))
OUT = Console(highlight=False, width=_WIDTH)
ERR = Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    """A document, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


class Steps:
    """Shows each step with the time it took: as it runs on a terminal, when it has ended elsewhere."""

    def __init__(self, console: Console = ERR, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic

    def step(self, title: str) -> AbstractContextManager[object]:
        """Show a step."""
        return self._live(title) if self._console.is_interactive else self._plain(title)

    @contextmanager
    def _live(self, title: str) -> Iterator[None]:
        begun, spinner = self._monotonic(), Spinner("dots", text=title)

        def tick() -> Spinner:
            seconds = self._monotonic() - begun
            spinner.update(text=Text.assemble(title, (f"  {seconds:.1f} s", "dim") if seconds > 1 else ""))
            return spinner

        with Live(console=self._console, transient=True, refresh_per_second=12, get_renderable=tick):
            try:
                yield
            except BaseException:
                self._console.print(self._ended("✗", "red", title, begun))
                raise
        self._console.print(self._ended("✓", "green", title, begun))

    @contextmanager
    def _plain(self, title: str) -> Iterator[None]:
        begun = self._monotonic()
        try:
            yield
        except BaseException:
            self._console.print(self._ended("failed", "red", title, begun))
            raise
        self._console.print(self._ended("ok", "green", title, begun))

    def _ended(self, mark: str, style: str, title: str, begun: float) -> Text:
        return Text.assemble((mark, style), f" {title}  ", (f"{self._monotonic() - begun:.2f} s", "dim"))


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
