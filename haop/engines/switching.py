"""Moving the primary on purpose, and back when that does not succeed."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from haop.engines import stopping
from haop.engines.base import Note
from haop.engines.candidate import absent
from haop.engines.streaming import StreamingEngine
from haop.errors import HaopError, NoPrimary, Refused
from haop.model.lsn import Lsn
from haop.model.service import State
from haop.model.status import ClusterStatus, Reachable, Role, Unreachable
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.waiting import wait_until

# A standby may be behind by so much when writes are stopped for it; what it lacks then is what clients wait for.
NEAR_BYTES = 16 * 2**20
CATCH_UP_SECONDS = 60.0
_STOP_SECONDS = 30
_LAST_BYTES_SECONDS = 10.0
_START_SECONDS = 120.0


def choose(status: ClusterStatus, to: str | None) -> tuple[str, str]:
    """The primary, and the standby that takes its place: the one that has replayed the furthest, or the wanted one.

    Raises:
        NoPrimary: there is no primary, or two.
        Refused: no standby streams, or the wanted one does not.
    """
    if not status.primary:
        raise absent(status, "a switchover needs one primary that answers", "haop status says what to do")
    old = status.primary.name
    if to == old:
        raise Refused(f"{to} is the primary already")
    streaming = [node for node in status.standbys if status.streams(node.name) and to in {None, node.name}]
    if not streaming:
        who = f"{to} does not stream from {old}" if to else f"no standby streams from {old}"
        raise Refused(f"{who}: it could not take over without a loss", hint="haop status says why")
    return old, max(streaming, key=lambda node: node.server.lsn).name


class Switchover:
    """One switchover. Until the standby is promoted everything can be put back, and is when something fails."""

    def __init__(self, engine: StreamingEngine, old: str, new: str, note: Note) -> None:
        self._engine = engine
        self._runtime = engine.runtime
        self._old = old
        self._new = new
        self._tell = note
        self._stopping = self._promoting = False

    def catch_up(self) -> None:
        """Write a checkpoint, so that the stop is quick, and wait until the standby is near; writes go on.

        Raises:
            DeadlineExceeded: it does not come near.
        """
        with connected(self._runtime.endpoint(self._old), self._engine.admin, answer_seconds=300) as primary:
            primary.execute("CHECKPOINT")
        wait_until(
            self._near, deadline=CATCH_UP_SECONDS, pause=0.05, waiting_for=f"{self._new} to come near {self._old}",
            hint="a long query on the standby may hold replay back; nothing was changed",
        )  # fmt: skip

    def hand_over(self) -> None:
        """Stop the primary, fence it, promote the standby at the last byte.

        Raises:
            HaopError: the standby did not make it; the old primary accepts writes again.
        """
        status = self._engine.observe()
        try:
            with (
                connected(self._runtime.endpoint(self._new), self._engine.admin) as standby,
                ThreadPoolExecutor(max_workers=1, thread_name_prefix="fence") as pool,
            ):
                self._note("stopping", self._old)
                self._stopping = True
                cut_off = stopping.stop(
                    self._runtime, self._old, seconds=_STOP_SECONDS, whole=partial(replication.received, standby)
                )
                self._note("killed while it archived" if cut_off else "stopped", self._old)
                fence = pool.submit(self._runtime.fence, self._old)
                last = self._last_record()
                wait_until(
                    lambda: replication.received(standby, last), deadline=_LAST_BYTES_SECONDS, pause=0.002,
                    waiting_for=f"{self._new} to receive the end of {self._old}'s WAL at {last}",
                )  # fmt: skip
                fence.result()
                self._note("fenced", self._old)
                self._require_end_at(last)
                self._engine.crown(standby, status, self._new, self._note)
        except HaopError as error:
            raise HaopError(f"no switchover to {self._new}: {error.message}", hint=self._put_back()) from error
        except BaseException:
            self._put_back()
            raise
        self._engine.point_others(status, self._new, self._note)

    def _note(self, event: str, node: str) -> None:
        self._promoting = self._promoting or event == "promoting"
        self._tell(event, node)

    def _near(self) -> bool:
        status = self._engine.observe()
        node = status.node(self._new)
        if not isinstance(node, Reachable):
            raise HaopError(f"{self._new} does not answer: {node.reason}", hint="haop status; nothing was changed")
        lag = status.lag_bytes(node)
        return status.streams(self._new) and lag is not None and lag <= NEAR_BYTES

    def _require_end_at(self, last: Lsn) -> None:
        """Now that it is fenced: nobody has started it since it stopped, and written what the standby lacks."""
        if self._last_record() != last:
            raise HaopError(f"somebody started {self._old} again before it was fenced")

    def _last_record(self) -> Lsn:
        """Where the shutdown's checkpoint record begins, which is the primary's last."""
        if (last := stopping.shutdown(self._runtime, self._old)) is None:
            raise HaopError(f"{self._old} did not stop cleanly within {_STOP_SECONDS} s and was killed")
        return last

    def _put_back(self) -> str:
        """The old primary accepts writes again, unless the standby was promoted after all; says which is primary."""
        if not self._stopping:
            return "nothing was changed; haop status"
        try:
            primary = self._settled()
        except HaopError as error:
            return f"and nothing could be put back: {error.message}; haop up"
        self._note("primary after all", primary)
        return f"{primary} is primary and nothing is lost; bring back the rest: haop up"

    def _settled(self) -> str:
        if self._runtime.state(self._old).state is not State.STOPPED:
            self._runtime.fence(self._old)  # it would not stop, and must not go on half-way
        if self._promoting:
            return settle(self._engine, self._old, self._new)
        reinstate(self._engine, self._old)
        return self._old


def reinstate(engine: StreamingEngine, name: str) -> None:
    """Let a stopped or fenced node be the primary again, and wait until it accepts writes.

    Raises:
        Refused: another node is primary, or may be.
        DeadlineExceeded: it does not accept writes.
    """
    runtime = engine.runtime
    others = [node.name for node in engine.spec.nodes if node.name != name]
    if rival := next(
        (other for other in others if engine.was_primary(other) and not runtime.state(other).fenced), None
    ):
        raise Refused(f"{name} cannot be primary again: {rival} has a primary's data", hint="haop status")
    if runtime.state(name).fenced:
        runtime.reinstate(name)
    runtime.start(engine.services()[name])
    wait_until(
        lambda: accepts_writes(engine.observe().node(name)), deadline=_START_SECONDS, pause=0.05,
        waiting_for=f"{name} to accept writes again", hint=f"haop logs --node {name}",
    )  # fmt: skip


def accepts_writes(node: Reachable | Unreachable) -> bool:
    """Whether a node that was started as the primary is one now.

    Raises:
        NoPrimary: it is a standby, and stays one.
    """
    if isinstance(node, Reachable) and node.server.role is Role.STANDBY:
        told = f"{node.name} is a standby still: its promotion was interrupted"
        raise NoPrimary(told, hint="haop failover promotes it")
    return isinstance(node, Reachable) and not node.service.intruder


def settle(engine: StreamingEngine, old: str, new: str) -> str:
    """Give a cluster a primary in which a promotion was begun, and nobody knows whether it was done.

    Certain is only what a dead node's data say: a standby that is dead has forgotten that it was to be promoted.

    Args:
        engine: of that cluster.
        old: the former primary; it is stopped or fenced.
        new: the node that was about to be promoted.

    Returns:
        The node that is primary.
    """
    if new not in {node.name for node in engine.observe().primaries}:
        engine.runtime.fence(new)
        promoted = engine.was_primary(new)
        reinstate(engine, new if promoted else old)
        return new if promoted else old
    return new
