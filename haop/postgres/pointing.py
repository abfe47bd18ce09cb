"""Connection strings of standbys."""

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
