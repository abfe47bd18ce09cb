"""Past drills: their stored reports, read back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from haop.drills.application import Application
from haop.drills.measure import Measurement
from haop.drills.report import SCHEMA, Report
from haop.drills.verdict import Verdict, Word
from haop.errors import HaopError, Refused
from haop.model.table import nearest
from haop.project import Project

LAST = "last"
_NUMBER = (int, float)
_NOTHING = type(None)
_MOST = 1e12  # seconds, or writes: more is no measurement


@dataclass(frozen=True, slots=True)
class History:
    """The reports, newest first, and which files hold none, with the reason."""

    reports: tuple[Report, ...]
    damaged: Mapping[Path, str]


def history(project: Project) -> History:
    """Every drill that was run to its end."""
    reports, damaged = [], {}
    for path in _files(project).values():
        try:
            reports.append(read(path))
        except ValueError as error:
            damaged[path] = str(error)
    return History(tuple(sorted(reports, key=lambda report: report.at, reverse=True)), damaged)


def find(project: Project, wanted: str) -> Path:
    """The file of a drill: its id, the beginning of it where that is of one only, or "last".

    Raises:
        Refused: there is none, or more than one.
    """
    files = _files(project)
    if not files:
        raise Refused("no drill was run to its end here", hint="haop drill failover")
    if wanted == LAST:
        return files[max(files)]
    matching = [wanted] if wanted in files else sorted(name for name in files if name.startswith(wanted))
    if not matching:
        raise Refused(f"there is no drill '{wanted}'{nearest(wanted, files)}", hint="haop drill history")
    if len(matching) > 1:
        raise Refused(f"'{wanted}' may be {' or '.join(matching)}", hint="give more of the id")
    return files[matching[0]]


def load(path: Path) -> Report:
    """The report of a file that was found.

    Raises:
        HaopError: it holds none.
    """
    try:
        return read(path)
    except ValueError as error:
        raise HaopError(f"{path} holds no report: {error}", hint="haop drill history has the others") from error


def read(path: Path) -> Report:
    """The report of a file.

    Raises:
        ValueError: it holds none; with the reason.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except OSError as error:
        raise ValueError(error.strerror) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"not of the schema {SCHEMA}")
    return _report(_Fields(document))


def _files(project: Project) -> dict[str, Path]:
    return {path.stem: path for path in sorted((project.state / "drills").glob("*.json"))}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


class _Fields:
    """A document whose fields are what they are expected to be, or a ValueError that names the one that is not."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def take(self, key: str, *kinds: type) -> Any:
        """A field of one of these types."""
        return self._checked(key, self._document.get(key), kinds)

    def list(self, key: str, *kinds: type) -> tuple[Any, ...]:
        """A list of nothing but these."""
        return tuple(self._checked(key, value, kinds) for value in self.take(key, list))

    @staticmethod
    def _checked(key: str, value: object, kinds: tuple[type, ...]) -> Any:
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        if not fits or (isinstance(value, int | float) and not abs(value) < _MOST):
            raise ValueError(f"'{key}' is missing or damaged")
        if isinstance(value, str):
            value.encode()  # half of a surrogate pair can be read from JSON, and not be printed
        return value


def _report(fields: _Fields) -> Report:
    events = [_Fields(event) for event in fields.list("events", dict)]
    buckets, span = fields.list("acknowledged_per_bucket", int), fields.list("bucket_span_seconds", *_NUMBER)
    if not buckets or len(span) != 2:
        raise ValueError("the chart is damaged")
    if not (at := datetime.fromisoformat(fields.take("at", str))).tzinfo:
        raise ValueError("'at' has no time zone")
    return Report(
        id=fields.take("id", str),
        at=at,
        cluster=fields.take("cluster", str),
        fault=fields.take("fault", str),
        old_primary=fields.take("old_primary", str),
        new_primary=fields.take("new_primary", str, _NOTHING),
        measured=_measurement(fields),
        verdict=Verdict(Word(fields.take("verdict", str)), fields.list("reasons", str)),
        events=tuple(
            (e.take("seconds", *_NUMBER), e.take("event", str), e.take("node", str, _NOTHING)) for e in events
        ),
        buckets=buckets,
        bucket_span=(span[0], span[1]),
        settings=_settings(fields.take("settings", dict)),
        promoted_by=fields.take("promoted_by", str),
        note=fields.take("note", str),
        salvaged_bytes=fields.take("salvaged_bytes", int, _NOTHING),
        application=_application(fields.take("application", dict, _NOTHING)),
    )


def _application(found: dict[str, Any] | None) -> Application | None:
    """Reports of a drill without an application have none, and neither have those of earlier versions."""
    if found is None:
        return None
    fields = _Fields(found)
    return Application(
        reads=fields.take("reads", int),
        failed_reads=fields.take("failed_reads", int),
        read_recovery_seconds=fields.take("read_recovery_seconds", *_NUMBER, _NOTHING),
        writes=fields.take("writes", int),
        failed_writes=fields.take("failed_writes", int),
        write_recovery_seconds=fields.take("write_recovery_seconds", *_NUMBER, _NOTHING),
        longest_write_gap_seconds=fields.take("longest_write_gap_seconds", *_NUMBER, _NOTHING),
        slowest_seconds=fields.take("slowest_seconds", *_NUMBER),
        cause=fields.take("cause", str, _NOTHING),
    )


def _measurement(fields: _Fields) -> Measurement:
    return Measurement(
        write_recovery_seconds=fields.take("write_recovery_seconds", *_NUMBER, _NOTHING),
        longest_write_gap_seconds=fields.take("longest_write_gap_seconds", *_NUMBER, _NOTHING),
        read_recovery_seconds=fields.take("read_recovery_seconds", *_NUMBER, _NOTHING),
        redundancy_seconds=fields.take("redundancy_seconds", *_NUMBER, _NOTHING),
        acknowledged_before_fault=fields.take("acknowledged_before_fault", int),
        acknowledged_writes=fields.take("acknowledged_writes", int),
        indeterminate_writes=fields.take("indeterminate_writes", int),
        refused_writes=fields.take("refused_writes", int),
        lost=fields.list("lost", int),
        recovered=fields.list("recovered", int),
        unexpected=fields.list("unexpected", int),
        old_primary=fields.list("old_primary_acknowledged", int),
    )


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    for key in ("postgres", "engine", "runtime", "durability"):
        _Fields(settings).take(key, str)
    objectives = _Fields(_Fields(settings).take("objectives", dict))
    for key in ("write_recovery_seconds", "read_recovery_seconds", "lost_writes"):
        objectives.take(key, *_NUMBER)
    return settings
