"""Files in folders that belong to the servers' user: never written through a link that it may have made."""

import errno
import os
import stat
from pathlib import Path

from haop.errors import HaopError
from haop.process import RunAs
from haop.state_file import sync_folder

_NEW = os.O_CREAT | os.O_EXCL


def write(path: Path, text: str, run_as: RunAs, room: Path | None = None) -> None:
    """Whole or not at all, and onto the disk; its folder's entry is not. It may take the room of another file there."""
    making = path.with_name(f"{path.name}.new")
    making.unlink(missing_ok=True)
    try:
        descriptor = os.open(room or making, os.O_WRONLY | os.O_NOFOLLOW | (0 if room else _NEW), 0o600)
        making = room or making
    except FileNotFoundError:
        descriptor = os.open(making, os.O_WRONLY | _NEW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    own(making, run_as)
    making.replace(path)


def opened(home: Path, folder: str, name: str, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a file in a folder of that user's: of a file, and of none that a link leads to.

    Raises:
        FileNotFoundError: there is none.
        HaopError: a link, or no file.
    """
    path = home / folder / name
    try:
        within = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=within)
        finally:
            os.close(within)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    hint = "no link is followed there: the servers' user could lead it anywhere; put the file itself in its place"
    raise HaopError(f"{path} is no file, or is reached over a link", hint=hint)


def remove(path: Path) -> None:
    """Remove a file for good."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def own(path: Path, run_as: RunAs) -> None:
    """Give it to the servers' user."""
    if run_as.switches:
        os.chown(path, run_as.uid, run_as.gid, follow_symlinks=False)
