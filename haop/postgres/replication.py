"""The statements that change replication. Each takes an open connection of a superuser and is safe to repeat."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from psycopg import errors, sql
from psycopg.rows import dict_row

from haop.errors import HaopError
from haop.model.lsn import Lsn
from haop.model.spec import quorum
from haop.model.status import Fork
from haop.postgres import replay
from haop.postgres.connection import BoundedConnection
from haop.postgres.observe import forks
from haop.postgres.queries import query

# What stands in a history file of a timeline that is another node's: a comment.
_ANOTHERS = "# of another node"


def promote(connection: BoundedConnection) -> None:
    """Ask a standby to end recovery; returns at once.

    `pg_promote(wait => true)` looks every 100 ms (xlogfuncs.c, "WAITS_PER_SECOND"); who asks can look more often.
    """
    connection.execute("SELECT pg_promote(wait => false)")


def in_recovery(connection: BoundedConnection) -> bool:
    """Whether the server is still a standby."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def ensure_slots(connection: BoundedConnection, names: Collection[str]) -> None:
    """Make the physical slots that are missing, each retaining WAL from now on.

    A standby that comes up by itself may make its own at the same moment.
    """
    for name in names:
        with suppress(errors.DuplicateObject):
            connection.execute(
                "SELECT pg_create_physical_replication_slot(%(name)s, immediately_reserve => true) "
                "WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %(name)s)",
                {"name": name},
            )


def drop_slots(connection: BoundedConnection, names: Collection[str]) -> None:
    """Drop those of the slots that are here and unused: a standby that keeps slots keeps WAL for ever."""
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = ANY(%s) AND NOT active",
        [list(names)],
    )


def drop_slot(connection: BoundedConnection, name: str) -> bool:
    """Drop a slot unless it is in use; whether there is none of that name now."""
    drop_slots(connection, [name])
    found = connection.execute("SELECT FROM pg_replication_slots WHERE slot_name = %s", [name])
    return found.fetchone() is None


def set_synchronous(connection: BoundedConnection, names: Sequence[str]) -> None:
    """Let a commit wait for any one of these standbys; for none of them when there are none."""
    wanted = quorum(names)
    current = connection.execute("SHOW synchronous_standby_names").fetchone()
    if current and current[0] == wanted:
        return
    _set(connection, synchronous_standby_names=wanted)


def follow(connection: BoundedConnection, upstream: str, slot: str) -> None:
    """Point a running standby at another primary; PostgreSQL 13 and newer do it without a restart."""
    _set(connection, primary_conninfo=upstream, primary_slot_name=slot)


def _set(connection: BoundedConnection, **settings: str) -> None:
    for name, value in settings.items():
        statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
        connection.execute(statement)
    connection.execute("SELECT pg_reload_conf()")


def upstream(connection: BoundedConnection) -> str:
    """The connection string with which a standby follows; its password is in a file that it names."""
    row = connection.execute("SHOW primary_conninfo").fetchone()
    return str(row[0]) if row else ""


def base_backup(connection: BoundedConnection, node: str) -> tuple[int, int] | None:
    """How far the base backup is that a node takes: bytes streamed, and about how many there are; None without one."""
    row = connection.execute(query("base_backup"), [node]).fetchone()
    return (int(row[0]), int(row[1])) if row else None


def write_token(connection: BoundedConnection, token: str) -> Lsn:
    """Put a token into the WAL, wait until it is flushed, and return a position after it.

    A message of logical decoding is a WAL record that changes no table and that every standby replays.
    """
    connection.execute("SELECT pg_logical_emit_message(true, 'haop', %s)", [token])
    return flushed(connection)


def flushed(connection: BoundedConnection) -> Lsn:
    """The position up to which a primary has flushed its WAL: after everything that this connection has committed."""
    row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return Lsn.parse(row[0])


def replayed(connection: BoundedConnection, lsn: Lsn) -> bool:
    """Whether a standby has replayed everything up to that position."""
    row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [str(lsn)]).fetchone()
    return bool(row and row[0])


