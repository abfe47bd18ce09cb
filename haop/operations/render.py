"""`haop render`: stack/ as haop.toml says now, and never over what somebody edited."""

import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from haop.clock import SYSTEM_CLOCK
from haop.errors import Refused
from haop.operations.cluster import Cluster
from haop.project import Project

_MANIFEST = "rendered.json"


@dataclass(frozen=True, slots=True)
class Rendering:
    """The files of `stack/` that are not as they should be, with a unified diff of each."""

    diffs: Mapping[str, str]

    @property
    def stale(self) -> bool:
        """Whether anything differs."""
        return bool(self.diffs)


def compare(project: Project, files: Mapping[str, str]) -> Rendering:
    """What writing these files would change."""
    diffs = {}
    for name, wanted in files.items():
        present = _read(project.stack / name)
        if present != wanted:
            old, new = (present or "").splitlines(keepends=True), wanted.splitlines(keepends=True)
            diffs[name] = "".join(difflib.unified_diff(old, new, f"stack/{name}", f"stack/{name} (haop.toml)"))
    return Rendering(diffs)


def edited(project: Project, changes: Rendering) -> tuple[str, ...]:
    """The files among these that are not as haop wrote them last."""
    manifest, here = _manifest(project), {name: _read(project.stack / name) for name in changes.diffs}
    return tuple(name for name, text in here.items() if text is not None and manifest.get(name) != _digest(text))


def refresh(cluster: Cluster) -> Rendering:
    """Write `stack/` as `haop.toml` says now, and what it takes to start it with no haop around.

    Raises:
        Refused: a file is not as haop wrote it last: somebody edited it.
    """
    changes = write(cluster.project, cluster.stack())
    if cluster.runtime.unattended:
        cluster.runtime.provide(cluster.services())
    return changes


def write(project: Project, files: Mapping[str, str]) -> Rendering:
    """Write what differs, and return what differed.

    Raises:
        Refused: a file is not as haop wrote it last: somebody edited it.
    """
    changes = compare(project, files)
    for name in edited(project, changes):
        raise Refused(
            f"stack/{name} was edited by hand; haop would change:\n{changes.diffs[name]}",
            hint=f"put your change into haop.toml, then remove stack/{name} and run: haop render",
        )
    if changes.stale:
        project.stack.mkdir(exist_ok=True)
        for name in changes.diffs:
            _replace(project.stack / name, files[name])
        project.state.mkdir(mode=0o755, exist_ok=True)
        _replace(project.state / _MANIFEST, json.dumps({name: _digest(text) for name, text in files.items()}))
        project.record("render", "done", at=SYSTEM_CLOCK.now(), detail=told(changes.diffs))
    return changes


def told(names: Collection[str]) -> str:
    """Names of files in a line, whole folders as one.

    >>> told(["compose.yaml", "web/a.py", "web/haop/b.py", "node.sh"]), told([f"web/{n}" for n in range(3)])
    ('compose.yaml, node.sh, web/ (2 files)', 'web/ (3 files)')
    """
    folders = Counter(name.partition("/")[0] for name in names if "/" in name)
    return ", ".join([*(name for name in names if "/" not in name),
                      *(f"{folder}/ ({count} files)" for folder, count in folders.items())])  # fmt: skip


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; readable for the servers' user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.new")
    making.write_text(text, encoding="utf-8")
    making.chmod(0o755 if path.suffix == ".sh" else 0o644)
    making.replace(path)


def _manifest(project: Project) -> dict[str, str]:
    try:
        return dict(json.loads((project.state / _MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
