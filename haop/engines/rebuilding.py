"""Replace a node's data by a fresh clone. The node script makes it beside the data, which stay until it is whole."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from haop.clock import SYSTEM_CLOCK
from haop.engines.base import Note
from haop.errors import ConnectionFailed, HaopError, Refused
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.runtimes.base import Runtime
from haop.waiting import wait_until

if TYPE_CHECKING:
    from haop.engines.streaming import StreamingEngine

_ANSWER_SECONDS = _FOLLOW_SECONDS = 300.0
_OVER = {State.STOPPED, State.ABSENT}
_TELL_SECONDS = 1.0


def plan(engine: "StreamingEngine", runtime: Runtime, status: ClusterStatus, node: str) -> str:
    """What `rebuild` would do, in a sentence; changes nothing.

    Raises:
        Refused: it is the primary, or nothing that is cloned beside the node's data would be whole.
        NoPrimary: there is none to clone.
    """
    primary = engine.primary_for(status, node)
    source = status.node(primary)
    spaces = (
        [place.name for place in source.server.places if place.kind == "tablespace"]
        if isinstance(source, Reachable)
        else []
    )
    if spaces and status.node(node).service.state is not State.ABSENT:
        raise Refused(
            f"{primary} has the tablespace {spaces[0]}, which cannot be cloned beside that of {node}",
            hint=f"move what is in it: ALTER TABLE ... SET TABLESPACE pg_default, then DROP TABLESPACE {spaces[0]}",
        )
    if status.node(node).service.state is State.ABSENT:
        return f"clone {primary} to {node}, which has no data"
    if runtime.rebuilding(node):
        return f"complete the rebuild of {node} from {primary}"
    alone = f", and the WAL that only {node} has is kept" if engine.was_primary(node) else ""
    return f"clone {primary} to {node}; once the clone is whole, the data of {node} are discarded{alone}"


class Rebuild:
    """One rebuild. Whatever ends it before the clone is whole, the node has its data and its marker back."""

    def __init__(self, engine: "StreamingEngine", runtime: Runtime, node: str) -> None:
        self._engine = engine
        self._runtime = runtime
        self._node = node

    def run(self, note: Note, say: Callable[[str], None]) -> None:
        """Clone, and wait as long as that takes; then until it streams.

        Args:
            note: told what has happened.
            say: told how far the clone is, about once a second.

        Raises:
            Refused: it is the primary.
            NoPrimary: there is none to clone.
            HaopError: the clone failed; or the node does not follow after it.
        """
        status = self._engine.observe()
        primary = self._engine.primary_for(status, self._node)
        state = status.node(self._node).service.state
        if not (self._runtime.rebuilding(self._node) and state is State.RUNNING):
            self._take_down(status)
            note("stopped", self._node)
        with self._put_back_unless_whole(start_again=state in {State.RUNNING, State.PAUSED}):
            self._runtime.readmit(self._node, rebuild=True)
            self._runtime.start(self._engine.services()[self._node])
            note(f"clones {primary}", self._node)
            self._await_clone(primary, say)
            wait_until(
                self._answers, deadline=_ANSWER_SECONDS, pause=0.05, waiting_for=f"{self._node} to answer",
                hint=f"haop logs --node {self._node}",
            )  # fmt: skip
        note("cloned", self._node)
        self._runtime.start(self._engine.services()[self._node])  # from now on the runtime may start it by itself
        self._engine.await_streaming(frozenset({self._node}), _FOLLOW_SECONDS)
        self._engine.drop_slots_of_standby(self._node)
        note(f"streams from {primary}", self._node)

    def _take_down(self, status: ClusterStatus) -> None:
        if self._engine.was_primary(self._node):
            self._engine.take_down(status, self._node)
        else:
            self._runtime.stop(self._node)

    @contextmanager
    def _put_back_unless_whole(self, *, start_again: bool) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._runtime.stop(self._node)  # no clone goes on behind the back of who reads an error or pressed Ctrl-C
            self._runtime.give_back(self._node)
            if self._runtime.state(self._node).fenced:
                self._runtime.fence(self._node)
            elif start_again:
                self._runtime.start(self._engine.services()[self._node])
            raise

    def _await_clone(self, primary: str, say: Callable[[str], None]) -> None:
        told_at = -math.inf

        def whole() -> bool:
            nonlocal told_at
            self._require_life()
            if (now := SYSTEM_CLOCK.monotonic()) > told_at + _TELL_SECONDS:
                told_at = now
                self._tell(primary, say)
            return not self._runtime.rebuilding(self._node)

        wait_until(whole, deadline=math.inf, pause=0.05, waiting_for=f"{self._node} to be cloned")

    def _answers(self) -> bool:
        """A node script that gave up has put the marker back before it ended."""
        self._require_life()
        return isinstance(self._engine.observe().node(self._node), Reachable)

    def _require_life(self) -> None:
        if self._runtime.state(self._node).state in _OVER:
            raise HaopError(
                f"{self._node} is not rebuilt: {self._engine.last_words(self._node).removeprefix('refuse: ')}",
                hint=f"when that is mended: haop rebuild {self._node}",
            )

    def _tell(self, primary: str, say: Callable[[str], None]) -> None:
        """A primary that does not answer now ends the clone by itself."""
        with (
            suppress(ConnectionFailed),
            connected(self._runtime.endpoint(primary), self._engine.admin) as connection,
        ):
            if backup := replication.base_backup(connection, self._node):
                streamed, total = (f"{count / 2**20:.0f} MB" for count in backup)
                say(f"{streamed} of about {total}")
