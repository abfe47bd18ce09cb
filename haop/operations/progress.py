"""How an operation tells where it is."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Shown while something runs."""

    def step(self, title: str) -> AbstractContextManager[object]:
        """A step that begins, and ends with the context."""


class Quiet:
    """Says nothing."""

    def step(self, title: str) -> AbstractContextManager[object]:  # noqa: ARG002 - the protocol's signature
        """A context that does nothing."""
        return nullcontext()
