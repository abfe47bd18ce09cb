"""What every session of haop fixes as it begins, because its statements rely on it. Pure.

What a connection asks for as it begins overrides `postgresql.conf`, ALTER DATABASE and ALTER ROLE ... SET (PostgreSQL's
manual, "Parameter Interaction via the Command Line"). An application's session fixes nothing: it is what it is.
"""

from collections.abc import Mapping

# Anybody may set these, and each version knows them.
_ANYBODY: Mapping[str, str] = {
    # How values are printed and read.
    "client_encoding": "UTF8", "DateStyle": "ISO,YMD", "IntervalStyle": "postgres", "TimeZone": "UTC",
    "bytea_output": "hex", "extra_float_digits": "1", "standard_conforming_strings": "on",
    "quote_all_identifiers": "off", "transform_null_equals": "off", "search_path": "pg_catalog",
    # How statements are carried out. A hot standby refuses each in a serializable transaction.
    "default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off", "exit_on_error": "off", "role": "none",
    "default_table_access_method": "heap", "default_tablespace": "", "local_preload_libraries": "",
    # How long they may take: haop sets its own limits.
    "statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}  # fmt: skip
# A damaged page is an error, whatever somebody let this role do; a broken extension or trigger keeps no superuser out.
_SUPERUSER: Mapping[str, str] = {
    "lc_messages": "C", "zero_damaged_pages": "off", "ignore_checksum_failure": "off", "row_security": "on",
    "session_replication_role": "origin", "session_preload_libraries": "",
}  # fmt: skip


def own(major: int) -> Mapping[str, str]:
    """The settings of a session of any of haop's roles on a server of that major version."""
    return {**_ANYBODY, **({"transaction_timeout": "0"} if major >= 17 else {})}


def superuser(major: int) -> Mapping[str, str]:
    """The same for the superuser. From 17 on a trigger of a database may turn away who logs in."""
    return {**own(major), **_SUPERUSER, **({"event_triggers": "off"} if major >= 17 else {})}


def options(settings: Mapping[str, str]) -> str:
    r"""As libpq's `options` and PGOPTIONS have it.

    >>> options({"default_transaction_isolation": "read committed", "default_tablespace": ""})
    '-c default_transaction_isolation=read\\ committed -c default_tablespace='
    """
    escaped = {name: value.replace(" ", "\\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())
