"""Progress: each step with the time it took."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from haop.cli.console import ERR
from haop.waiting import meanwhile


class Steps:
    """Shows each step with the time it took: as it runs on a terminal; elsewhere at its end, and every ten seconds."""

    def __init__(
        self, console: Console = ERR, monotonic: Callable[[], float] = time.monotonic, *, every: float = 10.0
    ) -> None:
        self._console = console
        self._monotonic = monotonic
        self._every = every

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show a step."""
        begun, live = self._monotonic(), self._console.is_interactive
        done, failed = ("✓", "✗") if live else ("ok", "failed")
        details: deque[str] = deque(maxlen=1)
        try:
            with self._spinner(title, begun, details) if live else self._reminder(title, begun, details):
                yield details.append
        except BaseException:
            self._tell(failed, "red", title, begun)
            raise
        self._tell(done, "green", title, begun)

    def _spinner(self, title: str, begun: float, details: deque[str]) -> Live:
        spinner = Spinner("dots", text=title)

        def tick() -> Spinner:
            """Wrapped where it is longer than a line: a number that is cut is another number."""
            seconds = self._monotonic() - begun
            detail = f"  {details[0]}" if details else ""
            spinner.update(text=Text.assemble(title, (f"  {seconds:.1f} s{detail}", "dim") if seconds > 1 else ""))
            return spinner

        return Live(console=self._console, transient=True, refresh_per_second=12, get_renderable=tick)

    def _reminder(self, title: str, begun: float, details: deque[str]) -> AbstractContextManager[None]:
        def remind() -> None:
            self._tell("...", "dim", title, begun, details[0] if details else "")

        return meanwhile(remind, itertools.repeat(self._every), name=f"progress of {title}")

    def _tell(self, mark: str, style: str, title: str, begun: float, detail: str = "") -> None:
        taken = (f"{self._monotonic() - begun:.2f} s", "dim")
        line = Text.assemble((mark, style), f" {title}  ", taken, f"  {detail}" if detail else "")
        with suppress(OSError):  # the disk that it goes to is full: the work goes on
            self._console.print(line, soft_wrap=not self._console.is_interactive)
