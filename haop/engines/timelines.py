"""The numbers of timelines: no promotion takes one that another promotion has had.

PostgreSQL gives a new timeline the number after the last for which it finds a history file, from its own on without a
gap (timeline.c, "findNewestTimeLine"). A standby that has slept through a promotion finds none, and would take a number
that is another's: servers that compare numbers, as pg_rewind and a standby that asks for its stream do, would then take
two histories for one.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from haop import state_file
from haop.errors import HaopError
from haop.model.status import ClusterStatus
from haop.runtimes.base import Runtime

_LOG = logging.getLogger(__name__)
_WAL = PurePosixPath("pg_wal")


class Timelines:
    """The highest number that was ever promoted to: a record, and what servers and disks show."""

    def __init__(self, record: Path, runtime: Runtime, nodes: Sequence[str]) -> None:
        self._record = record
        self._runtime = runtime
        self._nodes = nodes

    def highest(self, status: ClusterStatus) -> int:
        """As far as anybody can tell now."""
        highest = max([1, self.recorded(), *(node.server.timeline for node in status.reachable)])
        for name in self._nodes:
            try:
                while self._holds(name, highest + 1):
                    highest += 1
            except (HaopError, OSError) as error:  # the record is for that
                _LOG.info("cannot see the timelines of %s: %s", name, error)
        return highest

    def recorded(self) -> int:
        """What the record says; 0 where there is none."""
        return self._read()[0]

    def promoting(self) -> str | None:
        """Who was to be promoted to it, where nobody has noted that it was."""
        return self._read()[1]

    def _holds(self, node: str, timeline: int) -> bool:
        return self._runtime.holds(node, _WAL / f"{timeline:08X}.history")

    def _read(self) -> tuple[int, str | None]:
        try:
            number, *node = self._record.read_text(encoding="utf-8").split()
            return int(number), node[0] if node else None
        except (OSError, ValueError):
            return 0, None

    def has_begun(self, node: str) -> bool:
        """Whether that node has begun the timeline that was promoted to last: before that it accepts nothing."""
        return self._holds(node, self.recorded())

    def promoted(self) -> None:
        """Who was to be promoted is."""
        self._note(str(self.recorded()))

    def note(self, timeline: int, node: str) -> None:
        """Durable before that node takes that number. A full disk must not keep a cluster without a primary."""
        self._note(f"{timeline} {node}")

    def _note(self, content: str) -> None:
        making = self._record.with_suffix(".new")
        try:
            self._record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with making.open("w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            making.replace(self._record)
            state_file.sync_folder(self._record.parent)
        except OSError as error:
            _LOG.warning("cannot write %s: %s", self._record, error.strerror)
