"""Where a server is reached."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a TCP port, as seen from whoever asked."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
