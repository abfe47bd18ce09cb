"""What every node holds of a table at one position: for the tables of one database.

No two nodes share a snapshot. So writers are kept out of the table on the primary (SHARE lock), until every standby
has replayed what they wrote and a snapshot is open on every node; then the lock is released, and the reading begins.
Small tables are had together, where each of them can be locked at once; where one cannot be had, in halves.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Self, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from haop.clock import SYSTEM_CLOCK, Clock
from haop.errors import ConnectionFailed, DeadlineExceeded
from haop.model.checking import Answer, Contents, NotRead, Reading, TableName, Unreadable
from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.postgres import replication, tables
from haop.postgres.answers import ANSWER_SECONDS, reason
from haop.postgres.connection import BoundedConnection, Login, open_connection
from haop.postgres.queries import query
from haop.waiting import wait_until

T = TypeVar("T")

# A table of hundreds of gigabytes takes this long; a server that went silent in the middle costs as much.
READ_SECONDS = 3600.0
# Writers wait for the lock (locking.sql) and as long as it is held: together less than a second.
_REPLAY_SECONDS = 0.5
# A standby that stays behind for so many tables in a row would stay behind for the others too.
_LATE_AT_MOST = 5
# Passes over the tables that could not be had before, and the pause before each.
_PAUSES = (0.0, 0.1, 0.3, 0.6, 1.0)

_DAMAGED = {"XX001", "XX002", "58P01", "58030"}  # data_corrupted, index_corrupted, undefined_file, io_error
_GONE = {"42P01", "3F000"}  # undefined_table, invalid_schema_name
_REASONS = {
    "55P03": "it could not be locked in time: somebody works on it",
    "40001": "its reading was cancelled: replay had to go on",
}


class _Behind(Exception):
    """A standby did not replay a position while the lock was held."""

    def __init__(self, node: str, lsn: Lsn) -> None:
        super().__init__(f"{node} did not replay {lsn} while the table was locked")
        self.node, self.lsn = node, lsn


class Comparing:
    """Reads the tables of one database on all nodes, over one connection a node, and one more for locks.

    Args:
        endpoints: of the nodes that answer, the primary among them.
        primary: its name.
        login: of a superuser, to that database.
        contents: whether to compute checksums of the contents too; else rows are counted.
        patience: seconds to wait, with nothing locked, for a standby that fell behind.
        clock: where time comes from.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        primary: str,
        login: Login,
        *,
        contents: bool,
        patience: float,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._endpoints, self._primary, self._login = endpoints, primary, login
        self._contents, self._patience, self._clock = contents, patience, clock
        self._links: dict[str, BoundedConnection] = {}
        self._locker: BoundedConnection | None = None
        self._lost: dict[str, str] = {}  # nodes that stopped answering or replaying, and why
        self._late = 0  # tries in a row that a standby was behind for
        self._pool = ThreadPoolExecutor(max_workers=len(endpoints), thread_name_prefix="compare")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        links = [*self._links.values(), *filter(None, (self._locker,))]
        if kind:  # what still reads must not keep who was interrupted waiting
            for link in links:
                with suppress(psycopg.Error):
                    link.cancel_safe(timeout=ANSWER_SECONDS)
        self._pool.shutdown(cancel_futures=True)
        for link in links:
            link.close()

    def tables(self) -> tuple[TableName, ...]:
        """Which tables the primary has.

        Raises:
            ConnectionFailed: it does not let us into this database.
        """
        try:
            return tables.listed(self._link(self._primary))
        except psycopg.Error as error:
            raise ConnectionFailed(reason(error)) from error

    def readings(self, wanted: Sequence[TableName], tell: Callable[[str], None]) -> tuple[Reading, ...]:
        """What every node holds of each; what could not be had at once is tried again after the others."""
        done = self._unread([table for table in wanted if table.unlogged], "unlogged")
        pending = [table for table in wanted if not table.unlogged]
        for pause in _PAUSES:
            if not pending:
                break
            self._clock.sleep(pause)
            begun = 0
            for group in tables.together(pending):
                tell(f"{begun + 1} of {len(pending)}: {group[0].quoted}")
                begun += len(group)
                found = self._read(group)
                done = {table: reading for table, reading in done.items() if table not in group} | found
            pending = [table for table in pending if table in done and self._may_still_be_had(done[table])]
        return tuple(done[table] for table in wanted if table in done)

    def _may_still_be_had(self, reading: Reading) -> bool:
        unread = {node for node, answer in reading.answers.items() if isinstance(answer, NotRead)}
        return bool(unread - self._lost.keys()) and self._primary not in self._lost

    def _read(self, group: Sequence[TableName]) -> dict[TableName, Reading]:
        """One try; nothing of a table that was dropped since it was listed."""
        for node in self._endpoints.keys() - self._lost.keys():
            with suppress(psycopg.Error):  # then it is lost; what takes long is done before anything is locked
                self._link(node)
                self._end(node)
        if self._primary in self._lost:
            return self._unread(group, self._lost[self._primary])
        try:
            lsn, opened = self._freeze(group)
        except _Behind as behind:
            self._await_without_lock(behind)
            return self._unread(group, str(behind))
        except psycopg.Error as error:
            return self._in_halves(group) if len(group) > 1 else self._refused(group, error)
        answers = {node: (answer,) * len(group) for node, answer in opened.items() if answer is not None}
        able = [node for node in opened if node not in answers]
        answers |= self._each(able, lambda node: self._contents_of(node, group))
        if len(group) > 1 and not all(isinstance(answer, Contents) for each in answers.values() for answer in each):
            return self._in_halves(group)
        return {
            table: self._reading(table, lsn, {node: each[index] for node, each in answers.items()})
            for index, table in enumerate(group)
        }

    def _refused(self, group: Sequence[TableName], error: psycopg.Error) -> dict[TableName, Reading]:
        return {} if error.sqlstate in _GONE else self._unread(group, self._failed(self._primary, error).reason)

    def _in_halves(self, group: Sequence[TableName]) -> dict[TableName, Reading]:
        half = len(group) // 2
        return self._read(group[:half]) | self._read(group[half:])

    def _reading(self, table: TableName, lsn: Lsn, answers: dict[str, Answer]) -> Reading:
        if len({answer.version for answer in answers.values() if isinstance(answer, Contents)}) > 1:
            return self._unread([table], "it was refreshed while it was read")[table]
        return Reading(database=self._login.database, table=table, lsn=lsn, answers=self._lost_ones() | answers)

    def _freeze(self, group: Sequence[TableName]) -> tuple[Lsn, dict[str, Answer | None]]:
        """A position, and a snapshot of the tables at it on every node, or why there is none.

        While that is done no writer has them. A materialized view allows no such lock; of it each node tells which
        refresh it has read.
        """
        if group[0].materialized:
            return self._open_everywhere(group)
        self._lock(group)
        assert self._locker
        try:
            return self._open_everywhere(group)
        finally:
            # Raises where the server ended the lock before its time: then the snapshots may be of different states.
            self._locker.execute("ROLLBACK")

    def _open_everywhere(self, group: Sequence[TableName]) -> tuple[Lsn, dict[str, Answer | None]]:
        lsn = replication.write_token(self._link(self._primary), "haop check")
        self._await_replay(lsn)
        self._late = 0
        present = [node for node in self._endpoints if node not in self._lost]
        return lsn, self._each(present, lambda node: self._open(node, group))

    def _lock(self, group: Sequence[TableName]) -> None:
        if self._locker is None or self._locker.closed:
            self._locker = self._opened(self._primary, "locking")
        try:
            self._locker.execute(tables.locking(group))
        except psycopg.Error:
            with suppress(psycopg.Error):
                self._locker.execute("ROLLBACK")
            raise

    def _await_replay(self, lsn: Lsn) -> None:
        end = self._clock.monotonic() + _REPLAY_SECONDS
        for node in self._standbys():
            if (left := end - self._clock.monotonic()) < 0 or not self._replays(node, lsn, left):
                raise _Behind(node, lsn)

    def _await_without_lock(self, behind: _Behind) -> None:
        self._late += 1
        if behind.node not in self._lost and not self._replays(behind.node, behind.lsn, self._patience):
            self._lost[behind.node] = f"it has not replayed {behind.lsn} within {self._patience:g} s"
        elif self._late >= _LATE_AT_MOST:
            self._lost[behind.node] = f"it stays more than {_REPLAY_SECONDS:g} s behind"
            self._late = 0

    def _replays(self, node: str, lsn: Lsn, seconds: float) -> bool:
        """Whether it does in time; a standby that goes away is lost, and no longer waited for."""
        try:
            link = self._link(node)
            wait_until(
                lambda: replication.replayed(link, lsn), deadline=seconds, pause=0.001,
                waiting_for=f"{node} to replay {lsn}", clock=self._clock,
            )  # fmt: skip
        except DeadlineExceeded:
            return False
        except psycopg.Error as error:
            self._lost[node] = reason(error)
        return True

    def _open(self, node: str, group: Sequence[TableName]) -> Answer | None:
        """A snapshot, and locks that keep the tables from being truncated or rewritten before they are read."""
        try:
            self._link(node).execute(tables.opening(group))
        except psycopg.Error as error:
            if error.sqlstate in _GONE and node == self._primary:
                raise
            return self._failed(node, error)
        return None

    def _contents_of(self, node: str, group: Sequence[TableName]) -> tuple[Answer, ...]:
        link = self._links[node]  # not a new one, which would have no snapshot
        link.answer_seconds = READ_SECONDS
        try:
            rows = link.execute(tables.reading(group, contents=self._contents)).fetchall()
        except psycopg.Error as error:
            return (self._failed(node, error),) * len(group)
        finally:
            link.answer_seconds = ANSWER_SECONDS
            self._end(node)
        return tuple(Contents(*row) for _, *row in sorted(rows))

    def _failed(self, node: str, error: psycopg.Error) -> Unreadable | NotRead:
        told = _REASONS.get(error.sqlstate or "") or reason(error)
        if error.sqlstate in _DAMAGED or (error.sqlstate in _GONE and node != self._primary):
            return Unreadable(told)
        return NotRead(told)

    def _end(self, node: str) -> None:
        """End its transaction, where it has one; a connection that is gone has none."""
        link = self._links[node]
        if not link.closed and link.info.transaction_status is not TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                link.execute("ROLLBACK")

    def _link(self, node: str) -> BoundedConnection:
        """The node's connection; opened anew where it was lost."""
        link = self._links.get(node)
        if link is None or link.closed:
            try:
                link = self._links[node] = self._opened(node, "pinned")
            except psycopg.Error as error:
                self._lost[node] = reason(error)
                raise
        return link

    def _opened(self, node: str, settings: str) -> BoundedConnection:
        link = open_connection(self._endpoints[node], self._login, name="haop check")
        link.execute(query(settings))
        return link

    def _each(self, nodes: Sequence[str], action: Callable[[str], T]) -> dict[str, T]:
        """On all of them at once."""
        futures = {node: self._pool.submit(action, node) for node in nodes}
        wait(futures.values())
        return {node: future.result() for node, future in futures.items()}

    def _standbys(self) -> list[str]:
        return [node for node in self._endpoints if node != self._primary and node not in self._lost]

    def _lost_ones(self) -> dict[str, Answer]:
        return {node: NotRead(why) for node, why in self._lost.items()}

    def _unread(self, group: Sequence[TableName], why: str) -> dict[TableName, Reading]:
        answers = {**{node: NotRead(why) for node in self._endpoints}, **self._lost_ones()}
        return {table: Reading(database=self._login.database, table=table, answers=answers) for table in group}
