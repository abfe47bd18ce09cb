"""Settings of a running server: read its files again, and say what waits for a restart."""

from collections.abc import Mapping
from dataclasses import replace

from haop.errors import HaopError
from haop.model.endpoint import Endpoint
from haop.model.settings import Pending
from haop.postgres.connection import Login, connected
from haop.postgres.queries import query
from haop.waiting import wait_until

_RELOAD_SECONDS = 15.0
# What names no file says that a setting which only a start can change is no longer in any (guc-file.l).
_WRONG = """
SELECT sourcefile || ': ' || error FROM pg_file_settings
WHERE error IS NOT NULL AND NOT applied AND sourcefile IS NOT NULL
    AND coalesce(lower(name), '') NOT IN (SELECT lower(name) FROM pg_settings WHERE context = 'postmaster')
UNION ALL
SELECT 'pg_hba.conf, line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL
"""
_NEW_SESSION = "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE context <> 'internal'"
# What a session needs so that it answers at all.
_TO_BE_ASKED = ("client_encoding", "default_transaction_isolation", "event_triggers", "role", "statement_timeout")


def reload_stale(endpoint: Endpoint, login: Login) -> tuple[Pending, ...]:
    """Let a server read its files again where they are newer than what it has read; what that changed.

    Raises:
        ConnectionFailed: it did not answer.
        HaopError: it rejects them, with the reason.
    """
    with connected(endpoint, login) as connection:
        row = connection.execute(query("stale")).fetchone()
        assert row is not None
        before, stale = row
        if not stale:
            return ()
        values = _values(endpoint, login)
        connection.execute("SELECT pg_reload_conf()")

    def taken() -> Mapping[str, str] | None:
        # A new session each time: it begins with what the server itself has read.
        with connected(endpoint, login) as connection:
            if wrong := connection.execute(_WRONG).fetchone():
                raise HaopError(
                    f"the server at {endpoint} rejects its settings: {wrong[0]}", hint="haop render --check"
                )
            loaded = connection.execute("SELECT pg_conf_load_time()").fetchone()
        return _values(endpoint, login) if loaded and loaded[0] > before else None

    now = wait_until(
        taken, deadline=_RELOAD_SECONDS, pause=0.01, waiting_for=f"the server at {endpoint} to read its settings"
    )
    return tuple(Pending(name, values.get(name, ""), value) for name, value in now.items() if values.get(name) != value)


def pending(endpoint: Endpoint, login: Login) -> tuple[Pending, ...]:
    """What waits for a restart of that server.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login) as connection:
        return tuple(Pending(*row) for row in connection.execute(query("pending")))


def replay_paused(endpoint: Endpoint, login: Login) -> bool:
    """Whether a standby has stopped to replay: somebody asked for it, or it has less of a setting than its primary."""
    with connected(endpoint, login) as connection:
        row = connection.execute("SELECT pg_get_wal_replay_pause_state() = 'paused'").fetchone()
        return bool(row and row[0])


def _values(endpoint: Endpoint, login: Login) -> Mapping[str, str]:
    """What the files decide, as a new session of anybody has it: haop's own fixes some."""
    only = {name: login.session[name] for name in _TO_BE_ASKED if name in login.session}
    with connected(endpoint, replace(login, session=only)) as connection:
        return dict(connection.execute(_NEW_SESSION))
