"""Lines of libpq's password file (its documentation, "The Password File")."""

from haop.model.endpoint import Endpoint


def line(place: Endpoint, user: str, password: str) -> str:
    r"""The password of one account on one server, in all its databases. No wildcard: it goes to no other server.

    >>> print(line(Endpoint("db1", 5432), "shop", "a:b\\c"))
    db1:5432:*:shop:a\:b\\c
    """
    return f"{place.host}:{place.port}:*:{_escaped(user)}:{_escaped(password)}"


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace(":", "\\:")
