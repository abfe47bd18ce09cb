"""What every runtime can do."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias, runtime_checkable

from haop.model.endpoint import Endpoint
from haop.model.service import Ending, Exit, LogLine, Service, ServiceState

# Tells that something begins which may take a while; what is called inside it says how far it is.
Step: TypeAlias = Callable[[str], AbstractContextManager[Callable[[str], None]]]


STOP_SECONDS = 120


class Runtime(Protocol):
    """Runs services, each under its name. Every method is safe to call twice."""

    @property
    def tls(self) -> bool:
        """Whether the servers that it runs can speak TLS."""

    @property
    def unattended(self) -> bool:
        """Whether services start, the first time too, with no haop around."""

    @property
    def remark(self) -> str | None:
        """What an operator should know before anything starts."""

    def places(self) -> Mapping[str, Endpoint]:
        """Where each node is reached by its peers."""

    def networks(self) -> Sequence[str]:
        """What `pg_hba.conf` calls the addresses that clients and peers come from."""

    def endpoint(self, name: str) -> Endpoint:
        """Where a node is reached from the host that haop runs on."""

    def render(self, services: Callable[[], Mapping[str, Service]]) -> Mapping[str, str]:
        """The files of `stack/` that only this runtime needs; asks for the services where these say them."""

    def check(self, settings: str) -> None:
        """Refuse, with the reason, what could not be started: a port in use, settings that PostgreSQL rejects."""

    def provide(self, services: Mapping[str, Service]) -> None:
        """Lay out the secrets that services start with, where they would start with no haop around."""

    def create(self, services: Mapping[str, Service], step: Step) -> Sequence[str]:
        """Make what services need to be started: images, networks, volumes, containers. Starts nothing.

        Returns:
            Services that run with an older configuration.

        Raises:
            Refused: what is there already is not this cluster's.
        """

    def refresh(self, names: Sequence[str]) -> None:
        """Let nodes that run have the secrets that `provide` has laid out since they were started."""

    def strays(self) -> Sequence[str]:
        """Services, or data of services, that `haop.toml` no longer names."""

    def remove(self, name: str) -> None:
        """Stop such a service, and delete it with its data."""

    def state(self, name: str) -> ServiceState:
        """What it knows of a service without asking the server in it."""

    def start(self, service: Service) -> None:
        """Start it and return at once; one that runs is left alone."""

    def stop(self, name: str, *, seconds: int = STOP_SECONDS) -> None:
        """Stop it cleanly and wait for its end; after so many seconds it is killed, or the wait ends in an error."""

    def fence(self, name: str) -> None:
        """Dead, marked, will not restart; verified, or an error. A rewind that this interrupts stays marked as such."""

    def enforce(self, name: str) -> str | None:
        """End what serves the data of a service whose marker says "fenced"; PostgreSQL itself refuses to start there.

        Returns:
            What that was; None where the fence held, and where there is none.

        Raises:
            HaopError: it goes on.
        """

    def readmit(self, name: str, *, rebuild: bool = False) -> None:
        """Let a service start again, but only as the follower of another: replaces the fence.

        Args:
            name: of the service.
            rebuild: its data are replaced by a clone, once that is whole.

        Raises:
            HaopError: a rewind of its data was interrupted: they must not start at all, only be replaced.
        """

    def reinstate(self, name: str) -> None:
        """Let a fenced service start again as what it was: replaces the fence. For who knows that nobody was promoted.

        Raises:
            HaopError: a rewind of its data was interrupted: they must not start at all.
        """

    def read(self, name: str, path: PurePosixPath) -> bytes | None:
        """A file of its data, of a stopped service too; None where there is no such file."""

    def pieces(self, name: str, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
        """The same from an offset on, in pieces, none where there is no such file. Who has enough closes it."""

    def lend(self, name: str, files: Sequence[PurePosixPath], to: str) -> PurePosixPath:
        """Let the server of a running service read files of one folder of a stopped service's data.

        Returns:
            The folder, as that server sees it. What is not there of the files is left out.
        """

    def take_back(self, to: str) -> None:
        """What was lent to a running service is gone from it; no harm where nothing was."""

    def rebuilding(self, name: str) -> bool:
        """Whether its data are to be replaced by a clone, and are not yet."""

    def give_back(self, name: str) -> None:
        """A stopped service is as it was before `readmit(rebuild=True)`: its data, and its marker."""

    def collect(self, name: str, into: Path) -> Sequence[str]:
        """Copy the WAL that was kept beside its data into that folder, made where needed; the names of what was."""

    def discard(self, name: str, kept: Sequence[str]) -> None:
        """Remove what was kept beside its data under these names; what cannot be removed now stays."""

    def holds(self, name: str, path: PurePosixPath) -> bool:
        """Whether its data have that file, of a stopped service too."""

    def rejoining(self, name: str) -> bool:
        """Whether it runs to become a standby again: its marker says so, and nothing may end it now."""

    def logs(self, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
        """Log entries in the order of their times; no more of them is read than lies after `since`."""

    def newest_logs(self, name: str) -> Iterator[LogLine]:
        """Entries of one log, the newest first; what nobody asks for is not read."""

    def exits(self, names: Sequence[str], until: threading.Event) -> Iterator[Exit]:
        """Each end of these nodes' servers, the moment that the runtime knows of it; pushed, not polled.

        Whoever ended it, and however; once for each end. What has ended before the first look is not told. Nodes may be
        started again, made anew or not be there yet. When what tells the ends was away itself (an engine that is
        restarted), the nodes that do not run once it is back are told. It costs next to nothing while nothing happens.

        Args:
            names: of the nodes.
            until: when it is set, this ends within about a second.

        Raises:
            HaopError: nothing can be told of any node; also later, never silently.
        """

    def endings(self) -> Sequence[Ending]:
        """How each service ended last, as far as the runtime remembers."""

    def down(self, *, volumes: bool, say: Callable[[str], None]) -> None:
        """Remove what `create` made, all stopped; with `volumes`, the data of all services too."""

    def psql(self) -> Path | None:
        """The machine's own psql that fits the servers best; None where it has none."""

    # The failures that every runtime can stage.

    def kill(self, name: str) -> None:
        """End every process of it at once, with no chance to say goodbye."""

    def pause(self, name: str) -> None:
        """Its processes keep their sockets and memory, and answer nothing."""

    def resume(self, name: str) -> None:
        """Let them go on."""


@runtime_checkable
class Partitionable(Protocol):
    """A runtime whose services have networks that can be cut."""

    def cut(self, name: str, *, clients: bool = True) -> None:
        """Cut a node off from its peers, and from its clients unless told otherwise; its processes go on."""

    def mend(self, name: str) -> None:
        """Undo it."""


@runtime_checkable
class Enterable(Protocol):
    """A runtime whose services have programs of their own."""

    def psql_within(self, name: str, arguments: Sequence[str], *, terminal: bool) -> tuple[str, ...]:
        """What runs psql beside a node's server, as the superuser; no secret is in it.

        Raises:
            HaopError: the node does not run.
        """
