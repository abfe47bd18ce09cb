"""The record of standbys that may lack acknowledged writes: `.haop/guard/behind.json`, durable before it is true.

Written down is who has confirmed everything. Everybody else is behind: a node that is new, each node where the record
is lost or cannot be read. So whatever is forgotten makes the record too large, never too small. Only one haop at a time
changes it: who holds the cluster's lock.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from haop import state_file
from haop.clock import SYSTEM_CLOCK
from haop.errors import HaopError
from haop.model.behind import Behind
from haop.model.lsn import Lsn
from haop.model.spec import Durability
from haop.project import Project
from haop.runtimes import private_files


def names(project: Project) -> frozenset[str]:
    """The nodes that may not be promoted without salvage; none without sync, which promises nothing of the kind."""
    return frozenset(read(project))


def read(project: Project) -> Mapping[str, Behind]:
    """The same, each with since when, and how far the primary was when it was no longer asked to confirm."""
    if project.spec.durability is not Durability.SYNC:
        return {}
    record = _read(project)
    nodes = [node.name for node in project.spec.nodes]
    return {name: record.behind.get(name, Behind()) for name in nodes if name not in record.confirmed}


def add(project: Project, names: Collection[str]) -> None:
    """These may lack writes from now on. How far others must be to do without them is not known yet.

    Raises:
        HaopError: it cannot be written; nothing may be acknowledged without them.
    """
    record = _read(project)
    now = _now()
    added = {name: Behind(since=record.behind.get(name, Behind(since=now)).since) for name in names}
    _write(project, _Record(record.confirmed - {*names}, {**record.behind, **added}))


def bound(project: Project, names: Collection[str], timeline: int, lsn: Lsn) -> None:
    """None of these has confirmed anything past that position alone.

    Raises:
        HaopError: it cannot be written.
    """
    record = _read(project)
    bounded = {
        name: replace(record.behind.get(name, Behind()), timeline=timeline, lsn=lsn)
        for name in names
        if name not in record.confirmed
    }
    _write(project, _Record(record.confirmed, {**record.behind, **bounded}))


def remove(project: Project, names: Collection[str]) -> None:
    """These have every write that was acknowledged, and will have confirmed each that is.

    Raises:
        HaopError: it cannot be written.
    """
    record = _read(project)
    if record.confirmed >= {*names}:
        return
    left = {name: each for name, each in record.behind.items() if name not in names}
    _write(project, _Record(record.confirmed | {*names}, left))


def settle(project: Project, primary: str) -> None:
    """That node is primary: what is acknowledged is what it has.

    Raises:
        HaopError: it cannot be written.
    """
    if project.spec.durability is Durability.SYNC:
        remove(project, {primary})


def promoting(project: Project, node: str) -> None:
    """A new primary is about to be: nobody but it is known to have all that it has.

    Raises:
        HaopError: it can neither be written nor removed.
    """
    record = _read(project)
    if project.spec.durability is not Durability.SYNC:
        forget(project)
        return
    others = {each.name: Behind(since=_now()) for each in project.spec.nodes if each.name != node}
    kept = {name: each for name, each in record.behind.items() if name == node}
    try:
        _write(project, _Record(record.confirmed & {node}, {**others, **kept}))
    except HaopError:
        forget(project)  # a full disk must not keep a cluster without a primary


def forget(project: Project) -> None:
    """Nobody has confirmed anything.

    Raises:
        HaopError: it cannot be removed.
    """
    path = _path(project)
    if not path.exists():
        return
    try:
        private_files.remove(path)
    except OSError as error:
        raise HaopError(
            f"cannot remove {path}: {error.strerror}", hint="look at its folder's owner and mode"
        ) from error


def reserve(project: Project) -> None:
    """Keep room for the record, for a day on which the disk is full.

    Raises:
        OSError: there is none.
    """
    state_file.reserve(_path(project), mode=0o600)


@dataclass(frozen=True, slots=True)
class _Record:
    confirmed: frozenset[str]
    behind: Mapping[str, Behind]


def _path(project: Project) -> Path:
    return project.state / "guard" / "behind.json"


def _now() -> str:
    return SYSTEM_CLOCK.now().isoformat(timespec="milliseconds")


def _read(project: Project) -> _Record:
    try:
        document = json.loads(_path(project).read_text(encoding="utf-8"))
        return _Record(
            frozenset(map(str, document["confirmed"])),
            {str(name): _behind(**each) for name, each in document["behind"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return _Record(frozenset(), {})


def _behind(since: str | None, timeline: int | None, lsn: str | None) -> Behind:
    return Behind(since=since, timeline=timeline, lsn=Lsn.parse(lsn) if lsn else None)


def _write(project: Project, record: _Record) -> None:
    """Whole or not at all, and onto the disk with its folder's entry."""
    path = _path(project)
    document = {
        "confirmed": sorted(record.confirmed),
        "behind": {
            name: {"since": each.since, "timeline": each.timeline, "lsn": str(each.lsn) if each.lsn else None}
            for name, each in sorted(record.behind.items())
        },
    }
    try:
        state_file.write(path, json.dumps(document, indent=2), mode=0o600)
        state_file.sync_folder(path.parent.parent)
    except OSError as error:
        raise HaopError(
            f"cannot write down who may lack acknowledged writes: {path}: {error.strerror}",
            hint="make room on the disk, or correct the folder's owner and mode",
        ) from error
