"""Threads that live as long as a context."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def running(targets: Sequence[Callable[[], None]], stop: threading.Event) -> Iterator[None]:
    """Run each target in a thread of its own; at the end set `stop`, and wait until all have ended."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
