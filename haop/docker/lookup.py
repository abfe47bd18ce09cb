"""Which container of one Compose project is whose, and what the engine knows of it."""

import threading
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import docker
from docker.errors import NotFound

from haop.docker.engine import connect, translated
from haop.errors import HaopError, Refused
from haop.waiting import wait_until

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_FOLDER = "com.docker.compose.project.working_dir"
IDENTITY = "io.haop.id"
# What the engine calls a container that it is removing, and one that it could not remove.
_GOING = {"removing", "dead"}
_REMOVAL_SECONDS = 30.0


class Lookup:
    """Asks the engine. A service without a container is an answer of its own: None."""

    def __init__(self, project: str, identity: str, adopted: Mapping[str, str] = MappingProxyType({})) -> None:
        self.adopted = adopted  # service to a volume that is not labelled as this cluster's
        self.project = project
        self.identity = identity
        self._ids: dict[str, str] = {}
        self._client: docker.APIClient | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> docker.APIClient:
        """The engine; refuses when none answers."""
        with self._lock:  # nodes are observed at the same time
            if self._client is None:
                self._client = connect()
                weakref.finalize(self, self._client.close)
            return self._client

    def inspect(self, service: str) -> dict[str, Any] | None:
        """What the engine knows of the container; None where there is none, or will be none in a moment."""
        with translated(f"look at {service}"):
            for _ in range(2):  # the second time where it was removed or recreated since it was looked up
                if not (found := self.known(service)):
                    return None
                try:
                    told = dict(self.client.inspect_container(found))
                except NotFound:
                    self._ids.pop(service, None)
                    continue
                if told["State"]["Status"] not in _GOING:
                    return told
                self._await_removal(service, found)
        return None

    def _await_removal(self, service: str, container: str) -> None:
        """Its files can be seen no more, though its volumes are as they were: nobody may take them for empty."""

        def gone() -> bool:
            try:
                self.client.inspect_container(container)
            except NotFound:
                return True
            return False

        wait_until(
            gone, deadline=_REMOVAL_SECONDS, pause=0.02, waiting_for=f"the container of {service} to be removed",
            hint="the engine has begun it: docker ps -a, then docker rm",
        )  # fmt: skip
        self._ids.pop(service, None)

    def id(self, service: str) -> str:
        """The container's id.

        Raises:
            HaopError: there is none.
        """
        if not (found := self.known(service)):
            raise HaopError(f"there is no container of {service}", hint="haop up makes it")
        return found

    def known(self, service: str) -> str | None:
        """The same where there is one; one that was removed since it was asked for last may be named."""
        return self._ids.get(service) or self._find(service)

    def require(self, service: str) -> None:
        """Tell a file that is not there from a container that is not there."""
        if self.inspect(service) is None:
            raise HaopError(f"the container of {service} has just gone", hint="somebody else works on this stack")

    def _find(self, service: str) -> str | None:
        # Not what somebody runs beside it: `docker compose run db1 ...`.
        labels = [f"{_PROJECT}={self.project}", f"{_SERVICE}={service}", "com.docker.compose.oneoff=False"]
        listed = self.client.containers(all=True, filters={"label": labels})
        self._check(listed)
        if len(listed) > 1:
            names = " and ".join(container["Names"][0].lstrip("/") for container in listed)
            raise Refused(f"{service} has more than one container: {names}", hint="remove the one that does not run")
        if listed:
            self._ids[service] = listed[0]["Id"]
        return self._ids.get(service)

    def check_all(self) -> None:
        """Refuse to share the project's name with containers that are not this cluster's.

        Raises:
            Refused: there are such.
        """
        with translated("list containers"):
            listed = self.client.containers(all=True, filters={"label": f"{_PROJECT}={self.project}"})
        self._check(listed)

    def _check(self, listed: list[dict[str, Any]]) -> None:
        for container in listed:
            if container["Labels"].get(IDENTITY) != self.identity:
                folder = container["Labels"].get(_FOLDER, "elsewhere")
                raise Refused(
                    f"a stack named {self.project} exists already, from {folder}",
                    hint="give this cluster another name in haop.toml, or take the other one down where it belongs",
                )
