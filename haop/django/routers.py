"""Reads and writes, each to the database that can serve it."""

from typing import Any

from django.db.models import Model

from haop.django import conf, reading
from haop.django.config import DEFAULT, REPLICA

_OURS = {DEFAULT, REPLICA}


class DatabaseFailoverRouter:
    """Writes go to the primary; reads too, unless they are asked for on a standby, or there is no primary."""

    def __init__(self) -> None:
        self._apps = frozenset(conf.value("HAOP_REPLICA_APPS"))

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:  # noqa: ARG002 - Django's signature
        """See `reading.alias_for`."""
        return reading.alias_for(asked=model._meta.app_label in self._apps)  # noqa: SLF001 - Django's public name

    def db_for_write(self, model: type[Model], **hints: Any) -> str | None:  # noqa: ARG002
        """The primary, always."""
        return DEFAULT

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:  # noqa: ARG002
        """Both aliases are one database."""
        return True if {one._state.db, other._state.db} <= _OURS else None  # noqa: SLF001 - Django documents `_state.db`

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:  # noqa: ARG002
        """A standby takes no writes: what the primary has it gets."""
        return False if db == REPLICA else None
