"""Connection strings of standbys."""

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from haop.model.endpoint import Endpoint


def pointed_at(conninfo: str, place: Endpoint) -> str:
    """The same connection string, for another server.

    >>> pointed_at("host=a port=1 user=replicator", Endpoint("b", 2))
    'host=b port=2 user=replicator'
    """
    kept = {key: value for key, value in conninfo_to_dict(conninfo).items() if key not in {"host", "port"}}
    return make_conninfo("", host=place.host, port=place.port, **kept)
