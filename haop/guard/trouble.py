"""What does not work, as of now, and the threads that are started again where they fail."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from haop.errors import HaopError

_LOG = logging.getLogger(__name__)
_SAME_SECONDS = 300.0
# Whoever meets a trouble meets it again within so long, unless it is over.
_LASTS_SECONDS = 15.0
_KEPT = 256
_SHORTEST_PAUSE, _LONGEST_PAUSE, _WELL_SECONDS = 0.1, 30.0, 60.0


@dataclass(frozen=True, slots=True)
class _Trouble:
    why: str
    until: float  # when it is forgotten, unless it is met again


class Troubles:
    """What does not work, by what it concerns. It is logged once in a while, and shown for as long as it lasts."""

    def __init__(self) -> None:
        self._now: dict[str, _Trouble] = {}
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def meet(self, about: str, why: str, *, lasts: float = _LASTS_SECONDS) -> bool:
        """It does not work. Whether that is to be told: it is new, or was told long ago."""
        now, key = time.monotonic(), f"{about}: {why}"
        with self._lock:
            self._now[about] = _Trouble(why, now + lasts)
            if now - self._logged.get(key, -_SAME_SECONDS) < _SAME_SECONDS:
                return False
            if len(self._logged) >= _KEPT:
                self._logged.clear()
            self._logged[key] = now
        return True

    def over(self, about: str) -> None:
        """It works."""
        with self._lock:
            self._now.pop(about, None)

    def now(self) -> list[str]:
        """What does not work now, a line each."""
        now = time.monotonic()
        with self._lock:
            self._now = {about: found for about, found in self._now.items() if found.until > now}
            return [f"{about}: {found.why}" for about, found in sorted(self._now.items())]


def described(error: Exception) -> str:
    """What went wrong, in a line."""
    if isinstance(error, HaopError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{f' ({error.filename})' if error.filename else ''}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def expected(error: Exception) -> bool:
    """Whether its line says everything; else where it came from is wanted, too."""
    return isinstance(error, HaopError | OSError)


def watched(about: str, work: Callable[[], None], until: threading.Event, troubles: Troubles) -> threading.Thread:
    """A thread that does that until the event is set: where it fails it begins anew, later each time."""

    def keep() -> None:
        failures = 0
        while not until.is_set():
            begun, pause = time.monotonic(), _SHORTEST_PAUSE
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody must go on watching
                if time.monotonic() - begun > _WELL_SECONDS:
                    failures = 0
                failures += 1
                pause = min(_SHORTEST_PAUSE * 2**failures, _LONGEST_PAUSE)
                if troubles.meet(about, described(error), lasts=pause + _LASTS_SECONDS):
                    _LOG.warning("%s: %s", about, described(error), exc_info=None if expected(error) else error)
            until.wait(pause)

    thread = threading.Thread(target=keep, name=about, daemon=True)
    thread.start()
    return thread
