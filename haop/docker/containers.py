"""The containers of one Compose project, by the names of their services."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Literal

from docker.errors import APIError, DockerException, NotFound

from haop.docker.contents import Contents, packed
from haop.docker.engine import settled, translated
from haop.docker.lookup import IDENTITY
from haop.docker.volumes import exists, servers, users
from haop.errors import HaopError, Refused
from haop.waiting import meanwhile

# A program is ready to hear its signal within a few tenths of a second.
_AGAIN_SECONDS = (0.3, 0.7, 2.0, 5.0)


class Containers(Contents):
    """Acts on containers."""

    def start(self, service: str) -> None:
        """Start it; no harm where it runs. One that the engine would start again in a while is started now."""
        found = self.inspect(service)
        with translated(f"start {service}"):
            if found and found["State"]["Restarting"]:
                self.client.stop(found["Id"], timeout=0)
            self.client.start(self.id(service))

    def stop(self, service: str, seconds: int, *, insist: bool = False) -> None:
        """Send the container's stop signal; SIGKILL after so many seconds.

        Args:
            service: its name.
            seconds: that it is given.
            insist: send the signal more than once; for a program that does not mind. Process 1 of a container ignores
                what it has no handler for, as each program does that has just been started.
        """
        with translated(f"stop {service}"), self._insisting(service) if insist else nullcontext():
            self.client.stop(self.id(service), timeout=seconds)

    def _insisting(self, service: str) -> AbstractContextManager[None]:
        container = self.id(service)
        number = self.client.inspect_container(container)["Config"].get("StopSignal") or "SIGTERM"

        def insist() -> None:
            with suppress(DockerException):  # it has ended, or the stop will tell
                self.client.kill(container, signal=number)

        return meanwhile(insist, _AGAIN_SECONDS, name=f"stop of {service}")

    def kill(self, service: str) -> None:
        """SIGKILL to all of it; no harm where it does not run. The engine's own attempts to start it again end, too."""
        with translated(f"kill {service}"):
            self._kill(self.id(service))

    def kill_users(self, service: str) -> None:
        """The same for every container that has the service's volume, its own too, until none of them runs.

        Raises:
            HaopError: one of them goes on.
        """
        volume = self._volume(service)
        with translated(f"kill what uses the volume of {service}"):
            for _ in range(2):
                if not (running := users(self.client, volume)):
                    return
                for container in running:
                    self._kill(container["Id"])
            if still := [c["Names"][0].lstrip("/") for c in users(self.client, volume)]:
                raise HaopError(f"{', '.join(still)} still uses the volume of {service}", hint="promote nothing")

    def servers(self, service: str) -> list[str]:
        """Containers that run PostgreSQL and have the service's volume: its own, too."""
        return [found["Names"][0].lstrip("/") for found in servers(self.client, self._volume(service))]

    def _volume(self, service: str) -> str:
        return self.adopted.get(service, f"{self.project}_{service}")

    def _kill(self, container: str) -> None:
        try:
            self.client.kill(container)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:  # "is not running"
                raise
        with suppress(NotFound):
            if self.client.inspect_container(container)["State"]["Restarting"]:
                self.client.stop(container, timeout=0)

    def pause(self, service: str) -> None:
        """Freeze all its processes."""
        with translated(f"pause {service}"):
            settled(lambda: self.client.pause(self.id(service)))

    def unpause(self, service: str) -> None:
        """Let them go on."""
        with translated(f"resume {service}"):
            self.client.unpause(self.id(service))

    def set_restart(self, service: str, policy: Literal["no", "unless-stopped"]) -> None:
        """Whether the engine starts it again by itself."""
        with translated(f"set the restart policy of {service}"):
            settled(lambda: self.client.update_container(self.id(service), restart_policy={"Name": policy}))  # type: ignore[arg-type]  # the count is optional

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
                self.client.put_archive(made["Id"], str(path.parent), packed({path: text}))
                self.client.start(made["Id"])
                code = self.client.wait(made["Id"])["StatusCode"]
                said = self.client.logs(made["Id"]).decode(errors="replace").strip()
            finally:
                self.client.remove_container(made["Id"], force=True, v=True)
        return " / ".join(said.splitlines()[-3:]) if code else None

    def log(self, service: str, since: datetime | None, *, follow: bool, last: int | None = None) -> Iterator[str]:
        """Lines that it has printed; only so many of them, the last ones."""
        with translated(f"read the log of {service}"):
            stream = self.client.logs(
                self.id(service), stream=True, follow=follow, since=None if since is None else since.timestamp(),
                tail="all" if last is None else last,
            )  # fmt: skip
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
        if name in self.adopted:
            return exists(self.client, self.adopted[name])
        volume = f"{self.project}_{name}"
        with translated(f"look at the volume {volume}"):
            try:
                labels = self.client.inspect_volume(volume)["Labels"] or {}
            except NotFound:
                return False
        if labels.get(IDENTITY) != self.identity:
            raise Refused(
                f"the volume {volume} is not this cluster's: another cluster of this name made it, or somebody's hand",
                hint="give this cluster another name in haop.toml, or remove the volume",
            )
        return True
