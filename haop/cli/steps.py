"""Progress: each step with the time it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

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
