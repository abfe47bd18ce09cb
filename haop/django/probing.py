"""Asks every server, and Redis, within a deadline, however many want to know and whatever hangs.

One look at a time and process: who asks meanwhile gets its answer, and that is good for a second. Each server is asked
in a thread of its own, and one that has not answered at the deadline is unknown.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

import psycopg
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.db import connections
from psycopg.abc import PQGen
from psycopg.rows import TupleRow, dict_row

from haop.django import conf
from haop.django.config import DEFAULT, REPLICA
from haop.django.connection import route_of
from haop.django.health import PRIMARY, STANDBY, Health, Server

T = TypeVar("T")
_GOOD_FOR_SECONDS = 1.0
_OF_DJANGO = {"context", "cursor_factory", "prepare_threshold"}
# Of a standby that has replayed all it received, no time has been lost: idle is not late.
_LOOK = """
SELECT pg_is_in_recovery() AS standby, current_setting('cluster_name') AS name,
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END AS timeline,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END
        - '0/0')::bigint AS position,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8 AS lag_seconds
"""


class _Bounded(psycopg.Connection[TupleRow]):
    """No wait of it is longer than the deadline."""

    seconds = 1.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, self.seconds if timeout is None else timeout)


class Prober:
    """Looks for everybody who asks in this process."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Whoever looks does so in another process."""
        self._lock = threading.Lock()
        self._looking: Future[Health] | None = None
        self._since = 0.0

    def health(self) -> Health:
        """As it is, or was a second ago at most."""
        with self._lock:
            looking = self._looking
            if looking is None or (looking.done() and time.monotonic() - self._since > _GOOD_FOR_SECONDS):
                self._since = time.monotonic()
                looking = self._looking = _in_a_thread(partial(look, float(conf.value("HAOP_HEALTH_SECONDS"))))
        return looking.result()


def look(deadline: float) -> Health:
    """Ask everybody at once; takes no longer than the deadline, in seconds."""
    parameters = {alias: _parameters(alias) for alias in (DEFAULT, REPLICA)}
    places = dict.fromkeys(place for told in parameters.values() for place in route_of(told).hosts)
    asked = {place: _in_a_thread(partial(_ask, parameters[DEFAULT], place, deadline)) for place in places}
    caching = [_in_a_thread(partial(_answers, alias)) for alias in _redis_caches()]
    everybody: list[Future[Any]] = [*asked.values(), *caching]
    wait(everybody, timeout=deadline)
    late = f"no answer within {deadline:g} s"
    servers = tuple(
        answer.result() if answer.done() else Server(host=":".join(place), error=late)
        for place, answer in asked.items()
    )
    return Health(servers=servers, redis=all(one.done() and one.result() for one in caching) if caching else None)


def _parameters(alias: str) -> dict[str, Any]:
    found: dict[str, Any] = connections[alias].get_connection_params()
    return found


def _ask(parameters: Mapping[str, Any], place: tuple[str, str], deadline: float) -> Server:
    named, begun = ":".join(place), time.monotonic()
    only = {key: value for key, value in parameters.items() if key not in _OF_DJANGO}
    only |= {"host": place[0], "port": place[1], "target_session_attrs": "any", "application_name": "haop-health"}
    try:
        with _Bounded.connect(**only) as link:
            link.seconds = deadline
            link.isolation_level = (
                psycopg.IsolationLevel.READ_COMMITTED
            )  # a standby answers no serializable transaction
            row = link.cursor(row_factory=dict_row).execute(_LOOK).fetchone() or {}
    except psycopg.Error as error:
        return Server(host=named, error=(str(error).strip().splitlines() or [type(error).__name__])[0])
    role = STANDBY if row.pop("standby") else PRIMARY
    return Server(host=named, role=role, latency_ms=round((time.monotonic() - begun) * 1000, 1), **row)


def _redis_caches() -> list[str]:
    return [alias for alias in caches.settings if isinstance(caches[alias], RedisCache)]


def _answers(alias: str) -> bool:
    try:
        caches[alias].get("haop-health")
    except Exception:  # noqa: BLE001 - each client of Redis has errors of its own, and all of them mean no
        return False
    return True


def _in_a_thread(work: Callable[[], T]) -> "Future[T]":
    """A thread of its own that nobody has to wait for, not even the end of the process."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - who waits hears of it
            result.set_exception(error)

    threading.Thread(target=run, name="haop-health", daemon=True).start()
    return result


PROBER = Prober()
