"""WAL that a node alone had, and that a rewind or a rebuild discarded: from beside its data into `.haop/salvage/`."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from haop.clock import SYSTEM_CLOCK
from haop.errors import HaopError
from haop.operations import kernel_lock
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.project import STATE
from haop.state_file import sync_folder
from haop.waiting import wait_until

FOLDER = "salvage"
_WAIT_SECONDS = 300.0  # gigabytes are copied in that time
# As the node script names it: timeline, from, to, when it was kept.
_NAME = re.compile(r"(\d+)-([0-9A-F]+)_([0-9A-F]+)-([0-9A-F]+)_([0-9A-F]+)-(\d{8}T\d{6}Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """One folder of WAL segments: `meta.json` in it."""

    node: str
    timeline: int
    from_lsn: str
    to_lsn: str
    kept_at: str  # when it was discarded, in UTC
    collected_at: str
    bytes: int
    read_with: str


def collected(cluster: Cluster) -> str:
    """Collect, and say so as the end of a sentence: what, where, how much, and how much lies there in all; else "".

    What cannot be collected now stays beside the data, and is looked for again by the next `up` or `rejoin`.
    """
    told = ""
    for node in cluster.project.spec.nodes:
        try:
            with _alone(cluster):
                told += "".join(map(_told, _collect(cluster, node.name)))
        except (OSError, HaopError) as error:
            told += f"; WAL that only {node.name} had stays beside its data: {error}"
    if told:
        total = sum(file.stat().st_size for file in _folder(cluster).rglob("*") if file.is_file())
        told += f"; {total / 2**20:.0f} MB there in all"
    return told


def shown(cluster: Cluster, progress: Progress) -> str:
    """The same, and a step of its own where there was something."""
    if told := collected(cluster):
        with progress.step(told.removeprefix("; ")):
            pass
    return told


@contextmanager
def _alone(cluster: Cluster) -> Iterator[None]:
    """A command and the guard collect at the same time: what one has half copied the other must not clear away."""
    lock = cluster.project.state / "collecting"
    with ExitStack() as opened:
        wait_until(
            lambda: opened.enter_context(kernel_lock.locked(cluster.project.root, lock, {})),
            deadline=_WAIT_SECONDS, pause=0.05, waiting_for="another haop that collects WAL",
        )  # fmt: skip
        yield


def _told(found: tuple[Path, Salvaged]) -> str:
    path, meta = found
    return (
        f"; WAL that only {meta.node} had, {meta.from_lsn} to {meta.to_lsn} of timeline {meta.timeline} "
        f"({meta.bytes / 2**20:.0f} MB), is kept in {STATE}/{FOLDER}/{path.name}"
    )


def _collect(cluster: Cluster, node: str) -> list[tuple[Path, Salvaged]]:
    """Each folder arrives whole or not at all; only then is it removed from beside the data."""
    home = _folder(cluster)
    side = home / f".making-{node}"
    if side.exists():
        shutil.rmtree(side)
    found = []
    try:
        names = cluster.runtime.collect(node, side)
        for name in names:
            target = home / f"{node}-{name}"
            if not target.exists():  # else the last attempt ended before it could be removed there
                found.append((target, _described(side / name, node, name)))
                sync_folder(side / name)
                (side / name).rename(target)
        if names:
            sync_folder(home)
            cluster.runtime.discard(node, names)
    finally:
        if side.exists():
            shutil.rmtree(side)
    return found


def _described(folder: Path, node: str, name: str) -> Salvaged:
    parts = _NAME.fullmatch(name)
    if not parts:
        raise HaopError(f"{name} is no name that the node script gives", hint=f"look at {folder.parent}")
    timeline, *halves, kept_at = parts.groups()
    begin, end = "/".join(halves[:2]), "/".join(halves[2:])
    meta = Salvaged(
        node=node,
        timeline=int(timeline),
        from_lsn=begin,
        to_lsn=end,
        kept_at=kept_at,
        collected_at=SYSTEM_CLOCK.now().isoformat(timespec="seconds"),
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
        read_with=f"pg_waldump --path=. --timeline={timeline} --start={begin} --end={end}",
    )
    path = folder / "meta.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(meta), indent=2) + "\n", encoding="utf-8")
    return meta


def _folder(cluster: Cluster) -> Path:
    return cluster.project.state / FOLDER
