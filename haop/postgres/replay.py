"""What holds a standby's replay, ended or lifted because a promotion waits for it."""

from collections.abc import Mapping
from contextlib import suppress

from psycopg import errors, sql

from haop.postgres.connection import BoundedConnection
from haop.postgres.queries import query

# The value that a setting had in postgresql.auto.conf, kept there under this name until `put_back`; "": it had none.
_BEFORE = "haop.before_"
_OVERRIDDEN = ("recovery_min_apply_delay", "restore_command")
_SET_BY_HAND = """
SELECT name, setting FROM pg_file_settings
WHERE sourcefile = current_setting('data_directory') || '/postgresql.auto.conf' ORDER BY seqno
"""


def release(connection: BoundedConnection) -> int:
    """Resume replay where it is paused, and end the sessions that it waits for now; how many these were.

    Others may come into its way later: ask again for as long as you wait. No harm on a primary.
    """
    with suppress(errors.ObjectNotInPrerequisiteState):  # recovery has ended in between
        connection.execute(
            "SELECT pg_wal_replay_resume() "
            "WHERE pg_is_in_recovery() AND pg_get_wal_replay_pause_state() <> 'not paused'"
        )
    holding = [pid for (pid,) in connection.execute(query("holding_replay"))]
    # Apart from the question: within one statement the server may do it before it has looked at whom.
    for pid in holding:
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    return len(holding)


def is_delayed(connection: BoundedConnection) -> bool:
    """Whether a standby replays later than it could on purpose."""
    delay = connection.execute("SELECT setting <> '0' FROM pg_settings WHERE name = 'recovery_min_apply_delay'")
    row = delay.fetchone()
    return bool(row and row[0])


def override(connection: BoundedConnection, name: str, value: str) -> None:
    """Change a setting for the time of a promotion. What was set by hand is written down first, for `put_back`."""
    assert name in _OVERRIDDEN
    found = _set_by_hand(connection)
    if _BEFORE + name not in found:
        _alter(connection, _BEFORE + name, found.get(name, ""))
    _alter(connection, name, value)
    connection.execute("SELECT pg_reload_conf()")


def put_back(connection: BoundedConnection) -> None:
    """Undo every `override`, also one of a haop that was killed."""
    found = _set_by_hand(connection)
    kept = {name: before for name in _OVERRIDDEN if (before := found.get(_BEFORE + name)) is not None}
    for name, before in kept.items():
        _alter(connection, name, before or None)
        _alter(connection, _BEFORE + name, None)
    if kept:
        connection.execute("SELECT pg_reload_conf()")


def _set_by_hand(connection: BoundedConnection) -> Mapping[str, str]:
    return dict(connection.execute(_SET_BY_HAND).fetchall())


def _alter(connection: BoundedConnection, name: str, value: str | None) -> None:
    """`ALTER SYSTEM`, which knows a name with a prefix only once the session does; None: no value of its own."""
    setting = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
    if name.startswith(_BEFORE):
        connection.execute(sql.SQL("SET {} = ''").format(setting))
    change = sql.SQL("RESET {}") if value is None else sql.SQL("SET {} = {}")
    connection.execute(sql.SQL("ALTER SYSTEM ") + change.format(setting, sql.Literal(value)))
