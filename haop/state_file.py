"""Small files of haop's own state: written whole or not at all, in room that was kept for them.

What decides who may be promoted must be written on a full disk as well. So there is a file beside each, `NAME.new`,
that has its blocks already: the next content is written into that, and it takes the place of the file.
"""

import os
from contextlib import suppress
from pathlib import Path

_ROOM = 4096  # bytes: a block of most file systems; what is longer needs room of its own


def write(path: Path, text: str, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace a file; on the disk with its folder's entry, unless that is not asked for.

    Raises:
        OSError: it says what it said.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    making = _room(path)
    with os.fdopen(_opened(making, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.truncate()
        file.flush()
        if durable:
            os.fsync(file.fileno())
    making.replace(path)
    if durable:
        sync_folder(path.parent)
    with suppress(OSError):  # this content is written; the next one may find no room
        reserve(path, mode=mode)


def reserve(path: Path, *, mode: int = 0o644) -> None:
    """Keep room for the next content of a file.

    Raises:
        OSError: there is none.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    making = _room(path)
    if making.exists() and making.stat().st_size >= _ROOM:
        return
    with os.fdopen(_opened(making, mode), "wb") as file:
        file.write(bytes(_ROOM))
        file.flush()
        os.fsync(file.fileno())  # some file systems look for blocks only then


def sync_folder(folder: Path) -> None:
    """Bring what a folder lists onto the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _room(path: Path) -> Path:
    return path.with_suffix(".new")


def _opened(making: Path, mode: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    try:
        return os.open(making, flags, mode)
    except PermissionError:  # another user's haop has kept it
        making.unlink()
        return os.open(making, flags, mode)
