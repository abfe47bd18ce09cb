"""The one polling loop."""

import logging
from collections.abc import Callable
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
