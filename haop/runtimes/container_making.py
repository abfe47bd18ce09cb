"""Containers made, and made anew, as `stack/compose.yaml` says now."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from haop.errors import HaopError, Refused
from haop.model.containers import layout
from haop.model.service import Service
from haop.model.spec import node_image
from haop.project import Project
from haop.runtimes import container_logs, secret_files
from haop.runtimes.base import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from haop.docker.compose import Compose
    from haop.docker.containers import Containers


def is_node(name: str) -> bool:
    """Whether a service is no addon; a node that `haop.toml` no longer names is one as well."""
    return name not in {"redis", "web"}


class ContainerMaking:
    """What `docker compose` makes for a project."""

    def __init__(
        self,
        project: Project,
        containers: "Containers",
        compose: "Compose",
        data: PurePosixPath,
        cluster: PurePosixPath,
    ) -> None:
        self._project = project
        self._spec = project.spec
        self._containers = containers
        self._compose = compose
        self._data = data
        self._cluster = cluster

    def all(self, services: Mapping[str, Service], networks: Sequence[str], step: Step) -> Sequence[str]:
        """Make what is missing, and anew what is stopped and older than the stack; returns what runs and is older."""
        from haop.runtimes import container_checks  # noqa: PLC0415 - only who starts something pays for it

        here = {name: found for name in services if (found := self._containers.inspect(name))}
        hashes = self._compose.hashes() if here else {}
        outdated = [name for name, found in here.items() if container_checks.hash_of(found) != hashes.get(name)]
        running = [
            name
            for name, found in here.items()
            if found["State"]["Running"] and (name in outdated or (not is_node(name) and self.newer(name, found)))
        ]
        stale = outdated if self._containers.have_networks(*networks) else here
        if wanted := [n for n in services if n not in here or (n in stale and not here[n]["State"]["Running"])]:
            self.require_nothing_outside([name for name in wanted if name in here])
            images = self._missing_images()
            told = f"pull {', '.join(images)}; " if images else ""
            with step(f"{told}make containers") as say:
                self._up(*wanted, say=say)
        container_checks.check_data(self._spec, self._containers, self._data, self._cluster)
        return running

    def require_nothing_outside(self, names: Iterable[str]) -> None:
        """No container of these that is removed, or made anew, takes data along that lie beside its volume.

        Raises:
            Refused: one would.
        """
        mount = layout(self._spec.postgres).mount
        for name in filter(is_node, names):
            links = self._containers.links(name, self._data / "pg_tblspc")
            if wal := self._containers.link(name, self._data / "pg_wal"):
                links = {**links, "pg_wal": wal}
            for link, path in links.items():
                if not PurePosixPath(path).is_relative_to(mount):
                    what = "its pg_wal" if link == "pg_wal" else f"its tablespace {link}"
                    raise Refused(
                        f"the container of {name} cannot be removed: {what} lies at {path}, outside its volume, and "
                        "would be gone with it",
                        hint="haop status names it; move what is in it: ALTER TABLE ... SET TABLESPACE pg_default",
                    )

    def ensure(self, name: str) -> None:
        """Make that container where it is missing."""
        if self._containers.inspect(name) is None:
            self._up(name, say=_unheard)

    def newer(self, name: str, found: Mapping[str, Any]) -> bool:
        """Whether secrets of a service have changed since its container was started."""
        changed = secret_files.changed_at(self._project.state / "secrets" / name)
        return changed is not None and changed > container_logs.moment(found["State"]["StartedAt"])

    def _up(self, *names: str, say: "Callable[[str], None]") -> None:
        from haop.runtimes import container_checks  # noqa: PLC0415 - only who starts something pays for it

        try:
            self._compose.run("up", "--no-start", "--no-deps", *names, say=say)
        except HaopError as error:
            raise container_checks.explained(error, self._missing_images()) from error

    def _missing_images(self) -> Sequence[str]:
        """Images that are pulled first; what is built is not among them."""
        wanted = [node_image(self._spec)]
        wanted += [addon.image for addon in self._spec.addons.values() if addon.image]
        return [image for image in wanted if not self._containers.has_image(image)]


def _unheard(line: str) -> None:
    """Nobody waits for this for long."""
