"""What every runtime can do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

from haop.model.endpoint import Endpoint
from haop.model.service import LogLine, Service, ServiceState


class Runtime(Protocol):
    """Runs services, each under its name. Every method is safe to call twice."""

    @property
    def tls(self) -> bool:
        """Whether the servers that it runs can speak TLS."""

    def places(self) -> Mapping[str, Endpoint]:
        """Where each service is reached by its peers."""

    def networks(self) -> Sequence[str]:
        """The CIDR blocks that clients and peers come from."""

    def endpoint(self, name: str) -> Endpoint:
        """Where a service is reached from the host that haop runs on."""

    def check(self, settings: str) -> None:
        """Refuse, with the reason, what could not be started: a port in use, settings that PostgreSQL rejects."""

    def state(self, name: str) -> ServiceState:
        """What it knows of a service without asking the server in it."""

    def start(self, service: Service) -> None:
        """Start it and return at once; one that runs is left alone."""

    def stop(self, name: str) -> None:
        """Stop it cleanly and wait for its end."""

    def fence(self, name: str) -> None:
        """Dead, marked, will not restart; verified, or an error."""

    def readmit(self, name: str) -> None:
        """Let a service start again, but only as the follower of another: replaces the fence."""

    def read_data(self, name: str, path: PurePosixPath) -> bytes | None:
        """A file below its data, of a stopped service too; None where there is no such file."""

    def logs(self, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
        """Log entries in the order of their times."""

    def remove_data(self, say: Callable[[str], None]) -> None:
        """Delete the data of all services, which must be stopped."""


class Killable(Protocol):
    """A runtime that can end a service as a crash would."""

    def kill(self, name: str) -> None:
        """End every process of it at once, with no chance to say goodbye."""


class Pausable(Protocol):
    """A runtime that can make a service hang."""

    def pause(self, name: str) -> None:
        """Its processes keep their sockets and memory, and answer nothing."""

    def resume(self, name: str) -> None:
        """Let them go on."""
