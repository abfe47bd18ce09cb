"""The files of processes' nodes: data, kept WAL, logs."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath

import psutil

from haop.errors import DeadlineExceeded
from haop.model.service import LogLine
from haop.model.spec import ClusterSpec
from haop.process import RunAs
from haop.runtimes import kept_wal, log_files, processes
from haop.runtimes.local_folders import LocalFolders
from haop.waiting import wait_until

_LOG_SECONDS = 2.0


class LocalFiles:
    """What lies in the nodes' folders, whether their processes run or not."""

    def __init__(self, spec: ClusterSpec, state: Path, stack: Path) -> None:
        self._spec = spec
        self._folders = LocalFolders(state / "local", spec.local.user)
        self._state = state
        self._stack = stack

    @property
    def run_as(self) -> RunAs:
        """The user of the servers."""
        return self._folders.run_as

    def read(self, name: str, path: PurePosixPath) -> bytes | None:
        """From the data directory."""
        return self._folders.read(name, path)

    def pieces(self, name: str, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
        """From the data directory."""
        return self._folders.pieces(name, path, offset)

    def holds(self, name: str, path: PurePosixPath) -> bool:
        """In the data directory."""
        return (self._folders.data(name) / path).exists()

    def lend(self, name: str, files: Sequence[PurePosixPath], to: str) -> PurePosixPath:  # noqa: ARG002 - the protocol's signature
        """All servers are one user's: where they lie they can be read."""
        return PurePosixPath(self._folders.data(name) / files[0].parent)

    def take_back(self, to: str) -> None:
        """Nothing was copied."""

    def collect(self, name: str, into: Path) -> Sequence[str]:
        """From beside the data directory."""
        return kept_wal.collect(self._folders.beside(name, kept_wal.FOLDER), into)

    def discard(self, name: str, kept: Sequence[str]) -> None:
        """There."""
        kept_wal.discard(self._folders.beside(name, kept_wal.FOLDER), kept)

    def logs(self, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
        """From the files of the nodes."""
        return log_files.merged(self._folders.home, names, follow=follow, since=since)

    def newest_logs(self, name: str) -> Iterator[LogLine]:
        """From there, too. A server that has ended may have left its last words to the process that writes them."""
        if not self._process(name):
            self._await_log(name)
        return log_files.newest_first(self._folders.home, name)

    def _await_log(self, name: str) -> None:
        """For a moment: what goes on longer was begun by the server, and is none of its processes."""
        with suppress(DeadlineExceeded):
            wait_until(
                lambda: log_files.is_complete(self._folders.home, name), deadline=_LOG_SECONDS, pause=0.005,
                waiting_for=f"the log of {name}",
            )  # fmt: skip

    def _process(self, name: str) -> psutil.Process | None:
        return processes.find(self._folders.record(name), self._folders.data(name))
