"""Which database answers a read: decided before it is sent, and once more where the first was lost under it."""

from collections.abc import Collection
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.utils import Error

from haop.django import conf
from haop.django.config import DEFAULT, REPLICA
from haop.django.routes import RouteDown
from haop.django.scope import asks_replica, scope

M = TypeVar("M", bound=Model)

_WRITTEN = "SELECT pg_current_wal_insert_lsn()"
_REPLAYED = "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s::pg_lsn"


def alias_for(*, asked: bool) -> str | None:
    """The database for a read; None: the databases are not ours, and others may say.

    Args:
        asked: the model's reads always go to the standby.
    """
    primary: Any = connections[DEFAULT]
    if primary.in_atomic_block:
        return DEFAULT
    if (route := getattr(primary, "route", None)) is None:
        return None
    if asked or asks_replica():
        return REPLICA if may_use_replica() else DEFAULT
    if route.down and conf.falls_back() and not scope().wrote:
        return _stale(REPLICA)
    return DEFAULT


def from_replica(queryset: "QuerySet[M]") -> "QuerySet[M]":
    """That queryset, read from the standby where that has what this client wrote, else from the primary."""
    primary: Any = connections[DEFAULT]
    return queryset.using(REPLICA if not primary.in_atomic_block and may_use_replica() else DEFAULT)


def may_use_replica() -> bool:
    """Whether a standby has all that this client wrote. Costs a query as long as that is not known."""
    mine = scope()
    primary: Any = connections[DEFAULT]
    replica: Any = connections[REPLICA]
    try:
        if written() is None:
            return replica.route.down is None
        with replica.cursor() as cursor:
            cursor.execute(_REPLAYED, [mine.written])
            if cursor.fetchone()[0]:
                mine.written = None
                return True
    except Error:
        return False
    if primary.route.down and conf.falls_back() and not mine.wrote:
        mine.stale = True
        return True
    return False


def written() -> str | None:
    """The position in the WAL that a standby must have replayed to have all that this client wrote; None: any has.

    Raises:
        Error: it wrote, and the primary cannot say.
    """
    mine = scope()
    if mine.wrote:
        with connections[DEFAULT].cursor() as cursor:
            cursor.execute(_WRITTEN)
            mine.written, mine.wrote = cursor.fetchone()[0], False
    return mine.written


def again(connection: Any, error: Error, but: Collection[str] = ()) -> str | None:
    """Which database is asked once more after a read was lost; None: none, because that would not be safe.

    In a transaction nothing switches. A client that wrote in this request reads from the primary or not at all.

    Args:
        connection: on which it was lost.
        error: how.
        but: databases that were asked again already: a server may go while it accepts new connections.
    """
    down = isinstance(error.__cause__, RouteDown)
    if connection.in_atomic_block or (connection.connection is not None and not connection.autocommit):
        return None
    if not (down or connection.lost(error)) or scope().wrote:
        return None
    if not down and connection.alias not in but and _answers(connection.alias):
        return str(connection.alias)
    other = {DEFAULT: REPLICA, REPLICA: DEFAULT}.get(connection.alias)
    if other is None or other in but or (other == REPLICA and not conf.falls_back()) or not _answers(other):
        return None
    return _stale(other) if other == REPLICA else other


def _stale(alias: str) -> str:
    mine = scope()
    mine.stale = mine.stale or mine.written is not None
    return alias


def _answers(alias: str) -> bool:
    try:
        connections[alias].ensure_connection()
    except Error:
        return False
    return True
