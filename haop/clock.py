"""Time, as an argument: `monotonic()` to measure, `now()` to report, `sleep()` to wait."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; differences are durations."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Seconds of the system's monotonic clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)


SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as two clocks tell it: the wall's, which is set at times, and one that only runs, until a boot."""

    wall: datetime
    boot: str  # which boot the seconds are counted from; empty where the machine does not tell
    seconds: float


def moment() -> Moment:
    """Now. The seconds go on while the machine sleeps."""
    seconds = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return Moment(SYSTEM_CLOCK.now(), boot_id(), seconds)


@cache
def boot_id() -> str:
    """What tells this run of the machine from all others; empty where it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
