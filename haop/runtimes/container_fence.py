"""Fences around containers: dead, marked beside their data, not started again by the engine."""

import logging
import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from haop.errors import HaopError
from haop.model.service import State
from haop.runtimes import markers, seal

if TYPE_CHECKING:
    from haop.docker.containers import Containers

_LOG = logging.getLogger(__name__)


class ContainerFence:
    """The markers of a stack's nodes. Each lies in its node's volume, beside the data directory."""

    def __init__(self, containers: "Containers", data: PurePosixPath, nodes: Sequence[str]) -> None:
        self._containers = containers
        self._data = data
        self._marker = data.with_name(f"{data.name}.fence")
        self._room = data.with_name(f"{data.name}.fence.room")  # so that there is place for the marker on a full disk
        self._replaced = data.with_name(f"{data.name}.replaced")
        self._nodes = nodes

    def keeps_back(self, name: str) -> bool:
        """Whether there is a marker that keeps the node from being the primary."""
        return self._stands(name) and markers.keeps_back(self.word(name))

    def _stands(self, name: str) -> bool:
        return self._containers.size(name, self._marker) is not None

    def word(self, name: str) -> str:
        """What the marker says; "" where there is none."""
        if not self._stands(name):  # the usual answer, and ten times as quick as reading
            return ""
        return (self._containers.read(name, self._marker) or b"").decode().strip()

    def raise_around(self, name: str) -> None:
        """Not restarted, killed, marked, the mark on the disk: in this order, each verified.

        Raises:
            HaopError: it is not fenced; nothing may be promoted.
        """
        self._containers.set_restart(name, "no")
        self._end(name)
        self._mark(name, markers.fenced(self.word(name)))
        self._seal(name)
        self._end(name)  # what the engine began before it was told no has found the marker by now, or ends here

    def intruder(self, name: str) -> str | None:
        """What serves the data of a fenced node; None also where it is not fenced."""
        return self._served(name) if self._is_closed(name) else None

    def _served(self, name: str) -> str | None:
        found = self._containers.servers(name)
        return f"container {' and '.join(found)}" if found else None

    def _is_closed(self, name: str) -> bool:
        return markers.closes(self.word(name), lambda: self._works(name))

    def _works(self, name: str) -> bool:
        found = self._containers.inspect(name)
        return found is not None and found["State"]["Running"] and not found["State"]["Restarting"]

    def enforce(self, name: str) -> str | None:
        """The fence holds: its data are sealed, and what serves them is ended; says what that was."""
        if not self._is_closed(name):
            return None
        self._seal(name)
        if found := self._served(name):
            self._end(name)
        return found

    def open_for_rejoin(self, name: str, *, rebuild: bool) -> None:
        """Let it start again, but only as a standby; for a rebuild, not by the engine: that would hide how it ended."""
        self.enforce(name)
        word = markers.readmitted(name, self.word(name), rebuild=rebuild)
        if markers.is_rebuild(word):
            self._containers.set_restart(name, "no")
        self._mark(name, word)

    def open_for_reinstatement(self, name: str) -> None:
        """Let it start again as what it was."""
        self.enforce(name)
        self._mark(name, markers.reinstated(name, self.word(name)))

    def give_back(self, name: str) -> None:
        """What it said before a rebuild, unless that is only about to remove what it has replaced.

        No file can be removed from a container that does not run. Who had no marker was a standby, and as that it is
        readmitted.
        """
        word = self.word(name)
        if markers.is_rebuild(word) and self._containers.size(name, self._replaced) is None:
            self._mark(name, markers.before_rebuild(word) or markers.REJOIN)

    def _end(self, name: str) -> None:
        """No container works in the node's data any more: its own, and what somebody has run beside it."""
        self._containers.kill_users(name)

    def _mark(self, name: str, word: str) -> None:
        """On the disk, and verified. Where haop cannot see to that, a container that runs does: all have one kernel."""
        if not self._containers.write(name, self._marker, f"{word}\n", self._room):
            self._flush([node for node in self._nodes if node != name])
        if self.word(name) != word:
            raise HaopError(f"cannot mark {name}: the marker is not there", hint="promote nothing; look at the volume")

    def _seal(self, name: str) -> None:
        """PostgreSQL itself refuses to start there. Where that cannot be, the marker stands and haop enforces it."""
        if self._containers.size(name, self._data / "PG_VERSION") is None:
            return
        try:
            self._containers.ensure(name, self._data / seal.CONF, seal.line(name))
            self._containers.ensure(name, self._data / seal.NOTE, seal.note(name, self._marker.name))
        except HaopError as error:
            _LOG.warning("cannot seal the data of %s: %s", name, error.message)

    def _flush(self, peers: Sequence[str]) -> None:
        """On all disks: volumes may lie on different ones."""
        for peer in peers:
            found = self._containers.inspect(peer)
            if found and found["State"]["Status"] == State.RUNNING:
                self._containers.execute(peer, "sync")
                return
        os.sync()
