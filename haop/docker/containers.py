"""The containers of one Compose project, by the names of their services."""

import io
import json
import tarfile
import threading
import weakref
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

import docker
from docker.errors import APIError, NotFound

from haop.docker.engine import connect, translated
from haop.docker.volumes import exists, users
from haop.errors import HaopError, Refused

_PROJECT, _SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_FOLDER = "com.docker.compose.project.working_dir"
_IDENTITY = "io.haop.id"


class Containers:
    """Asks the engine, and acts on containers. A service without a container is an answer of its own: None."""

    def __init__(self, project: str, identity: str, adopted: Mapping[str, str] = MappingProxyType({})) -> None:
        self._adopted = adopted  # service to a volume that is not labelled as this cluster's
        self._project = project
        self._identity = identity
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
        """What the engine knows of the container; None where there is none."""
        with translated(f"look at {service}"):
            for _ in range(2):  # the second time where it was removed or recreated since it was looked up
                if not (found := self._ids.get(service) or self._find(service)):
                    return None
                try:
                    return dict(self.client.inspect_container(found))
                except NotFound:
                    self._ids.pop(service, None)
        return None

    def id(self, service: str) -> str:
        """The container's id.

        Raises:
            HaopError: there is none.
        """
        if not (found := self._ids.get(service) or self._find(service)):
            raise HaopError(f"there is no container of {service}", hint="haop up makes it")
        return found

    def start(self, service: str) -> None:
        """Start it; no harm where it runs. One that the engine would start again in a while is started now."""
        found = self.inspect(service)
        with translated(f"start {service}"):
            if found and found["State"]["Restarting"]:
                self.client.stop(found["Id"], timeout=0)
            self.client.start(self.id(service))

    def stop(self, service: str, seconds: int) -> None:
        """Send the container's stop signal; SIGKILL after so many seconds."""
        with translated(f"stop {service}"):
            self.client.stop(self.id(service), timeout=seconds)

    def kill(self, service: str) -> None:
        """SIGKILL to all of it; no harm where it does not run. The engine's own attempts to start it again end, too."""
        with translated(f"kill {service}"):
            try:
                self.client.kill(self.id(service))
            except APIError as error:
                if error.status_code != HTTPStatus.CONFLICT:  # "is not running"
                    raise
            if (found := self.inspect(service)) and found["State"]["Restarting"]:
                self.client.stop(found["Id"], timeout=0)

    def kill_users(self, service: str) -> None:
        """SIGKILL to every container that has the service's volume, whatever it is.

        Raises:
            HaopError: one of them goes on.
        """
        volume = self._adopted.get(service, f"{self._project}_{service}")
        with translated(f"kill what uses the volume of {service}"):
            for container in users(self.client, volume):
                self.client.kill(container["Id"])
            if still := [c["Names"][0].lstrip("/") for c in users(self.client, volume)]:
                raise HaopError(f"{', '.join(still)} still uses the volume of {service}", hint="promote nothing")

    def pause(self, service: str) -> None:
        """Freeze all its processes."""
        with translated(f"pause {service}"):
            self.client.pause(self.id(service))

    def unpause(self, service: str) -> None:
        """Let them go on."""
        with translated(f"resume {service}"):
            self.client.unpause(self.id(service))

    def set_restart(self, service: str, policy: Literal["no", "unless-stopped"]) -> None:
        """Whether the engine starts it again by itself."""
        with translated(f"set the restart policy of {service}"):
            self.client.update_container(self.id(service), restart_policy={"Name": policy})  # type: ignore[arg-type]  # the count is optional

    def read(self, service: str, path: PurePosixPath) -> bytes | None:
        """A file of the container, running or not, volumes included; None where there is no such file."""
        with translated(f"read {path} of {service}"):
            try:
                chunks, _ = self.client.get_archive(self.id(service), str(path))
            except NotFound:
                self._require(service)
                return None
            with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
                member = archive.next()
                file = archive.extractfile(member) if member and member.isfile() else None
                return file.read() if file else b""

    def size(self, service: str, path: PurePosixPath) -> int | None:
        """Bytes of such a file; None where there is none. Ten times as quick as reading it."""
        with translated(f"look at {path} of {service}"):
            url = f"{self.client.base_url}/v{self.client.api_version}/containers/{self.id(service)}/archive"
            answer = self.client.head(url, params={"path": str(path)}, timeout=self.client.timeout)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                self._require(service)
                return None
            answer.raise_for_status()
            return int(json.loads(b64decode(answer.headers["X-Docker-Container-Path-Stat"]))["size"])

    def write(self, service: str, path: PurePosixPath, text: str) -> None:
        """Put a file into the container, running or not. It belongs to root and everybody can read it."""
        with translated(f"write {path} of {service}"):
            self.client.put_archive(self.id(service), str(path.parent), _packed(path, text))

    def execute(self, service: str, *argv: str) -> None:
        """Run a program in a running container to its end.

        Raises:
            HaopError: it ended with an error.
        """
        with translated(f"run {argv[0]} in {service}"):
            started = self.client.exec_create(self.id(service), list(argv))["Id"]
            told = self.client.exec_start(started)
            code = self.client.exec_inspect(started)["ExitCode"]
        if code:
            raise HaopError(f"{argv[0]} in {service} ended with code {code}: {told.decode(errors='replace').strip()}")

    def try_out(self, image: str, argv: list[str], path: PurePosixPath, text: str) -> str | None:
        """Run a program as the image's user postgres with one file, in a container that is removed again.

        Returns:
            What it said when it failed; None where it did well, or where the image is not here.
        """
        with translated(f"run {argv[0]} of {image}"):
            try:
                made = self.client.create_container(
                    image, argv[1:], entrypoint=argv[:1], user="postgres", network_disabled=True
                )
            except NotFound:
                return None
            try:
                self.client.put_archive(made["Id"], str(path.parent), _packed(path, text))
                self.client.start(made["Id"])
                code = self.client.wait(made["Id"])["StatusCode"]
                said = self.client.logs(made["Id"]).decode(errors="replace").strip()
            finally:
                self.client.remove_container(made["Id"], force=True, v=True)
        return " / ".join(said.splitlines()[-3:]) if code else None

    def log(self, service: str, since: datetime | None, *, follow: bool) -> Iterator[str]:
        """Lines that it has printed."""
        with translated(f"read the log of {service}"):
            stream = self.client.logs(
                self.id(service), stream=True, follow=follow, since=None if since is None else since.timestamp()
            )
            rest = b""
            for chunk in stream:
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
            if rest:
                yield rest.decode(errors="replace")

    def disconnect(self, service: str, network: str) -> None:
        """Take it off a network."""
        with translated(f"disconnect {service} from {network}"), suppress(NotFound):
            self.client.disconnect_container_from_network(self.id(service), network, force=True)

    def connect(self, service: str, network: str, aliases: list[str]) -> None:
        """Put it back; the engine has forgotten its aliases."""
        with translated(f"connect {service} to {network}"):
            self.client.connect_container_to_network(self.id(service), network, aliases=aliases)

    def has_image(self, image: str) -> bool:
        """Whether an image is here."""
        with translated(f"look at the image {image}"):
            try:
                self.client.inspect_image(image)  # type: ignore[no-untyped-call]
            except NotFound:
                return False
        return True

    def digest(self, image: str) -> str:
        """The registry's digest of an image, or its own id where it came from no registry."""
        with translated(f"look at the image {image}"):
            digests = self.client.inspect_image(image)["RepoDigests"]  # type: ignore[no-untyped-call]
        return str(digests[0]).partition("@")[2] if digests else image

    def have_networks(self, *names: str) -> bool:
        """Whether all of these networks exist."""
        with translated("list networks"):
            return set(names) <= {network["Name"] for network in self.client.networks(names=list(names))}

    def volume_exists(self, name: str) -> bool:
        """Whether the stack has that volume.

        Raises:
            Refused: there is one of that name, and it is another cluster's, or somebody else's.
        """
        if name in self._adopted:
            return exists(self.client, self._adopted[name])
        volume = f"{self._project}_{name}"
        with translated(f"look at the volume {volume}"):
            try:
                labels = self.client.inspect_volume(volume)["Labels"] or {}
            except NotFound:
                return False
        if labels.get(_IDENTITY) != self._identity:
            raise Refused(
                f"the volume {volume} is not this cluster's: another cluster of this name made it, or somebody's hand",
                hint="give this cluster another name in haop.toml, or remove the volume",
            )
        return True

    def _require(self, service: str) -> None:
        """Tell a file that is not there from a container that is not there."""
        if self.inspect(service) is None:
            raise HaopError(f"the container of {service} has just gone", hint="somebody else works on this stack")

    def _find(self, service: str) -> str | None:
        # Not what somebody runs beside it: `docker compose run db1 ...`.
        labels = [f"{_PROJECT}={self._project}", f"{_SERVICE}={service}", "com.docker.compose.oneoff=False"]
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
            listed = self.client.containers(all=True, filters={"label": f"{_PROJECT}={self._project}"})
        self._check(listed)

    def _check(self, listed: list[dict[str, Any]]) -> None:
        for container in listed:
            if container["Labels"].get(_IDENTITY) != self._identity:
                folder = container["Labels"].get(_FOLDER, "elsewhere")
                raise Refused(
                    f"a stack named {self._project} exists already, from {folder}",
                    hint="give this cluster another name in haop.toml, or take the other one down where it belongs",
                )


def _packed(path: PurePosixPath, text: str) -> bytes:
    """An archive with that one file."""
    content, packed = text.encode(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path.name)
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
