"""What lies where below `.haop/local/`: each node's data, its fence marker beside them, log, record, secrets."""

import logging
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePath

from haop import files
from haop.errors import HaopError
from haop.model.service import Service
from haop.process import RunAs
from haop.runtimes import account, log_files, markers, private_files, seal
from haop.state_file import sync_folder

_LOG = logging.getLogger(__name__)

LOG = "log"  # what the node script and the server print
_PIECE = 2**17


class LocalFolders:
    """The folders of a cluster's nodes. They belong to the servers' user."""

    def __init__(self, home: Path, user: str | None) -> None:
        self.home = home
        self._user = user

    @cached_property
    def run_as(self) -> RunAs:
        """The user of the servers."""
        return account.choose(self._user, self.cluster)

    @property
    def cluster(self) -> Path:
        """What all nodes share."""
        return self.home / "cluster"

    def data(self, name: str) -> Path:
        """The data directory."""
        return self.home / name / "data"

    def read(self, name: str, path: PurePath) -> bytes | None:
        """A file of the data; None where there is none."""
        try:
            return (self.data(name) / path).read_bytes()
        except FileNotFoundError:
            return None

    def pieces(self, name: str, path: PurePath, offset: int) -> Generator[bytes, None, None]:
        """The same from a byte on, piece by piece; nothing where there is none."""
        with suppress(FileNotFoundError), (self.data(name) / path).open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def beside(self, name: str, what: str) -> Path:
        """Something of the data that is not in them."""
        return self.home / name / f"data.{what}"

    def record(self, name: str) -> Path:
        """Which process runs it."""
        return self.home / name / "process.json"

    def prepare(self, service: Service) -> Path:
        """Folders, secrets and log of a service; returns its folder."""
        home = self.home / service.name
        for folder in (self.home, self.cluster, home, home / "secrets"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            private_files.own(folder, self.run_as)
        for path, text in service.secrets.items():
            private_files.write(home / "secrets" / path, text, self.run_as)
        return home

    @contextmanager
    def log_to_append(self, name: str) -> Iterator[int]:
        """A descriptor of a node's log, which is the servers' user's."""
        descriptor = private_files.opened(self.home, name, LOG, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            os.set_blocking(descriptor, True)
            log_files.end_last_line(descriptor)
            if self.run_as.switches:
                os.fchown(descriptor, self.run_as.uid, self.run_as.gid)
            yield descriptor
        finally:
            os.close(descriptor)

    def fenced(self, name: str) -> bool:
        """Whether there is a marker that keeps the node from being the primary."""
        return markers.keeps_back(self.word(name)) if self.beside(name, "fence").exists() else False

    def word(self, name: str) -> str:
        """What the fence marker says; "" where there is none."""
        try:
            return self.beside(name, "fence").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def mark(self, name: str, word: str) -> None:
        """Write the fence marker whole or not at all, and onto the disk before returning.

        Raises:
            HaopError: it is not there.
        """
        marker = self.beside(name, "fence")
        try:
            private_files.write(marker, f"{word}\n", self.run_as, self.beside(name, "fence.room"))
            sync_folder(marker.parent)
        except OSError as error:
            raise HaopError(
                f"cannot mark {name}: {error.strerror}", hint="promote nothing; look at the disk"
            ) from error

    def seal(self, name: str) -> None:
        """Let PostgreSQL itself refuse to start there. Where that cannot be, the marker stands and haop enforces it."""
        try:
            with files.opened(self.data(name)) as folder:
                if os.fstat(folder).st_uid == self.run_as.uid:
                    files.ensure(folder, seal.CONF, seal.line(name))
                    files.ensure(folder, seal.NOTE, seal.note(name, self.beside(name, "fence").name))
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.warning("cannot seal the data of %s: %s", name, error.strerror)

    def give_back(self, name: str) -> None:
        """What the marker said before a rebuild, unless that is only about to remove what it has replaced."""
        if not markers.is_rebuild(self.word(name)) or self.beside(name, "replaced").exists():
            return
        if word := markers.before_rebuild(self.word(name)):
            self.mark(name, word)
        else:
            private_files.remove(self.beside(name, "fence"))
