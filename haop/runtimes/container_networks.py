"""The two networks of a stack: one for applications, one for replication; cut and mended."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from haop.errors import DeadlineExceeded, HaopError
from haop.model.service import State
from haop.waiting import wait_until

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
        missing = self.missing(found) if found else ()
        for network in missing:
            self._connect(name, network)
        if missing and self._runs(name):
            for peer in self._hosts:
                if peer != name and self._runs(peer) and self._replication in self._containers.networks(peer):
                    self._meet(name, peer)

    def _meet(self, name: str, peer: str) -> None:
        """The engine forgets a peer's name at times, and for good: then the node joins anew, then the peer does.

        Only replication passes over that network, and it resumes by itself.
        """
        host = self._hosts[peer]
        for again in (name, peer, None):
            with suppress(DeadlineExceeded):
                wait_until(lambda: self._finds(name, host), deadline=3, pause=0.1, waiting_for=f"{name} to find {host}")
                return
            if again:
                self._containers.disconnect(again, self._replication)
                self._connect(again, self._replication)
        hint = f"docker restart {self._stack}-{peer}-1, then haop up"
        raise HaopError(f"{name} is connected again, but does not find {host}", hint=hint)

    def _connect(self, name: str, network: str) -> None:
        alias = self._hosts[name] if network == self._replication else name
        self._containers.connect(name, network, [alias])

    def _runs(self, name: str) -> bool:
        found = self._containers.inspect(name)
        return found is not None and found["State"]["Status"] == State.RUNNING

    def _finds(self, name: str, host: str) -> bool:
        try:
            self._containers.execute(name, "getent", "hosts", host)
        except HaopError:
            return False
        return True
