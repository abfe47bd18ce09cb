"""What nodes have said."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice, takewhile

from haop.model.containers_health import OUT_OF_MEMORY
from haop.model.service import LogLine
from haop.runtimes.base import Runtime

_STARTING = "57P03"  # cannot_connect_now
_SCRIPT = "haop: "  # what the node script says begins with it
_GRAVE = {"fatal", "panic", "error"}
_LINES_AT_MOST = 10_000


def last_decision(runtime: Runtime, name: str, since: datetime | None = None) -> str:
    """What the node script decided when it last started a node, since that moment."""
    lines = takewhile(lambda line: since is None or line.at >= since, runtime.newest_logs(name))
    found = (line.message for line in lines if line.message.startswith(_SCRIPT))
    return next(found, f"{_SCRIPT}it was not started").removeprefix(_SCRIPT)


def last_words(runtime: Runtime, name: str) -> str:
    """What the runtime says of its end where that is telling, else the gravest entry at the end of its last life."""
    if runtime.state(name).remark == OUT_OF_MEMORY:
        return OUT_OF_MEMORY
    lines = [*_last_life(runtime, name)]
    # What it told others while it started or ended is not why.
    lines = [line for line in lines if line.code != _STARTING] or lines
    grave = [line for line in lines if line.level in _GRAVE] or lines
    if not grave:
        return "it said nothing"
    first, *more = grave[0].message.replace(_SCRIPT, "", 1).splitlines() or [""]
    errors = [line for line in more if "error: " in line]  # of programs that do not log as PostgreSQL does
    details = [line for line in more if line.startswith("DETAIL: ")]
    return errors[-1] if errors and grave is lines else " / ".join([first, *details])


def _last_life(runtime: Runtime, name: str) -> Iterator[LogLine]:
    """What it has said since the node script decided how to start it, the newest first; of a long life the end."""
    for line in islice(runtime.newest_logs(name), _LINES_AT_MOST):
        yield line
        if line.level == "log" and line.message.startswith(_SCRIPT):
            return


def end_of(runtime: Runtime, name: str, primaries: Iterable[str]) -> str:
    """How a node ended, and how each primary did that is gone as well."""
    also = (f"; {other}, the primary, is gone as well: {last_words(runtime, other)}" for other in primaries)
    return f"{name} ended: {last_words(runtime, name)}{''.join(also)}"
