"""What lies in `.haop/salvage/`: WAL that a node alone had, listed and removed by name; never removed by itself."""

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from haop.errors import Refused
from haop.model.table import nearest
from haop.operations.audit import audited
from haop.operations.salvage import FOLDER
from haop.project import STATE, Project

# `haop doctor` tells of more: about as much as sixty-four rewinds of a few segments each leave.
LIMIT = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One folder; what its `meta.json` does not tell is None."""

    name: str
    node: str | None
    timeline: int | None
    from_lsn: str | None
    to_lsn: str | None
    kept_at: datetime  # when it was discarded; of a folder that does not tell, when it was last changed
    bytes: int


def listed(project: Project) -> tuple[Kept, ...]:
    """All of them, the oldest first."""
    folders = (path for path in _home(project).glob("[!.]*") if path.is_dir() and not path.is_symlink())
    return tuple(sorted(map(_kept, folders), key=lambda kept: (kept.kept_at, kept.name)))


def size(project: Project) -> int:
    """Bytes of all that lies there, what an interrupted command left among them."""
    return _bytes(_home(project))


def chosen(project: Project, names: Collection[str]) -> tuple[Kept, ...]:
    """Those of these names.

    Raises:
        Refused: there is none of one of the names.
    """
    found = {kept.name: kept for kept in listed(project)}
    for name in names:
        if name not in found:
            hint = "haop salvage list" + nearest(name, found)
            raise Refused(f"there is no {name} in {STATE}/{FOLDER}", hint=hint)
    return tuple(found[name] for name in dict.fromkeys(names))


def remove(project: Project, kept: Sequence[Kept]) -> None:
    """For good; and what a removal that was interrupted has left."""
    with audited(project, "salvage remove") as outcome:
        for each in kept:
            (_home(project) / each.name).rename(_home(project) / f".removing-{each.name}")
        for path in _home(project).glob(".removing-*"):
            shutil.rmtree(path)
        outcome.detail = "; ".join(f"{each.name}, {each.bytes} bytes" for each in kept)


def _kept(folder: Path) -> Kept:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        at = datetime.strptime(meta["kept_at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (OSError, ValueError, TypeError, KeyError):
        meta, at = {}, datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return Kept(
        name=folder.name, node=meta.get("node"), timeline=meta.get("timeline"), from_lsn=meta.get("from_lsn"),
        to_lsn=meta.get("to_lsn"), kept_at=at, bytes=_bytes(folder),
    )  # fmt: skip


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _home(project: Project) -> Path:
    return project.state / FOLDER
