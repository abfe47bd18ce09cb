"""The statements in `sql/`, one a file, each of which runs in psql as it is."""

from functools import cache
from pathlib import Path
from typing import LiteralString


@cache
def query(name: str) -> LiteralString:
    """The text of `sql/<name>.sql`."""
    # The file travels with the package, so its text is as literal as this module's.
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")
