"""Progress: each step with the time it took."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from haop.cli.console import ERR


class Steps:
    """Shows each step with the time it took: as it runs on a terminal, when it has ended elsewhere."""

    def __init__(self, console: Console = ERR, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show a step."""
        begun, live = self._monotonic(), self._console.is_interactive
        done, failed = ("✓", "✗") if live else ("ok", "failed")
        details: deque[str] = deque(maxlen=1)
        try:
            with self._spinner(title, begun, details) if live else nullcontext():
                yield details.append
        except BaseException:
            self._tell(failed, "red", title, begun)
            raise
        self._tell(done, "green", title, begun)

    def _spinner(self, title: str, begun: float, details: deque[str]) -> Live:
        spinner = Spinner("dots", text=title)

        def tick() -> Spinner:
            seconds = self._monotonic() - begun
            room = self._console.width - len(title) - 14
            detail = f"  {details[0][:room]}" if details and room > 10 else ""
            spinner.update(text=Text.assemble(title, (f"  {seconds:.1f} s{detail}", "dim") if seconds > 1 else ""))
            return spinner

        return Live(console=self._console, transient=True, refresh_per_second=12, get_renderable=tick)

    def _tell(self, mark: str, style: str, title: str, begun: float) -> None:
        line = Text.assemble((mark, style), f" {title}  ", (f"{self._monotonic() - begun:.2f} s", "dim"))
        with suppress(OSError):  # the disk that it goes to is full: the work goes on
            self._console.print(line)
