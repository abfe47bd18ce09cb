"""The control file of a data directory: what a stopped server last wrote about itself."""

import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

from haop.errors import HaopError
from haop.model.lsn import Lsn

PATH = PurePosixPath("global/pg_control")

# pg_control.h, ControlFileData, the same from 15 to 18: identifier, versions, state, time, position of the checkpoint,
# and of a copy of that its redo position and timeline; after the rest of the copy minRecoveryPoint, and its timeline.
_HEAD = struct.Struct("<QIIi4xqQQI84xQI")
_CLEAN = {1, 2}  # DB_SHUTDOWNED, DB_SHUTDOWNED_IN_RECOVERY
_STANDBY = {2, 5}  # DB_SHUTDOWNED_IN_RECOVERY, DB_IN_ARCHIVE_RECOVERY


@dataclass(frozen=True, slots=True)
class Control:
    """The part of a control file that says how a server ended."""

    system: str  # PostgreSQL's identifier of the cluster
    clean: bool  # it was shut down, and did not crash
    standby: bool  # it had not become primary: until it accepts writes it says so
    timeline: int  # of its last checkpoint; a promotion since then has a history file
    checkpoint: Lsn  # where its last checkpoint record begins; of a clean shutdown, its very last record
    needed: Lsn  # a standby is consistent, and lets clients in, once it has replayed so far; 0/0: no more than it has
    needed_timeline: int


def parse(content: bytes) -> Control:
    """Read the bytes of `global/pg_control`.

    Raises:
        HaopError: they are too few.
    """
    if len(content) < _HEAD.size:
        raise HaopError(
            "the control file is cut short", hint="the data directory is damaged: haop rebuild NODE clones it again"
        )
    system, *_, state, _, checkpoint, _, timeline, needed, its_timeline = _HEAD.unpack_from(content)
    return Control(
        str(system), state in _CLEAN, state in _STANDBY, timeline, Lsn(checkpoint), Lsn(needed), its_timeline
    )
