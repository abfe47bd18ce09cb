"""Connection strings of standbys."""

import re

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from haop.model.endpoint import Endpoint


def followed_by(conninfo: str, user: str) -> str | None:
    """The same connection string, for another role; None where it is that role's already.

    >>> followed_by("host=a user=replicator", "follower")
    'user=follower host=a'
    >>> followed_by("host=a user=replicator", "replicator")
    """
    kept = conninfo_to_dict(conninfo)
    return None if kept.get("user", user) == user else make_conninfo("", **{**kept, "user": user})


def pointed_at(conninfo: str, place: Endpoint) -> str:
    """The same connection string, for another server.

    >>> pointed_at("host=a port=1 user=replicator", Endpoint("b", 2))
    'host=b port=2 user=replicator'
    """
    kept = {key: value for key, value in conninfo_to_dict(conninfo).items() if key not in {"host", "port"}}
    return make_conninfo("", host=place.host, port=place.port, **kept)


def place(conninfo: str) -> Endpoint | None:
    """The server that it names; None where it names none, or several.

    >>> place("host=a port=1 user=replicator"), place("user=replicator"), place("no conninfo")
    (Endpoint(host='a', port=1), None, None)
    """
    try:
        found = conninfo_to_dict(conninfo)
        return Endpoint(str(found["host"]), int(str(found.get("port", 5432))))
    except (ProgrammingError, KeyError, ValueError):
        return None


def told_by(settings: str) -> Endpoint | None:
    r"""The server that a standby follows by its `postgresql.auto.conf`; None where that does not tell.

    >>> told_by("primary_conninfo = 'host=a port=1 passfile=''/a b'' user=me'\nprimary_slot_name = 'db2'\n")
    Endpoint(host='a', port=1)
    """
    found = re.findall(r"(?m)^primary_conninfo\s*=\s*'((?:[^']|'')*)'", settings)
    return place(found[-1].replace("''", "'")) if found else None
