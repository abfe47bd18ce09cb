"""What nodes have said."""

from collections.abc import Iterable

from haop.model.containers_health import OUT_OF_MEMORY
from haop.runtimes.base import Runtime

_STARTING = "57P03"  # cannot_connect_now


def last_decision(runtime: Runtime, name: str) -> str:
    """What the node script decided when it last started a node."""
    lines = runtime.logs([name], follow=False, since=None)
    decisions = [line.message for line in lines if line.message.startswith("haop: ")]
    return decisions[-1].removeprefix("haop: ") if decisions else "nothing"


def last_words(runtime: Runtime, name: str) -> str:
    """What the runtime says of its end where that is telling, else the gravest entry at the end of its log."""
    if runtime.state(name).remark == OUT_OF_MEMORY:
        return OUT_OF_MEMORY
    lines = list(runtime.logs([name], follow=False, since=None))
    # What it told others while it started or ended is not why.
    lines = [line for line in lines if line.code != _STARTING] or lines
    grave = [line for line in lines if line.level in {"fatal", "panic", "error"}] or lines
    if not grave:
        return "it said nothing"
    first, *more = grave[-1].message.replace("haop: ", "", 1).splitlines() or [""]
    errors = [line for line in more if "error: " in line]  # of programs that do not log as PostgreSQL does
    details = [line for line in more if line.startswith("DETAIL: ")]
    return errors[-1] if errors and grave is lines else " / ".join([first, *details])


def end_of(runtime: Runtime, name: str, primaries: Iterable[str]) -> str:
    """How a node ended, and how each primary did that is gone as well."""
    also = (f"; {other}, the primary, is gone as well: {last_words(runtime, other)}" for other in primaries)
    return f"{name} ended: {last_words(runtime, name)}{''.join(also)}"
