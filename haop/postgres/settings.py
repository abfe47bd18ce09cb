"""Settings of a running server: read its files again, and say what waits for a restart."""

from haop.errors import HaopError
from haop.model.endpoint import Endpoint
from haop.model.settings import Pending
from haop.postgres.connection import Login, connected
from haop.postgres.queries import query
from haop.waiting import wait_until

_RELOAD_SECONDS = 15.0
_WRONG = """
SELECT coalesce(sourcefile, '') || ': ' || error FROM pg_file_settings
WHERE error IS NOT NULL AND NOT applied
    AND coalesce(lower(name), '') NOT IN (SELECT lower(name) FROM pg_settings WHERE context = 'postmaster')
UNION ALL
SELECT 'pg_hba.conf, line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL
"""


def reload_stale(endpoint: Endpoint, login: Login) -> bool:
    """Let a server read its files again where they are newer than what it has read; whether it had to.

    Raises:
        ConnectionFailed: it did not answer.
        HaopError: it rejects them, with the reason.
    """
    with connected(endpoint, login) as connection:
        row = connection.execute(query("stale")).fetchone()
        assert row is not None
        before, stale = row
        if not stale:
            return False
        connection.execute("SELECT pg_reload_conf()")

    def taken() -> bool:
        # A new session each time: it begins with what the server itself has read.
        with connected(endpoint, login) as connection:
            if wrong := connection.execute(_WRONG).fetchone():
                raise HaopError(
                    f"the server at {endpoint} rejects its settings: {wrong[0]}", hint="haop render --check"
                )
            loaded = connection.execute("SELECT pg_conf_load_time()").fetchone()
            return bool(loaded and loaded[0] > before)

    wait_until(
        taken, deadline=_RELOAD_SECONDS, pause=0.01, waiting_for=f"the server at {endpoint} to read its settings"
    )
    return True


def pending(endpoint: Endpoint, login: Login) -> tuple[Pending, ...]:
    """What waits for a restart of that server.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login) as connection:
        return tuple(Pending(*row) for row in connection.execute(query("pending")))
