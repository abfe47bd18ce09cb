"""Reads that lose their server are sent once more; to a standby where there is no primary. Writes never are."""

from typing import Any

from django.db import connections
from django.db.backends.postgresql import compiler
from django.db.backends.postgresql.compiler import (  # noqa: F401 - Django finds them here
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)
from django.db.utils import InterfaceError, OperationalError

from haop.django import reading


class _Reads:
    """What the compilers of reads share."""

    using: str | None
    connection: Any

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """As Django's, and where that is safe once more; each database is asked again but once."""
        asked_again: set[str] = set()
        while True:
            try:
                return super().execute_sql(*args, **kwargs)  # type: ignore[misc]
            except (OperationalError, InterfaceError) as error:
                if (alias := reading.again(self.connection, error, but=asked_again)) is None:
                    raise
            asked_again.add(alias)
            self.using, self.connection = alias, connections[alias]


class SQLCompiler(_Reads, compiler.SQLCompiler):
    """Of lists, of single rows."""


class SQLAggregateCompiler(_Reads, compiler.SQLAggregateCompiler):
    """Of counts and sums."""
