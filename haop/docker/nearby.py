"""Files of containers that lie in folders of this machine which haop may enter: read and written without the engine.

For each archive the engine starts a process of its own inside the container's root: 60 to 110 ms, and a failover needs
ten of them. A volume of an engine on this machine is a folder, and root may enter it: then a file takes microseconds,
and what is written is flushed by name.

What lies there belongs to the servers, and haop may be root: no link is followed, in any part of a path. Where there is
one, or anything else is in the way, the engine is asked, as it is on a machine where the folder is not.
"""

import os
import stat
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from haop import files

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in a file's place must not block
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 2**17


class OutOfReachError(Exception):
    """A link, no permission, a disk that is full or broken: the engine has to be asked, or to say what is wrong."""


@dataclass(frozen=True, slots=True)
class Near:
    """A volume's folder on this machine, and where it is mounted in the container."""

    source: str
    mount: PurePosixPath
    volume: str = ""  # its name; "" where it is a folder that was mounted

    @classmethod
    def of(cls, container: Mapping[str, Any], path: PurePosixPath) -> "Near | None":
        """The mount of a container that a path of it lies in; None where that is no folder that can be entered."""
        inside = [found for found in container["Mounts"] if path.is_relative_to(found["Destination"])]
        mount = max(inside, key=lambda found: len(found["Destination"]), default=None)
        if not mount or not os.access(mount.get("Source", ""), os.R_OK | os.W_OK | os.X_OK):
            return None
        return cls(mount["Source"], PurePosixPath(mount["Destination"]), mount.get("Name", ""))

    def is_at(self, modified: str) -> bool:
        """Whether the engine means this folder: two engines may have volumes of one name.

        Args:
            modified: when the mount has changed last, as the engine says.
        """
        told = datetime.fromisoformat(modified).timestamp()
        return abs(Path(self.source).stat().st_mtime - told) < 1e-5

    def read(self, path: PurePosixPath) -> bytes | None:
        """A file; None where there is none."""
        with _reaching(), self._opened(path) as file:
            return None if file is None else b"".join(iter(lambda: os.read(file, _PIECE), b""))

    def pieces(self, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
        """A file from an offset on; nothing where there is none."""
        with _reaching(), self._opened(path) as file:
            if file is not None:
                os.lseek(file, offset, os.SEEK_SET)
                yield from iter(lambda: os.read(file, _PIECE), b"")

    def size(self, path: PurePosixPath) -> int | None:
        """Bytes of a file, or something of a folder; None where there is neither."""
        with _reaching():
            try:
                with self._folder(path.parent) as folder:
                    found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return None
        _require(held=not stat.S_ISLNK(found.st_mode))
        return found.st_size

    def write(self, path: PurePosixPath, text: str, room: PurePosixPath) -> None:
        """A file, whole or not at all, on the disk; in the room that another one of the same folder takes."""
        with _reaching(), self._folder(path.parent) as folder:
            try:
                file, made = os.open(room.name, _WRITE, dir_fd=folder), room.name
                _require(held=stat.S_ISREG(os.fstat(file).st_mode))
            except FileNotFoundError:
                made = f"{path.name}.new"
                with suppress(FileNotFoundError):
                    os.unlink(made, dir_fd=folder)
                file = os.open(made, _WRITE | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
            try:
                os.truncate(file, os.write(file, text.encode()))
                os.fchmod(file, 0o644)
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(made, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def ensure(self, path: PurePosixPath, text: str) -> None:
        """Let a file hold that text, appended where it does not."""
        with _reaching(), self._folder(path.parent) as folder:
            files.ensure(folder, path.name, text)

    def copy(self, path: PurePosixPath, to: "Near", folder: PurePosixPath) -> None:
        """A file into a folder, made where needed, and for the file's owner; nothing where there is no such file."""
        with _reaching(), self._opened(path) as file, to._folder(folder.parent) as parent:  # noqa: SLF001 - of the same class
            if file is None:
                return
            owner = os.fstat(file)
            with suppress(FileExistsError):
                os.mkdir(folder.name, 0o700, dir_fd=parent)
                os.chown(folder.name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
            with to._folder(folder) as into:  # noqa: SLF001
                copied = os.open(path.name, _WRITE | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=into)
                try:
                    os.fchown(copied, owner.st_uid, owner.st_gid)
                    while os.sendfile(copied, file, None, _PIECE):
                        pass
                finally:
                    os.close(copied)

    @contextmanager
    def _opened(self, path: PurePosixPath) -> Iterator[int | None]:
        try:
            with self._folder(path.parent) as folder:
                file = os.open(path.name, _READ, dir_fd=folder)
        except FileNotFoundError:
            yield None
            return
        try:
            _require(held=stat.S_ISREG(os.fstat(file).st_mode))
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _folder(self, path: PurePosixPath) -> Iterator[int]:
        """A folder, part by part: a link anywhere leads nowhere."""
        here = os.open(self.source, _FOLDER)
        try:
            for part in path.relative_to(self.mount).parts:
                _require(held=part != "..")
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutOfReachError from error


def _require(*, held: bool) -> None:
    if not held:
        raise OutOfReachError