@contextmanager
def restoring_from(connection: BoundedConnection, folder: PurePosixPath) -> Iterator[None]:
    """Let a standby fetch segments and histories from a folder that its server can read; it says nothing of others.

    Meanwhile it follows nobody: its receiver may try for seconds to reach a node that is gone, and replay waits for it.
    What is delayed is replayed at once. Command and delay stay so until `replay.put_back`.

    Raises:
        HaopError: the folder has a name that no setting can hold.
    """
    if not str(folder).isprintable():
        raise HaopError(f"no server can be told of {folder!s:.200}", hint="give the project's folder another name")
    # %f and %p are PostgreSQL's; where the file is missing the shell is quiet, and so is the server.
    path = shlex.quote(f"{folder}/").replace("%", "%%")
    followed = upstream(connection)
    replay.override(connection, "restore_command", f"test -f {path}%f && cp {path}%f %p")
    if replay.is_delayed(connection):
        replay.override(connection, "recovery_min_apply_delay", "0")
    _set(connection, primary_conninfo="")
    try:
        yield
    finally:
        _set(connection, primary_conninfo=followed)


@contextmanager
def above_timeline(connection: BoundedConnection, highest: int) -> Iterator[None]:
    """Let a standby that is promoted meanwhile take a number above that one.

    Where it looks for the history of a timeline that it does not have itself, it finds one in which it does not come:
    it neither follows that nor takes its number. What was changed for a promotion is put back at the end.
    """
    own = advance(connection).timeline
    if highest > own:
        row = connection.execute("SHOW restore_command").fetchone()
        before = str(row[0]) if row and row[0] else "false"
        others = "|".join(f"{timeline:08X}.history" for timeline in range(own + 1, highest + 1))
        strange = f'test ! -f "pg_wal/%f" && echo "{_ANOTHERS}" >"%p"'
        replay.override(connection, "restore_command", f"case %f in {others}) {strange} ;; *) {before} ;; esac")
    try:
        yield
    finally:
        if highest > own:
            with suppress(errors.Error):  # else who tidies up will see it, or the node script
                replay.put_back(connection)


def fill_histories(connection: BoundedConnection) -> None:
    """Give a primary a history file for each number below its own; no harm on a standby.

    Its standbys ask for all of them, and get no stream where one is missing (walreceiver.c,
    "WalRcvFetchTimeLineHistoryFiles").
    """
    for (path,) in connection.execute(query("histories_missing")).fetchall():
        copy = sql.SQL("COPY (SELECT {}) TO {}").format(sql.Literal(_ANOTHERS), sql.Literal(path))
        connection.execute(copy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far a standby is, and how its WAL is cut."""

    timeline: int
    received: Lsn  # on the disk; never less than what is replayed
    replayed: Lsn
    receiving: bool
    segment: int  # bytes
    page: int
    system: int  # the system identifier, unsigned
    forks: tuple[Fork, ...]  # where each earlier timeline ended


def advance(connection: BoundedConnection) -> Advance:
    """Ask a standby for it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query("advance")).fetchone()
    assert row is not None
    return Advance(
        received=Lsn.parse(row.pop("received")),
        replayed=Lsn.parse(row.pop("replayed")),
        system=row.pop("system") % 2**64,
        forks=forks(row.pop("history") or ""),
        **row,
    )


def received(connection: BoundedConnection, lsn: Lsn) -> bool:
    """Whether a standby has flushed the record that begins at that position."""
    row = connection.execute("SELECT pg_last_wal_receive_lsn() > %s::pg_lsn", [str(lsn)]).fetchone()
    return bool(row and row[0])


def settled(connection: BoundedConnection) -> tuple[bool, Lsn]:
    """Whether commits wait as `synchronous_standby_names` says by now; then, how far a primary has flushed its WAL."""
    row = connection.execute(query("settled")).fetchone()
    assert row is not None
    return bool(row[0]), Lsn.parse(row[1])
