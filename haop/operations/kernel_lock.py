"""Locks that end with whoever holds them, however that ended, and records of who that is.

The lock is the kernel's (`flock`), so a file that a killed process left behind locks nothing. Who only wants to know
who holds it does not touch it, but looks whether the process that the record names still lives.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from haop.errors import Refused
from haop.runtimes import processes


class Held:
    """A lock that this process holds."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    def counts(self) -> bool:
        """Whether whoever asks for the lock now asks for this one: its file may have been removed, or replaced."""
        return _is(self._descriptor, self._path)


@contextmanager
def locked(root: Path, path: Path, told: Mapping[str, Any], *, stays: bool = False) -> Iterator[Held | None]:
    """The lock, which is ours until this ends; None where it is another's. Waits for nobody.

    Programs that are started meanwhile do not inherit it.

    Args:
        root: an existing folder; those between it and the file are made, and removed again where nothing is in them.
        path: the file.
        told: what others read of the holder, beside its `pid` and `process`.
        stays: the file is there afterwards, where its folder was there before: it is locked without room on the disk.

    Raises:
        Refused: the folder cannot be written.
    """
    folders = [path.parents[depth] for depth in range(len(path.relative_to(root).parents) - 1)]
    made = [folder for folder in folders if not folder.exists()]
    descriptor = _acquire(path, root, folders)
    if descriptor is None:
        yield None
        return
    try:
        with suppress(OSError):  # a full disk: the lock itself needs no room
            _write(descriptor, {"pid": os.getpid(), "process": processes.identity(os.getpid()), **told})
        yield Held(descriptor, path)
    finally:
        with suppress(OSError):
            if stays and not made:
                os.ftruncate(descriptor, 0)
            elif _is(descriptor, path):
                path.unlink()
            for folder in made:
                folder.rmdir()  # a command that was refused leaves nothing; what has files in it stays
        with suppress(OSError):  # a program that is being started has it, too, for a moment
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def read(path: Path) -> Mapping[str, Any] | None:
    """What the file says, though its writer may be gone."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def holder(path: Path) -> Mapping[str, Any] | None:
    """What the living process that holds the lock says of itself; None where there is none, or not yet."""
    found = read(path)
    lives = found and isinstance(found.get("pid"), int) and processes.lives(found["pid"], found.get("process"))
    return found if lives else None


def _write(descriptor: int, record: Mapping[str, Any]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(record).encode() + b"\n", 0)


def _acquire(path: Path, root: Path, folders: list[Path]) -> int | None:
    """A descriptor that holds the lock; None where another does. Python's are closed in programs that it starts."""
    while True:
        try:
            for folder in reversed(folders):
                folder.mkdir(mode=0o755, exist_ok=True)
            descriptor = _open(path)
        except FileNotFoundError:
            if not root.exists():
                raise
            continue  # who held it has just removed it, and perhaps the folder that it had made
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                hint = "it belongs to another user, or is mounted read-only"
                raise Refused(f"cannot write to {path.parent}: {error.strerror}", hint=hint) from error
            raise
        with ExitStack() as opened:
            opened.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if _is(descriptor, path):  # else its holder has just removed it
                opened.pop_all()
                return descriptor


def _open(path: Path) -> int:
    """For writing, or for reading where the file is another user's: it may be asked then, and replaced where stale."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        if not path.exists() and not os.access(path.parent, os.W_OK):
            raise
        descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(descriptor, path):
            path.unlink()
    except BlockingIOError:
        return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return _open(path)


def _is(descriptor: int, path: Path) -> bool:
    """Whether the file is still the one that the path names."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
