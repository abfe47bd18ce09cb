"""What containers have to tell: their logs, merged by time, and how they ended."""

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from haop.errors import HaopError
from haop.model.containers_health import OUT_OF_MEMORY
from haop.model.service import Ending, LogLine
from haop.postgres import log

if TYPE_CHECKING:
    from haop.docker.containers import Containers

_BATCH_SECONDS = 0.2
_LINES_AT_FIRST = 10_000
_NEVER = "0001-01-01"


def told(state: Mapping[str, Any]) -> str | None:
    """How a container that does not run ended, in words; None where it never ran."""
    if state["OOMKilled"]:
        return OUT_OF_MEMORY
    if state["FinishedAt"].startswith(_NEVER):
        return None
    return f"exit code {state['ExitCode']}" + (f": {state['Error']}" if state["Error"] else "")


def ending(name: str, container: Mapping[str, Any]) -> Ending | None:
    """An end that nobody asked for; None where there was none."""
    state = container["State"]
    if state["FinishedAt"].startswith(_NEVER):
        return None
    if state["OOMKilled"]:
        how = OUT_OF_MEMORY
    elif not state["Running"] and state["ExitCode"]:
        how = f"exit code {state['ExitCode']}"
    elif container["RestartCount"]:
        how = f"it ended by itself; started again {container['RestartCount']} times"
    else:
        return None
    return Ending(moment(state["FinishedAt"]), name, how)


def moment(text: str) -> datetime:
    """A time as the engine writes it: RFC 3339, whose nanoseconds Python does not read.

    >>> moment("2026-11-24T16:13:33.123456789Z")
    datetime.datetime(2026, 11, 24, 16, 13, 33, 123000, tzinfo=datetime.timezone.utc)
    """
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{rest[:3]:0<3}+00:00")


def merged(
    containers: "Containers", names: Sequence[str], *, follow: bool, since: datetime | None
) -> Iterator[LogLine]:
    """What they printed, in the order of its times; when following, what is new is sorted five times a second."""
    shown = since
    for line in log.merged((log.parse(containers.log(name, since, follow=False), name) for name in names), since):
        yield line
        shown = line.at
    if follow:
        yield from _following(containers, names, shown)


def newest_first(containers: "Containers", name: str) -> Iterator[LogLine]:
    """What one of them printed, the last first: first a part of it, and all where that is not enough."""
    told = 0
    for last in (_LINES_AT_FIRST, None):
        lines = [*containers.log(name, None, follow=False, last=last)]
        entries = [*log.parse(lines, name)]
        if last is None or len(lines) < last:
            yield from reversed(entries[: len(entries) - told])
            return
        yield from reversed(entries[1:])  # the first may have lost its beginning
        told = len(entries) - 1


def _following(containers: "Containers", names: Sequence[str], after: datetime | None) -> Iterator[LogLine]:
    """A thread for each container, because each of their streams blocks; they end with the process."""
    lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()

    def read(name: str) -> None:
        since = after
        while True:  # the engine ends the stream with the container, which may start again
            with suppress(HaopError):  # it was removed
                for line in containers.log(name, since, follow=True):
                    lines.put((name, line))
                    since = datetime.now(UTC)
            wait.wait(_BATCH_SECONDS)

    wait = threading.Event()
    for name in names:
        threading.Thread(target=read, args=(name,), name=f"logs of {name}", daemon=True).start()
    while True:
        wait.wait(_BATCH_SECONDS)
        batch: dict[str, list[str]] = {name: [] for name in names}
        while not lines.empty():
            name, line = lines.get()
            batch[name].append(line)
        entries = log.merged((log.parse(told, name) for name, told in batch.items()), after)
        yield from (entry for entry in entries if entry.at != after)
