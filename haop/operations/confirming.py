"""Whom a primary with sync waits for: kept true to the standbys that stream.

The promise, at every moment and whoever is killed: *where a standby that is not behind is the furthest of those that
answer, and each one that does not answer is dispensable, it has every write that was acknowledged.* So

- a standby is written down as behind before the primary no longer waits for it, and before it is asked again: from
  then on it may confirm what the others lack;
- it is no longer behind once the primary waits for it, and it has flushed what was acknowledged until then.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from haop.clock import SYSTEM_CLOCK
from haop.errors import DeadlineExceeded
from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.spec import Durability, quorum
from haop.model.status import ClusterStatus, Reachable, Sender
from haop.operations import behind
from haop.operations.cluster import Cluster
from haop.postgres import observe, replication
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.waiting import wait_until

# For so long, and up to a second more, writes wait for a last standby that is gone; and so long one must stream before
# it is asked again.
DEGRADE_SECONDS = 10.0
STEADY_SECONDS = 3.0
# Who has confirmed nothing for so long, though there was something, is gone since then, whatever its stream says.
QUIET_SECONDS = 1.5
_RESTORE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Effect:
    """What has come of the names that a primary was given; the position was read last."""

    senders: tuple[Sender, ...]
    settled: bool  # commits wait as the names say
    lsn: Lsn  # flushed: nothing past it has been acknowledged


class Primary(Protocol):
    """A primary, as far as this concerns it."""

    def ask(self, names: Collection[str]) -> None:
        """Let commits wait for any one of these, soon."""

    def effect(self) -> Effect:
        """What it does now."""


class Confirming:
    """Keeps one cluster's; remembers only for how long standbys have been there or gone."""

    def __init__(
        self, cluster: Cluster, reach: Callable[[Endpoint, Login], AbstractContextManager[Primary]] | None = None
    ) -> None:
        self._project = cluster.project
        opened, login = reach or _reached, cluster.engine.admin
        self._reach: Callable[[Endpoint], AbstractContextManager[Primary]] = lambda endpoint: opened(endpoint, login)
        self._lsn: Lsn | None = None  # the primary's, when it was looked at before
        self._forget(None)

    def keep(
        self, status: ClusterStatus, now: float, *, quiet: Mapping[str, float] = MappingProxyType({}),
        steady: float = STEADY_SECONDS, degrade: float = DEGRADE_SECONDS,
    ) -> tuple[str, ...]:  # fmt: skip
        """Look once, and do what is due. To be called again about a second later.

        Args:
            status: what was just observed.
            now: monotonic seconds.
            quiet: for how many seconds standbys have confirmed nothing of what was written, as far as that was watched.
            steady: for how long a standby has streamed before it is asked.
            degrade: for how long one may be gone before it is no longer.

        Returns:
            What was done, in words.

        Raises:
            HaopError: it could not be written down, and was not done; or the primary does not answer.
        """
        if not (primary := status.primary):
            self._forget(None)
            return ()
        server = primary.server
        if (this := (primary.name, server.timeline, server.started_at)) != self._about:
            self._forget(this)
        behind.settle(self._project, primary.name)
        others = [node.name for node in self._project.spec.nodes if node.name != primary.name]
        for name in others:
            silent = quiet.get(name, 0.0)
            if silent < QUIET_SECONDS and self._is_there(status, name):
                self._there.setdefault(name, now)
                self._gone.pop(name, None)
            else:
                self._gone.setdefault(name, now - silent)
                self._there.pop(name, None)
        gone = {name for name, since in self._gone.items() if now - since >= degrade}
        back = {n for n, since in self._there.items() if now - since >= steady and self._is_near(status, primary, n)}
        self._lsn = server.lsn
        asked = _asked(server.synchronous_standby_names) & {*others}
        ours = quorum(asked) == server.synchronous_standby_names
        told = self._doubt({*others} - asked if ours else {*others}, primary)
        wanted = (asked - gone) | back
        if not ours and not wanted:
            wanted = {*others}  # what somebody set by hand, some other way, becomes haop's; writes wait at most longer
        if wanted != asked or not ours:
            return (*told, *self._ask(primary, asked, wanted, degrade))
        return (*told, *self._confirm(primary, asked))

    def _forget(self, about: object) -> None:
        """Another server is primary, or the same one was restarted."""
        self._about = about
        self._lsn = None
        self._there: dict[str, float] = {}
        self._gone: dict[str, float] = {}
        # Who is asked and not confirmed yet: seen as such, then with what it must flush.
        self._stages: dict[str, Lsn | None] = {}

    def _is_there(self, status: ClusterStatus, name: str) -> bool:
        """It streams; one that the primary hears confirm is there, though haop cannot connect to it."""
        sender = status.sender(name)
        if sender is None or sender.state != "streaming":
            return False
        return status.streams(name) or _has_flushed(sender, self._lsn)

    def _is_near(self, status: ClusterStatus, primary: Reachable, name: str) -> bool:
        """It has flushed what the primary had when it was last looked at: writes need not wait long for it."""
        sender = status.sender(name)
        return status.streams(name) and sender is not None and _has_flushed(sender, self._lsn or primary.server.lsn)

    def _doubt(self, unasked: set[str], primary: Reachable) -> tuple[str, ...]:
        """Whoever changed the names by hand wrote nothing down."""
        found = sorted(unasked - behind.names(self._project))
        if not found:
            return ()
        behind.add(self._project, found)
        return (f"{primary.name} does not wait for {' or '.join(found)}, which may lack writes from now on",)

    def _ask(self, primary: Reachable, asked: set[str], wanted: set[str], degrade: float) -> Iterator[str]:
        """First the record, then the names."""
        changed = asked ^ wanted
        behind.add(self._project, changed)
        with self._reach(primary.endpoint) as link:
            link.ask(wanted)
        for name in changed:
            self._stages.pop(name, None)
        for name in sorted(asked - wanted):
            alone = "" if wanted else f"; writes are on {primary.name} only"
            yield f"{name} is gone for {degrade:g} s; {primary.name} no longer waits for it{alone}"
        for name in sorted(wanted - asked):
            yield f"{name} streams; {primary.name} waits for it"

    def _confirm(self, primary: Reachable, asked: set[str]) -> Iterator[str]:
        record = behind.read(self._project)
        waiting = {*record} & asked
        unbounded = {name for name, each in record.items() if each.lsn is None} - asked - {primary.name}
        if not waiting and not unbounded:
            return
        with self._reach(primary.endpoint) as link:
            effect = link.effect()
        whole = [name for name in sorted(waiting) if self._advance(name, effect)]
        if whole:
            behind.remove(self._project, whole)
            yield f"{' and '.join(whole)} has every write that was acknowledged, and confirms"
        confirming = {s.application_name for s in effect.senders if s.sync_state != "async"}
        if found := unbounded - confirming:
            behind.bound(self._project, found, primary.server.timeline, effect.lsn)

    def _advance(self, name: str, effect: Effect) -> bool:
        """Whether it is whole.

        That is found out in three looks: the postmaster tells each process, one after the other, that names have
        changed. Only where the standby's sender and the checkpointer both know it, a position is one that all later
        commits wait at.
        """
        sender = next((s for s in effect.senders if s.application_name == name), None)
        if sender is None or sender.state != "streaming" or sender.sync_state not in {"sync", "quorum"}:
            self._stages.pop(name, None)
            return False
        if name not in self._stages:
            self._stages[name] = None
        elif (target := self._stages[name]) is None:
            self._stages[name] = effect.lsn if effect.settled else None
        else:
            return _has_flushed(sender, target)
        return False


