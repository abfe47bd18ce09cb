"""The audit line of an operation, whatever its outcome."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from haop.clock import SYSTEM_CLOCK, Clock
from haop.errors import HaopError, Refused
from haop.project import Project


class Outcome:
    """What an operation adds to its audit line."""

    word = "done"
    detail: str | None = None


def record(project: Project, action: str, detail: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
    """An audit line of its own for something that was done on the way: what comes after it may fail."""
    project.record(action, "done", at=clock.now(), detail=detail)


@contextmanager
def audited(
    project: Project, action: str, *, node: str | None = None, clock: Clock = SYSTEM_CLOCK
) -> Iterator[Outcome]:
    """Record the action with its outcome and duration. What was refused changed nothing and is not recorded."""
    begun, outcome = clock.monotonic(), Outcome()
    try:
        yield outcome
    except Refused:
        outcome.word = ""
        raise
    except HaopError as error:
        outcome.word, outcome.detail = "failed", error.message
        raise
    except KeyboardInterrupt:
        outcome.word = "interrupted"
        raise
    except OSError as error:
        outcome.word, outcome.detail = "failed", error.strerror
        raise
    except BaseException:  # without its own words: nobody knows what is in them
        outcome.word, outcome.detail = "failed", "a bug of haop's; the terminal shows its traceback"
        raise
    finally:
        if outcome.word:
            # On a full disk the operation's own error is what the operator must see.
            with suppress(OSError) if outcome.word != "done" else nullcontext():
                project.record(
                    action, outcome.word, at=clock.now(), node=node,
                    duration_seconds=clock.monotonic() - begun, detail=outcome.detail,
                )  # fmt: skip
