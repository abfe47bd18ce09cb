"""Files of folders that belong to others, written by who may be root: through no link, and onto the disk."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_KEEP = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 2**17


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A folder, or what a link leads to; nothing that happens to the path later leads elsewhere."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def ensure(folder: int, name: str, text: str) -> None:
    """Let a file of an open folder hold that text, appended where it does not; it belongs to who owns the folder.

    All of the text or nothing of it. It takes no place on the disk but in the file's last block, where it fits there.

    Raises:
        OSError: it is not there: a full disk, a link in the file's place, or something else that is no file.
    """
    file = os.open(name, _KEEP, 0o600, dir_fd=folder)
    try:
        before, owner = os.fstat(file), os.fstat(folder)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
        there = b"".join(iter(lambda: os.read(file, _PIECE), b""))
        if text.encode() in there:
            return
        wanted = (b"\n" if there and not there.endswith(b"\n") else b"") + text.encode()
        if os.write(file, wanted) < len(wanted):
            os.truncate(file, before.st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        if os.geteuid() == 0 and before.st_uid == 0:
            os.fchown(file, owner.st_uid, owner.st_gid)
        os.fsync(file)
        os.fsync(folder)
    finally:
        os.close(file)
