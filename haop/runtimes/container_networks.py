"""The two networks of a stack: one for applications, one for replication; cut and mended."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from haop.docker.containers import Containers


class ContainerNetworks:
    """Which nodes are attached to what, and under which names: `hosts` are those that only replication knows."""

    def __init__(self, containers: "Containers", stack: str, hosts: Mapping[str, str]) -> None:
        self._containers = containers
        self._stack = stack
        self._hosts = hosts
        self._replication = f"{stack}-replication"

    @property
    def names(self) -> tuple[str, str]:
        """Applications' and replication's."""
        return self._stack, self._replication

    def missing(self, container: Mapping[str, Any]) -> Sequence[str]:
        """The networks that a node should be attached to, and is not."""
        attached = container["NetworkSettings"]["Networks"]
        return [network for network in self.names if network not in attached]

    def cut(self, name: str, *, clients: bool) -> None:
        """Off the replication network, and off the applications' unless told otherwise."""
        for network in self.names if clients else (self._replication,):
            self._containers.disconnect(name, network)

    def mend(self, name: str) -> None:
        """Back on both; the engine has forgotten the names that it had there."""
        found = self._containers.inspect(name)
        for network in self.missing(found) if found else ():
            self._connect(name, network)

    def _connect(self, name: str, network: str) -> None:
        alias = self._hosts[name] if network == self._replication else name
        self._containers.connect(name, network, [alias])
