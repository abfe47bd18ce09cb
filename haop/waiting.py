"""The one polling loop, and what is done again and again meanwhile."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from haop.clock import SYSTEM_CLOCK, Clock
from haop.errors import DeadlineExceeded

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


def wait_until(
    probe: Callable[[], T | None],
    *,
    deadline: float,
    waiting_for: str,
    pause: float = 0.02,
    hint: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> T:
    """Call `probe` until it returns something true, and return that.

    Args:
        probe: answers with a true value when the wait is over.
        deadline: seconds until giving up; the probe is always called at least once.
        waiting_for: completes the sentence "gave up waiting for ...".
        pause: seconds between two calls.
        hint: what the operator can do when the deadline passes.
        clock: where time comes from.

    Raises:
        DeadlineExceeded: the deadline passed first.

    >>> answers = iter([None, False, 42])
    >>> wait_until(lambda: next(answers), deadline=5, waiting_for="an answer", pause=0)
    42
    """
    begun = clock.monotonic()
    while not (answer := probe()):
        if clock.monotonic() >= begun + deadline:
            raise DeadlineExceeded(f"gave up after {deadline:g} s waiting for {waiting_for}", hint=hint)
        clock.sleep(pause)
    _LOG.debug("waited for %s  %.3f s", waiting_for, clock.monotonic() - begun)
    return answer


@contextmanager
def meanwhile(act: Callable[[], object], pauses: Iterable[float], *, name: str) -> Iterator[None]:
    """Do that after each of these pauses, in seconds, in a thread of its own, for as long as this is open.

    >>> acts = []
    >>> with meanwhile(lambda: acts.append(1), [0.0, 3600.0], name="an example"):
    ...     wait_until(lambda: acts, deadline=5, waiting_for="the first")
    [1]
    """
    over = threading.Event()

    def work() -> None:
        for pause in pauses:
            if over.wait(pause):
                return
            act()

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
