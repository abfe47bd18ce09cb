"""Stopping a server cleanly, which an archive that takes no WAL must not hold up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from haop.clock import SYSTEM_CLOCK
from haop.model.lsn import Lsn
from haop.postgres import control
from haop.runtimes.base import STOP_SECONDS, Runtime
from haop.waiting import wait_until

# A server that has shut down waits until its archive has the WAL, and an archive_command that hangs never ends.
_ARCHIVE_SECONDS = 5.0


def _anything(_last: Lsn) -> bool:
    return True


def stop(runtime: Runtime, name: str, *, seconds: int = STOP_SECONDS, whole: Callable[[Lsn], bool] = _anything) -> bool:
    """Stop a node. One that has shut down and only archives is killed after a while: nothing can be added to its data.

    Args:
        runtime: that runs it.
        name: of the node.
        seconds: that its shutdown may take.
        whole: told where its last record begins; whether it may be killed from then on.

    Returns:
        Whether files of WAL may still wait for the archive, on its disk.

    Raises:
        HaopError: it does not end.
    """
    whole_since: float | None = None

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="stop") as pool:
        stopping = pool.submit(runtime.stop, name, seconds=seconds)

        def over() -> bool:
            nonlocal whole_since
            if stopping.done():
                return True
            if whole_since is None and (last := shutdown(runtime, name)) and whole(last):
                whole_since = SYSTEM_CLOCK.monotonic()
            return whole_since is not None and SYSTEM_CLOCK.monotonic() - whole_since > _ARCHIVE_SECONDS

        wait_until(over, deadline=seconds + 30, pause=0.02, waiting_for=f"{name} to stop")
        cut_off = not stopping.done()
        if cut_off:
            runtime.kill(name)
        stopping.result()  # raises what it raised
    return cut_off


def shutdown(runtime: Runtime, name: str) -> Lsn | None:
    """Where the record of its clean shutdown begins, which is a server's last; None until it has shut down."""
    content = runtime.read(name, control.PATH)
    ended = control.parse(content) if content is not None else None
    return ended.checkpoint if ended and ended.clean else None
