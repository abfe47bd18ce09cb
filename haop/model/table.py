"""Tables of `haop.toml` that complain well: each value that cannot be used is named by its key."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h)")
_SIZE = re.compile(r"(\d{1,9})(kB|MB|GB)")
_SIZES = {"kB": 2**10, "MB": 2**20, "GB": 2**30}
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class SpecError(ValueError):
    """A key of `haop.toml` that cannot be used."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


def parse_duration(text: str) -> float:
    """Seconds of a text such as `500ms`, `5s`, `10min`, `2h`.

    Raises:
        ValueError: it is none of these.

    >>> parse_duration("250ms")
    0.25
    """
    if not (match := _DURATION.fullmatch(text)):
        raise ValueError(f"expected a duration such as 500ms, 5s, 10min or 2h, not {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def parse_size(text: str) -> int:
    """Bytes of a text such as `512kB`, `10MB`, `1GB`, as PostgreSQL has it: 1024 of one are the next.

    Raises:
        ValueError: it is none of these.

    >>> parse_size("10MB")
    10485760
    """
    if not (match := _SIZE.fullmatch(text)):
        raise ValueError(f"expected a size such as 512kB, 10MB or 1GB, not {text!r}")
    return int(match[1]) * _SIZES[match[2]]


def nearest(word: str, known: Collection[str]) -> str:
    """A remark that names the known word nearest to a mistyped one, or nothing.

    >>> nearest("durabilty", ["durability", "engine"])
    "; did you mean 'durability'?"
    """
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


class Table:
    """A TOML table that knows its own key and notes which of its keys were read."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.values = dict(values)
        self._known: list[str] = []

    def key(self, name: str) -> str:
        """The whole key, as `haop.toml` would be searched for it."""
        return f"{self.path}.{name}" if self.path else name

    def close(self) -> None:
        """Complain about the first key that nobody asked for."""
        for name in self.values:
            if name not in self._known:
                raise SpecError(self.key(name), f"unknown key{nearest(name, self._known)}")

    def table(self, name: str, *, required: bool = True) -> "Table":
        """A table below this one."""
        value = self._take(name, {} if not required else None, "a table")
        if not isinstance(value, dict):
            raise SpecError(self.key(name), "expected a table")
        return Table(self.key(name), value)

    def tables(self, name: str) -> list["Table"]:
        """An array of tables."""
        value = self._take(name, None, "[[nodes]] tables")
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise SpecError(self.key(name), f"expected [[{name}]] tables")
        return [Table(f"{name}[{index}]", item) for index, item in enumerate(value)]

    def name(self, name: str, shape: re.Pattern[str], expected: str) -> str:
        """A name of that shape, and none that PostgreSQL uses itself."""
        value = self._take(name, None, "a name")
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise SpecError(self.key(name), f"expected a name ({expected}), not {value!r}")
        taken = {"owner": {"postgres", "public", "none"}, "name": {"postgres", "template0", "template1"}}
        if self.path == "database" and (value in taken[name] or (name == "owner" and value.startswith("pg_"))):
            raise SpecError(self.key(name), f"'{value}' is PostgreSQL's own; choose another")
        return value

    def text(self, name: str, default: str | None) -> str | None:
        """A string that is not empty, or nothing."""
        value = self._take(name, default, "a string", optional=True)
        if value is not None and (not isinstance(value, str) or not value):
            raise SpecError(self.key(name), f"expected a string that is not empty, not {value!r}")
        return value

    def shaped(self, name: str, shape: re.Pattern[str], expected: str) -> str | None:
        """A string of that shape, or nothing."""
        value = self.text(name, None)
        if value is not None and not shape.fullmatch(value):
            raise SpecError(self.key(name), f"expected {expected}, not {value!r}")
        return value

    def choice(self, name: str, choices: tuple[Any, ...], default: Any = None) -> Any:
        """One of a few values."""
        value = self._take(name, default, "one of " + ", ".join(map(str, choices)))
        if value not in choices or isinstance(value, bool):
            raise SpecError(self.key(name), f"expected {_one_of(choices)}, not {value!r}")
        return value

    def whole(self, name: str, *, at_least: int, at_most: int | None = None, default: int | None = None) -> int:
        """A whole number within limits."""
        value = self._take(name, default, "a whole number")
        in_range = type(value) is int and at_least <= value and (at_most is None or value <= at_most)
        if not in_range:
            limits = f"from {at_least}" + (f" to {at_most}" if at_most is not None else "")
            raise SpecError(self.key(name), f"expected a whole number {limits}, not {value!r}")
        return int(value)

    def number(self, name: str) -> float | None:
        """A number greater than 0, or nothing."""
        value = self._take(name, None, "a number", optional=True)
        if value is not None and (type(value) not in {int, float} or value <= 0):
            raise SpecError(self.key(name), f"expected a number greater than 0, not {value!r}")
        return None if value is None else float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default, "true or false")
        if not isinstance(value, bool):
            raise SpecError(self.key(name), f"expected true or false, not {value!r}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; none where it is missing."""
        value = self._take(name, [], "a list of strings")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise SpecError(self.key(name), 'expected a list of strings such as ["gunicorn", "shop.wsgi"]')
        return tuple(value)

    def duration(self, name: str, default: float) -> float:
        """Seconds of a text such as `5s`."""
        value = self._take(name, default, "a duration")
        if value is default:
            return float(value)
        try:
            return parse_duration(str(value))
        except ValueError as error:
            raise SpecError(self.key(name), str(error)) from error

    def size(self, name: str, default: int, *, at_least: int) -> int:
        """Bytes of a text such as `10MB`."""
        value = self._take(name, default, "a size")
        if value is default:
            return int(default)
        try:
            found = parse_size(str(value))
        except ValueError as error:
            raise SpecError(self.key(name), str(error)) from error
        if found < at_least:
            raise SpecError(self.key(name), f"expected at least {at_least // 2**10}kB, not {value}")
        return found

    def _take(self, name: str, default: Any, expected: str, *, optional: bool = False) -> Any:
        self._known.append(name)
        value = self.values.get(name, default)
        if value is None and not optional:
            raise SpecError(self.key(name), f"missing; expected {expected}")
        return value


def _one_of(choices: tuple[Any, ...]) -> str:
    words = [str(choice) for choice in choices]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
