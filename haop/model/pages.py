"""Pages of the application that a drill asks for, as its users do: what `[web]` says of them."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from haop.model.table import SpecError, Table

_PATH = re.compile(r"/[!-\"$-~]*")
_URL = re.compile(r"https?://[!-~]+", re.IGNORECASE)
HEALTH = "/api/health/"


def usable(url: str, *, path: bool) -> bool:
    """Whether that can be asked over HTTP: printable ASCII, a host, no password, a port that can be one.

    >>> usable("http://127.0.0.1:8000/api/health/", path=True), usable("http://host:80000/", path=True)
    (True, False)

    Args:
        url: as somebody wrote it.
        path: whether it is that of a page, or only says where the application is.
    """
    try:
        parts = urlsplit(url)
        at = bool(_URL.fullmatch(url) and parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address; a port that is no number, or none of TCP
        return False
    return at and "@" not in parts.netloc and bool(parts.path) is path and (path or url.endswith(parts.netloc))


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesSpec:
    """What to ask for, and where."""

    url: str  # scheme, host and port
    read: str | None = None
    write: str | None = None  # takes a plain POST, and saves something
    health: str = HEALTH

    @classmethod
    def from_table(cls, table: Table, url: str, *, read: str | None = None, write: str | None = None) -> Self | None:
        """The keys of `[web]` that name pages; None where there are none to ask for.

        Args:
            table: `[web]`.
            url: where the application answers.
            read: the page that is read where the table names none.
            write: the page that is written to where the table names none.
        """
        expected = "a path such as /items/"
        made = cls(
            url=url,
            read=table.shaped("read_page", _PATH, expected) or read,
            write=table.shaped("write_page", _PATH, expected) or write,
            health=table.shaped("health_page", _PATH, expected) or HEALTH,
        )
        return made if made.read or made.write else None

    @classmethod
    def outside(cls, table: Table) -> Self | None:
        """Of an application that haop does not run: it says where that answers, too."""
        url = table.text("url", None)
        if url is None:
            raise SpecError(table.key("url"), 'expected a URL: with runtime = "local" haop runs no application')
        if not usable(url, path=False):
            expected = "a scheme, a host and a port such as http://127.0.0.1:8000"
            raise SpecError(table.key("url"), f"expected {expected}, not {url!r}")
        made = cls.from_table(table, url)
        table.close()
        return made
