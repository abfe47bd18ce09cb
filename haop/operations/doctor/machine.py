"""Checks of the machine: programs, disks, memory, clocks."""

from collections import defaultdict
from functools import partial

from haop.model.diagnosis import Check, Gap, Group, Told, checking, error, warning
from haop.model.examined import ContainerSeen, PlaceSeen, ServerSeen
from haop.operations.doctor.facts import Facts

_check = partial(checking, Group.MACHINE)

SKEW_SECONDS = 1.0
_MB = 2**20


@_check(
    "program-missing",
    "Docker and Compose, or PostgreSQL, are here and new enough",
    why=(
        "Compose v1 is gone, and an engine older than 20.10 lacks what the stack uses (Docker's release "
        "notes, Compose 1.29.2 and Engine 20.10)."
    ),
)
def program_missing(facts: Facts) -> Told:
    """What haop needs and this machine has not, or too old."""
    for message, hint in facts.machine.problems:
        yield error(message, hint=hint)


@_check(
    "disk-short",
    "the disk has room for all the WAL that may be kept",
    why=(
        "A full disk stops the primary: 57 MB of data kept 40 GB of WAL (KBVE/kbve#7795, "
        "zalando/postgres-operator#2012)."
    ),
)
def disk_short(facts: Facts) -> Told:
    """A disk that the WAL limits can fill. Nodes on one disk share its room."""
    yield from facts.silent
    yield from (place for place in facts.places.values() if isinstance(place, Gap))
    nodes: dict[str, list[str]] = defaultdict(list)
    for name in facts.answering:
        if isinstance(place := facts.places.get(name), PlaceSeen):
            nodes[place.filesystem].append(name)
    for here in nodes.values():
        free = min(place.free_bytes for name in here if isinstance(place := facts.places[name], PlaceSeen))
        growth = sum(wal_growth(facts.answering[name]) for name in here)
        if free >= growth:
            continue
        told = f"{free // _MB} MB are free where the data of {', '.join(here)} lie; WAL may grow by {growth // _MB} MB"
        hint = "make room, or lower max_slot_wal_keep_size and max_wal_size in haop.toml, then haop up"
        yield (error if free < growth / 4 else warning)(told, node=here[0] if len(here) == 1 else None, hint=hint)


def wal_growth(server: ServerSeen) -> int:
    """Bytes that `pg_wal` may still grow by: checkpoints, and what slots may retain where that has a limit."""
    kept = max(_bytes(server, "max_slot_wal_keep_size"), _bytes(server, "wal_keep_size"))
    return max(0, _bytes(server, "max_wal_size") + kept - server.wal_bytes)


@_check(
    "memory-short",
    "shared_buffers fit into memory",
    why=(
        "The kernel kills what exceeds its memory, and a killed server recovers before it answers "
        "(PostgreSQL's manual, 'Linux Memory Overcommit')."
    ),
)
def memory_short(facts: Facts) -> Told:
    """Buffers that do not fit: the kernel ends the server when they fill."""
    yield from facts.silent
    buffers = {name: _bytes(seen, "shared_buffers") for name, seen in facts.answering.items()}
    for name, wanted in buffers.items():
        limit = seen.memory_bytes if isinstance(seen := facts.containers.get(name), ContainerSeen) else 0
        if limit and wanted > limit / 2:
            yield warning(
                f"shared_buffers is {wanted // _MB} MB of the {limit // _MB} MB that {name} may use", node=name,
                hint="a quarter of it is a good start: shared_buffers or compose.memory in haop.toml",
            )  # fmt: skip
    total, memory = sum(buffers.values()), facts.machine.memory_bytes
    if total > memory / 2:
        yield warning(
            f"shared_buffers of all nodes are {total // _MB} MB of the machine's {memory // _MB} MB",
            hint="a quarter of the memory, shared by the nodes, is a good start: shared_buffers in haop.toml",
        )


@_check(
    "clock-skew", "clocks agree", why="Lag in seconds compares two clocks (prometheus-community/postgres_exporter#385)."
)
def clock_skew(facts: Facts) -> Told:
    """Servers whose clocks are not this machine's: lag in seconds and merged logs then lie."""
    yield from facts.silent
    for name, seen in facts.answering.items():
        if abs(seen.skew_seconds) > SKEW_SECONDS + seen.skew_within_seconds:
            yield warning(
                f"the clock of {name} is {seen.skew_seconds:+.1f} s from this machine's", node=name,
                hint="let a time service run on both: timedatectl",
            )  # fmt: skip


@_check(
    "data-mode",
    "data directories belong to their servers alone",
    why=("A server refuses data of another owner or mode, at its next start (docker-library/postgres#558, #780)."),
)
def data_mode(facts: Facts) -> Told:
    """A data directory that its server cannot use, or that others can read."""
    for name, place in facts.places.items():
        if isinstance(place, Gap):
            yield place
        elif not place.owned or place.mode not in {0o700, 0o750}:
            whose = "" if place.owned else ", and not its server's user's"
            yield error(
                f"the data directory of {name} has mode {place.mode:o}{whose}", node=name,
                hint="chmod 700, and chown it to the user that runs the server",
            )  # fmt: skip


def _bytes(server: ServerSeen, setting: str) -> int:
    """A size that may be -1."""
    return max(0, int(server.settings[setting]))


MACHINE: tuple[Check[Facts], ...] = (
    program_missing,
    disk_short,
    memory_short,
    clock_skew,
    data_mode,
)