def restore(cluster: Cluster) -> None:
    """At the end of an operation: the primary waits for whoever streams; for nobody without sync.

    Nobody is taken away: where all are gone writes wait, as sync promises. Who is not confirmed in time stays behind.
    """
    if cluster.project.spec.durability is not Durability.SYNC:
        behind.forget(cluster.project)
        if (primary := cluster.engine.observe().primary) and primary.server.synchronous_standby_names:
            with connected(primary.endpoint, cluster.engine.admin) as connection:
                replication.set_synchronous(connection, ())
        return
    confirming = Confirming(cluster)

    def confirmed() -> bool:
        status = cluster.engine.observe()
        confirming.keep(status, SYSTEM_CLOCK.monotonic(), steady=0.0, degrade=math.inf)
        return not any(status.streams(name) for name in behind.names(cluster.project))

    with suppress(DeadlineExceeded):
        wait_until(confirmed, deadline=_RESTORE_SECONDS, pause=0.05, waiting_for="the standbys to confirm")


class _Link:
    def __init__(self, connection: BoundedConnection) -> None:
        self._connection = connection

    def ask(self, names: Collection[str]) -> None:
        replication.set_synchronous(self._connection, sorted(names))

    def effect(self) -> Effect:
        senders = observe.senders(self._connection)
        return Effect(senders, *replication.settled(self._connection))


@contextmanager
def _reached(endpoint: Endpoint, login: Login) -> Iterator[Primary]:
    with connected(endpoint, login) as connection:
        yield _Link(connection)


def _has_flushed(sender: Sender, lsn: Lsn | None) -> bool:
    return lsn is not None and sender.flush_lsn is not None and sender.flush_lsn >= lsn


def _asked(names: str) -> set[str]:
    """The standbys that a value of `synchronous_standby_names` names, whatever its form.

    Words of the form are among them.

    >>> sorted(_asked('ANY 1 ("db-2", "db3")')), _asked(""), sorted(_asked("FIRST 1 (db2)"))
    (['1', 'ANY', 'db-2', 'db3'], set(), ['1', 'FIRST', 'db2'])
    """
    return {*re.findall(r"[\w-]+", names)}
