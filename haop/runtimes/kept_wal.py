"""WAL that node scripts have kept beside data directories: folders of segments, each whole once it has its name."""

import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from haop.docker.containers import Containers

FOLDER = "discarded"  # beside the data directory: its name, a dot, and this
_CHUNK = 2**20


def collect(folder: Path, into: Path) -> Sequence[str]:
    """Copy what lies there; the names that were copied."""
    found = sorted(path for path in folder.glob("[!.]*") if path.is_dir() and not path.is_symlink())
    for source in found:
        for file in sorted(source.iterdir()):
            if file.is_file() and not file.is_symlink():
                with file.open("rb") as stream:
                    _store(stream, into / source.name / file.name)
    return [path.name for path in found]


def discard(folder: Path, names: Sequence[str]) -> None:
    """Remove these."""
    for name in names:
        shutil.rmtree(folder / name)


def collect_from_container(containers: "Containers", name: str, folder: PurePosixPath, into: Path) -> Sequence[str]:
    """Copy it out of a container, running or not, as the stream of an archive; the names that were copied."""
    if containers.size(name, folder) is None:  # the usual answer, at once
        return []
    from haop.docker.engine import translated  # noqa: PLC0415 - only who asks the engine pays for it

    found: set[str] = set()
    with translated(f"read {folder} of {name}"):
        chunks, _ = containers.client.get_archive(containers.id(name), str(folder), chunk_size=_CHUNK)
        with tarfile.open(fileobj=_Stream(chunks), mode="r|") as archive:  # type: ignore[call-overload]  # it reads, and no more
            for member in archive:
                path = PurePosixPath(member.name)
                if len(path.parts) == 3 and not path.parts[1].startswith(".") and ".." not in path.parts:
                    content = archive.extractfile(member) if member.isfile() else None
                    if content:
                        _store(content, into / path.parts[1] / path.parts[2])
                        found.add(path.parts[1])
    return sorted(found)


def discard_in_container(containers: "Containers", name: str, folder: PurePosixPath, names: Sequence[str]) -> None:
    """Remove these, which only a container that runs can do: in another they stay for now."""
    found = containers.inspect(name)
    if found and found["State"]["Running"] and not found["State"]["Paused"]:
        containers.execute(name, "rm", "-rf", *(str(folder / kept) for kept in names))


def _store(content: IO[bytes], path: Path) -> None:
    for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        file.flush()
        os.fsync(file.fileno())


class _Stream:
    """Chunks as a file that can be read from its start to its end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, count: int) -> bytes:
        while len(self._rest) < count and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        told, self._rest = self._rest[:count], self._rest[count:]
        return told
