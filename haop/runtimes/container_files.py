"""The files of a stack's nodes, through the engine: read, collected, and lent by one node to another."""

from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from haop.model.containers import layout
from haop.project import ENV, Project
from haop.runtimes import kept_wal
from haop.runtimes.container_making import ContainerMaking

if TYPE_CHECKING:
    from haop.docker.compose import Compose
    from haop.docker.containers import Containers

CLUSTER = PurePosixPath("/var/lib/haop")  # a folder that all nodes share
_LENT = "lent"  # beside the data directory: its name, a dot, and this


class ContainerFiles:
    """A stack's containers, and what lies in the nodes' volumes, whether their containers run or not."""

    def __init__(self, project: Project, identity: str) -> None:
        self._spec = project.spec
        self._project = project
        self._identity = identity
        self._data = PurePosixPath(layout(project.spec.postgres, adopted=bool(project.spec.adopted)).data)
        self._kept = self._data.with_name(f"{self._data.name}.{kept_wal.FOLDER}")
        self._lent = self._data.with_name(f"{self._data.name}.{_LENT}")

    @cached_property
    def _containers(self) -> "Containers":
        from haop.docker.containers import Containers  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

        return Containers(self._spec.name, self._identity, self._spec.adopted)

    @cached_property
    def _compose(self) -> "Compose":
        from haop.docker.compose import Compose  # noqa: PLC0415 - beside the other

        return Compose(self._project.stack / "compose.yaml", self._project.root / ENV)

    @cached_property
    def _making(self) -> ContainerMaking:
        return ContainerMaking(self._project, self._containers, self._compose, self._data, CLUSTER)

    def read(self, name: str, path: PurePosixPath) -> bytes | None:
        """A file of its data."""
        self._reach(name)
        return self._containers.read(name, self._data / path)

    def pieces(self, name: str, path: PurePosixPath, offset: int) -> Generator[bytes, None, None]:
        """A part of it."""
        from haop.docker import archives  # noqa: PLC0415 - only who asks the engine pays for it

        self._reach(name)
        return archives.pieces(self._containers, name, self._data / path, offset)

    def holds(self, name: str, path: PurePosixPath) -> bool:
        """Whether there is such a file."""
        self._reach(name)
        return self._containers.size(name, self._data / path) is not None

    def _reach(self, name: str) -> None:
        """The engine shows files through a container alone."""
        if not self._containers.near(name, self._data):
            self._making.ensure(name)

    def lend(self, name: str, files: Sequence[PurePosixPath], to: str) -> PurePosixPath:
        """Copies beside the borrower's data."""
        from haop.docker import archives  # noqa: PLC0415 - only who asks the engine pays for it

        archives.copy(self._containers, name, [self._data / file for file in files], to, self._lent)
        return self._lent

    def take_back(self, to: str) -> None:
        """Removed by a program in the borrower's container."""
        if self._containers.inspect(to) and self._containers.size(to, self._lent) is not None:
            self._containers.execute(to, "rm", "-rf", str(self._lent))

    def collect(self, name: str, into: Path) -> Sequence[str]:
        """What the node script has kept beside the data."""
        if not self._containers.inspect(name):
            return ()
        return kept_wal.collect_from_container(self._containers, name, self._kept, into)

    def discard(self, name: str, kept: Sequence[str]) -> None:
        """Removed by a program in the container, where it runs."""
        kept_wal.discard_in_container(self._containers, name, self._kept, kept)
