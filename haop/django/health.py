"""The health of the databases as this application reaches them: values, a judgement, the answer's shape. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from haop.django.config import DEFAULT, REPLICA

PRIMARY, STANDBY, UNKNOWN = "primary", "standby", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server as it answered, or why it did not: then its role is unknown, which is never healthy."""

    host: str  # with its port
    role: str = UNKNOWN
    name: str | None = None
    timeline: int | None = None
    position: int | None = None  # in the WAL, bytes: inserted by a primary, replayed by a standby
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    latency_ms: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What every server said."""

    servers: tuple[Server, ...]
    redis: bool | None  # None: the application has none

    @property
    def writes(self) -> bool:
        """One primary answers; of two nobody knows which is right."""
        return [server.role for server in self.servers].count(PRIMARY) == 1

    @property
    def standby(self) -> bool:
        """A standby answers."""
        return any(server.role == STANDBY for server in self.servers)

    @property
    def status(self) -> str:
        """`healthy`; `degraded`: reads only, no standby, or no Redis; `unavailable`: nothing answers."""
        if not (self.writes or self.standby):
            return "unavailable"
        return "healthy" if self.writes and self.standby and self.redis is not False else "degraded"

    def document(self, routes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As `/api/health/` answers. Without `routes`, no name of a host and no reason; never a credential.

        Args:
            routes: what this process knows of its aliases, for those who may see details.
        """
        told: dict[str, Any] = {
            "status": self.status,
            "databases": {DEFAULT: _word(self.writes), REPLICA: _word(self.standby)},
        }
        if self.redis is not None:
            told["redis"] = _word(self.redis)
        if routes is not None:
            told["details"] = {"servers": [asdict(server) for server in self.with_lag()], "routes": dict(routes)}
        return told

    def with_lag(self) -> tuple[Server, ...]:
        """The servers, each standby with the bytes that it has still to replay."""
        ahead = [server.position for server in self.servers if server.role == PRIMARY and server.position is not None]
        if len(ahead) != 1:
            return self.servers
        return tuple(
            replace(server, lag_bytes=max(0, ahead[0] - server.position))
            if server.role == STANDBY and server.position is not None else server
            for server in self.servers
        )  # fmt: skip


def _word(connected: bool) -> str:  # noqa: FBT001 - the word for it
    return "connected" if connected else "disconnected"
