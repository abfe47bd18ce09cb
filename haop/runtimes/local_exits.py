"""Ends of nodes' processes, told by the kernel.

A process that is known is waited for. Whether there is a new one is looked up twice a second, in two small files that
every start changes: a start that ended before it was seen is known from what they say then.
"""

import os
import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import psutil

from haop.model.service import Exit
from haop.runtimes import processes

_LOOK_SECONDS = 0.5
_GLANCE_SECONDS = 0.05
_HOW = "its process ended"


def exits(nodes: Mapping[str, tuple[Path, Path]], until: threading.Event) -> Iterator[Exit]:
    """As `Runtime.exits`, of nodes whose record and data directory lie there."""
    waiting = _Kernel() if hasattr(os, "pidfd_open") else _Glances()
    watched = [_Node(name, record, data, waiting) for name, (record, data) in nodes.items()]
    try:
        while not until.is_set():
            for node in watched:
                if node.look():
                    yield Exit(node.name, time.monotonic(), _HOW)
            for name in waiting.wait(_LOOK_SECONDS):
                yield Exit(name, time.monotonic(), _HOW)
    finally:
        waiting.close()


class _Waiting(Protocol):
    """Waits for processes."""

    def add(self, name: str, process: psutil.Process) -> bool:
        """Wait for this one, too; False where it is gone already."""

    def wait(self, seconds: float) -> Sequence[str]:
        """The nodes whose process has ended, as soon as one has; nothing after so many seconds."""

    def close(self) -> None:
        """Wait for none any more."""


class _Node:
    """What was seen of one node."""

    def __init__(self, name: str, record: Path, data: Path, waiting: _Waiting) -> None:
        self.name = name
        self._record = record
        self._data = data
        self._waiting = waiting
        self._files: Sequence[object] | None = None  # as they were when they were read last
        self._known: frozenset[int] = frozenset()  # processes whose end is told, will be, or is history

    def look(self) -> bool:
        """Wait for its process, where that is a new one; whether one has come and gone since the last look."""
        files = [_identity(path) for path in (self._record, self._data / "postmaster.pid")]
        if files == self._files:
            return False
        first, self._files = self._files is None, files
        process = processes.find(self._record, self._data)
        named = processes.named(self._record, self._data)
        fresh, self._known = named - self._known, named
        if process and process.pid in fresh:
            return not self._waiting.add(self.name, process)
        return bool(fresh) and not process and not first


def _identity(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class _Kernel:
    """By file descriptors that stand for processes, which costs nothing while none ends."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._poll = select.poll()

    def add(self, name: str, process: psutil.Process) -> bool:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        if not process.is_running():  # a stranger has got its id meanwhile
            os.close(descriptor)
            return False
        self._names[descriptor] = name
        self._poll.register(descriptor, select.POLLIN)
        return True

    def wait(self, seconds: float) -> Sequence[str]:
        ended = [descriptor for descriptor, _ in self._poll.poll(seconds * 1000)]
        for descriptor in ended:
            self._poll.unregister(descriptor)
            os.close(descriptor)
        return [self._names.pop(descriptor) for descriptor in ended]

    def close(self) -> None:
        for descriptor in self._names:
            os.close(descriptor)


class _Glances:
    """By looking again and again, where the kernel knows no such thing (macOS)."""

    def __init__(self) -> None:
        self._processes: list[tuple[str, psutil.Process]] = []

    def add(self, name: str, process: psutil.Process) -> bool:
        self._processes.append((name, process))
        return True

    def wait(self, seconds: float) -> Sequence[str]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if ended := [each for each in self._processes if not processes.alive(each[1])]:
                self._processes = [each for each in self._processes if each not in ended]
                return [name for name, _ in ended]
            time.sleep(_GLANCE_SECONDS)
        return ()

    def close(self) -> None:
        """Nothing is held."""
