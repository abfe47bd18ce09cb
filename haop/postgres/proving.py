"""Questions that prove how a node replicates, refuses, and lets in."""

import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psycopg

from haop.errors import ConnectionFailed, DeadlineExceeded
from haop.model.endpoint import Endpoint
from haop.model.hba import Rule
from haop.postgres import hba, replication
from haop.postgres.answers import reason
from haop.postgres.connection import BoundedConnection, Login, connected
from haop.postgres.queries import query
from haop.waiting import wait_until

READ_ONLY = "25006"  # read_only_sql_transaction


@dataclass(frozen=True, slots=True)
class Encryption:
    """Whether a node speaks TLS, and what the streams that leave it use: (name of the receiver, version or None)."""

    on: bool
    listens_on: str
    streams: tuple[tuple[str, str | None], ...]


def replay_seconds(
    primary: Endpoint, standbys: Mapping[str, Endpoint], login: Login, *, deadline: float
) -> Mapping[str, float | str]:
    """Write a token on the primary, and see every standby replay it: after how many seconds, or why not.

    Raises:
        ConnectionFailed: the primary did not take the token.
    """
    found: dict[str, float | str] = {}
    with ExitStack() as stack, connected(primary, login, answer_seconds=10) as link:
        # A token that no standby confirms is what this is to find out, not to wait for.
        link.execute("SET synchronous_commit = local")
        waiting: dict[str, BoundedConnection] = {}
        for name, endpoint in standbys.items():
            try:
                waiting[name] = stack.enter_context(connected(endpoint, login))
            except ConnectionFailed as error:
                found[name] = error.message
        begun = time.monotonic()
        token = replication.write_token(link, "haop check")

        def all_replayed() -> bool:
            for name in [name for name in waiting if name not in found]:
                try:
                    if replication.replayed(waiting[name], token):
                        found[name] = time.monotonic() - begun
                except psycopg.Error as error:
                    found[name] = reason(error)
            return len(found) == len(standbys)

        with suppress(DeadlineExceeded):
            wait_until(all_replayed, deadline=deadline, pause=0.002, waiting_for=f"standbys to replay {token}")
    late = f"the token at {token} was not replayed within {deadline:g} s"
    return {name: found.get(name, late) for name in standbys}


def refusal(endpoint: Endpoint, login: Login) -> tuple[str, str]:
    """Ask a node to write: the SQLSTATE with which it refused, and its words. Nothing is left if it does not.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login) as link:
        link.execute("SET log_min_messages = fatal")  # the refusal is asked for; the log is for what is not
        try:
            with link.transaction(force_rollback=True):
                link.execute("CREATE SCHEMA haop_check_is_refused")
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            return error.sqlstate, reason(error)
    return "00000", "it accepted a CREATE SCHEMA, which was rolled back"


def encryption(endpoint: Endpoint, login: Login) -> Encryption:
    """How a node encrypts.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login) as link:
        row = link.execute("SELECT current_setting('ssl') = 'on', current_setting('listen_addresses')").fetchone()
        assert row is not None
        return Encryption(row[0], row[1], tuple((name, tls) for name, tls in link.execute(query("streams"))))


def rules(endpoint: Endpoint, login: Login) -> tuple[Rule, ...]:
    """The lines of a node's `pg_hba.conf`.

    Raises:
        ConnectionFailed: it did not answer.
    """
    with connected(endpoint, login) as link:
        return hba.rules(link)


def databases(endpoint: Endpoint, login: Login) -> tuple[tuple[str, bool], ...]:
    """Every database but templates, and whether it can be connected to.

    Raises:
        ConnectionFailed: the server did not answer.
    """
    with connected(endpoint, login) as link:
        return tuple((name, is_open) for name, is_open in link.execute(query("databases")))
