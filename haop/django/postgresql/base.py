"""Django's PostgreSQL backend on connections that follow a cluster, and what it makes of their ends.

A connection whose server has gone is replaced before anything is sent on it. One that answers "read-only" where writes
go (SQLSTATE 25006) is replaced too, and what the server refused is sent again. Whatever was sent and not answered is
reported: nobody can know what became of it. Reads alone are repeated (compiler.py), in a transaction nothing is.
"""

import re
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base, creation, operations
from django.db.utils import Error, InterfaceError, InternalError, OperationalError

from haop.django import watch
from haop.django.connection import FollowingConnection, route_of
from haop.django.routes import PREFER_STANDBY, READ_WRITE, Route, RouteDown
from haop.django.scope import scope

_READS = re.compile(
    r"\s*(?:\(\s*)*(?:select|show|explain|values|table|declare|fetch|close|savepoint|release|rollback|begin|start|set)\b",
    re.IGNORECASE,
)
# Then a new connection looks for a standby.
_SECOND_BEST_SECONDS = 10.0
READ_ONLY = "25006"
# Ended by an operator, by a crash of another session, not accepting connections, connection failures.
LOST = frozenset({"57P01", "57P02", "57P03", "08000", "08001", "08003", "08004", "08006", "08007"})


class Creation(creation.DatabaseCreation):
    """Tests have one database: a mirror is reached where that is, and not on a standby that follows a moment later."""

    def set_as_test_mirror(self, primary_settings_dict: Mapping[str, Any]) -> None:
        """All but the alias is the same; the checks are told."""
        self.connection.settings_dict["TEST"]["MIRRORS"] = True
        self.connection.settings_dict.update(
            {key: primary_settings_dict[key] for key in ("NAME", "HOST", "PORT", "OPTIONS")}
        )


class Operations(operations.DatabaseOperations):
    """Reads have a compiler of their own."""

    compiler_module = "haop.django.postgresql.compiler"


class DatabaseWrapper(base.DatabaseWrapper):
    """One thread's connection of one alias."""

    # As the driver, but for how it connects.
    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": FollowingConnection.connect})
    creation_class = Creation
    ops_class = Operations

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(self._statement)
        self._to_be_replaced = self._second_best = self._looked = False

    @cached_property
    def route(self) -> Route:
        """Where this alias leads."""
        route = route_of(self.get_connection_params())
        watch.over(self.alias, route)
        return route

    @property
    def pool(self) -> Any:
        """Django's own, of connections that follow."""
        options = self.settings_dict["OPTIONS"]
        chosen = {} if options.get("pool") is True else options.get("pool")
        if isinstance(chosen, dict) and "connection_class" not in chosen:
            # A pool whose servers are gone has nothing to wait for.
            waits = {"timeout": 3.0, "reconnect_timeout": 5.0}
            options["pool"] = {**waits, **chosen, "connection_class": FollowingConnection}
        return super().pool

    def get_new_connection(self, conn_params: Mapping[str, Any]) -> Any:
        """Fails at once while the route is known to be down, with a pool too."""
        if self.pool and (down := self.route.down):
            raise RouteDown(f"{self.route}: {down.reason}")
        self._to_be_replaced = False
        made = super().get_new_connection(conn_params)
        while self.pool and made.is_gone():  # what a pool held when its server went
            self.connection = made
            self.drop()
            made = super().get_new_connection(conn_params)
        self._second_best = False
        self._mind_role(made)
        return made

    def ensure_connection(self) -> None:
        """A connection to a server that is there."""
        used = self.connection is not None and not (self.in_atomic_block or self._looked)
        if used and (self._to_be_replaced or self._is_gone()):
            self.drop()
        super().ensure_connection()

    def is_usable(self) -> bool:
        """Whether it answers, and as what this alias wants."""
        return not (self._to_be_replaced or self._is_gone() or self._is_demoted()) and super().is_usable()

    def close_if_unusable_or_obsolete(self) -> None:
        """Before and after each request; also where its server plays another role by now. Who uses it looks itself."""
        if self.connection is None or self.in_atomic_block:
            return
        if self._to_be_replaced or self._is_demoted():
            self.drop()
            return
        self._mind_role(self.connection)
        self._looked = True  # Django asks for the connection, and does not use it
        try:
            super().close_if_unusable_or_obsolete()
        except Error:  # outside of a request nobody would make a page of that
            self.drop()
        finally:
            self._looked = False

    def drop(self) -> None:
        """Close the connection; its pool keeps none of those that may have met the same fate."""
        pool, self._to_be_replaced = self.pool, False
        if isinstance(self.connection, FollowingConnection):
            self.connection.pgconn.finish()  # so that no pool takes it back
        try:
            self.close()
        except Error:
            self.connection = None
        if pool:
            pool.drain()

    def lost(self, error: BaseException) -> bool:
        """Whether this error says that the connection is of no use any more; if so it is not used again."""
        if self.connection is None:
            return code(error) is None
        refused = code(error) == READ_ONLY and self.route.wants == READ_WRITE
        if not (refused or code(error) in LOST or self._is_gone()):
            return False
        if not self._to_be_replaced:
            self._to_be_replaced = True
            self.route.lost(self.connection.place)
        return True

    def _statement(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        """Around each statement: what was written is remembered, what an end of the connection means is decided."""
        if self.route.wants == READ_WRITE and not _READS.match(str(sql)):
            scope().wrote = True
        try:
            return execute(sql, params, many, context)
        except (OperationalError, InterfaceError, InternalError) as error:
            if not self.lost(error) or code(error) != READ_ONLY or self.in_atomic_block or not self.autocommit:
                raise
            # The server carried nothing out: another one may be asked.
            self.drop()
            self.ensure_connection()
            context["cursor"].cursor = self.create_cursor()
            return execute(sql, params, many, context)

    def _mind_role(self, connection: FollowingConnection) -> None:
        """A primary stands in for a standby no longer than it must; it may have been promoted under this connection."""
        if self.route.wants == PREFER_STANDBY and not self._second_best and not connection.is_standby:
            self._second_best = True
            soon = time.monotonic() + _SECOND_BEST_SECONDS
            self.close_at = soon if self.close_at is None else min(self.close_at, soon)

    def _is_gone(self) -> bool:
        return isinstance(self.connection, FollowingConnection) and self.connection.is_gone()

    def _is_demoted(self) -> bool:
        """Whether its server is a standby, where the primary is wanted."""
        follows = isinstance(self.connection, FollowingConnection)
        return follows and self.route.wants == READ_WRITE and self.connection.is_standby


def code(error: BaseException) -> str | None:
    """SQLSTATE of an error of Django's or the driver's; None: the server did not say anything."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None
