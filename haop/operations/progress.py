"""How an operation tells where it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Shown while something runs."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """A step that begins, and ends with the context; what is called in it says how far it is."""
