"""Services as containers of one Compose stack. The engine owns every process of them, as the local runtime does.

`docker compose` makes and removes; the engine's own interface looks, starts, stops and breaks. What a node needs to
start is in `stack/` and `.haop/secrets/`, so that it also starts with no haop around.
"""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from haop.errors import HaopError
from haop.model.containers_health import CUT_OFF, OUT_OF_MEMORY
from haop.model.endpoint import Endpoint
from haop.model.service import Ending, Exit, LogLine, Service, ServiceState, State
from haop.runtimes import container_logs, markers, secret_files
from haop.runtimes.base import STOP_SECONDS, Step
from haop.runtimes.container_fence import ContainerFence
from haop.runtimes.container_files import CLUSTER, ContainerFiles
from haop.runtimes.container_making import is_node
from haop.runtimes.container_networks import ContainerNetworks

_HOST = "127.0.0.1"
_SECRETS = "/run/haop/secrets"


class ComposeRuntime(ContainerFiles):
    """Runs nodes, and what stands beside them, as containers; capable of `Partitionable`."""

    @property
    def tls(self) -> bool:
        """Every build of the official image has it."""
        return True

    @property
    def unattended(self) -> bool:
        """The engine starts containers at boot."""
        return True

    @property
    def remark(self) -> str | None:
        """Nothing that `status` would not say."""
        return None

    @cached_property
    def _fence(self) -> ContainerFence:
        return ContainerFence(self._containers, self._data, [node.name for node in self._spec.nodes])

    @cached_property
    def _networks(self) -> ContainerNetworks:
        hosts = {name: place.host for name, place in self.places().items()}
        return ContainerNetworks(self._containers, self._spec.name, hosts)

    def places(self) -> Mapping[str, Endpoint]:
        """Names that exist on the replication network alone: a service's own name would resolve on every network."""
        return {node.name: Endpoint(f"{node.name}.replication", 5432) for node in self._spec.nodes}

    def networks(self) -> Sequence[str]:
        """The networks that a container is attached to: their addresses are the engine's choice."""
        return ("samenet",)

    def endpoint(self, name: str) -> Endpoint:
        """The published port."""
        return Endpoint(_HOST, self._spec.node(name).port)

    def render(self, services: Callable[[], Mapping[str, Service]]) -> Mapping[str, str]:
        """compose.yaml, and the scripts that it names."""
        from haop import rendering  # noqa: PLC0415 - 20 ms that only who writes files pays for

        environment = {
            "PGDATA": str(self._data),
            "HAOP_BINDIR": "",
            "HAOP_STACK": "/etc/haop",
            "HAOP_SECRETS": _SECRETS,
            "HAOP_CLUSTER": str(CLUSTER),
            "HAOP_LISTEN": "*",
            "HAOP_PORT": "5432",
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD_FILE": f"{_SECRETS}/superuser_password",
        }
        return rendering.compose(self._spec, services(), self.places(), environment)

    def check(self, settings: str) -> None:
        """Refuse an engine that cannot be used, another project's name, volumes or ports."""
        from haop.runtimes import container_checks  # noqa: PLC0415 - only who starts something pays for it

        container_checks.check(self._project, self._containers, self._identity, settings)

    def provide(self, services: Mapping[str, Service]) -> None:
        """Files below `.haop/secrets`, which compose.yaml names."""
        secret_files.write(self._project.state / "secrets", services)

    def create(self, services: Mapping[str, Service], step: Step) -> Sequence[str]:
        """Pull or build images, make networks, volumes and containers; what runs already is left alone."""
        self.provide(services)
        return self._making.all(services, self._networks.names, step)

    def refresh(self, names: Sequence[str]) -> None:
        """The node script lays them out anew in the memory of the container."""
        for name in names:
            found = self._containers.inspect(name)
            state = found["State"] if found else {}
            if found and state["Running"] and not state["Restarting"] and self._making.newer(name, found):
                self._containers.execute(name, "sh", "/etc/haop/node.sh", "secrets")

    def strays(self) -> Sequence[str]:
        """Containers, and volumes of nodes."""
        from haop.docker import strays  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

        return sorted(strays.find(self._containers, self._spec.name) - {"cluster", *self._names()})

    def remove(self, name: str) -> None:
        """Its container, and then its volume."""
        from haop.docker import strays  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

        self.stop(name)
        strays.remove(self._containers, self._spec.name, name)

    def state(self, name: str) -> ServiceState:
        """From the engine; of a container that does not run also from its volume."""
        found = self._containers.inspect(name)
        if found is None:
            there = self._containers.volume_exists(name)
            return ServiceState(State.STOPPED if there else State.ABSENT)
        state, image = found["State"], self._image(found)
        origin, lost = _origin(found)
        word = self._fence.word(name) if is_node(name) else ""
        intruder = self._fence.intruder(name) if word else None
        if state["Paused"]:
            return ServiceState(State.PAUSED, bool(intruder), image=image, origin=origin, lost=lost, intruder=intruder)
        if state["Running"] and not state["Restarting"]:
            remark, stranded = self._trouble(name, found), word == markers.STRANDED  # the engine tries again and again
            fenced = bool(intruder) or stranded
            return ServiceState(State.RUNNING, fenced, remark, image, origin, lost, intruder, needs_rebuild=stranded)
        if not is_node(name):
            return ServiceState(State.STOPPED, remark=container_logs.told(state), image=image)
        data = self._containers.size(name, self._data / "PG_VERSION") is not None
        fenced, told = self._fence.keeps_back(name), container_logs.told(state)
        return ServiceState(
            State.STOPPED if data else State.ABSENT, fenced, told, image, intruder=intruder,
            needs_rebuild=fenced and markers.needs_rebuild(word),
        )  # fmt: skip

    def start(self, service: Service) -> None:
        """Start its container, made anew where it is missing; the engine may start it again by itself from now on."""
        self.provide({service.name: service})
        self._making.ensure(service.name)
        word = self._fence.word(service.name) if is_node(service.name) else ""
        if word != markers.FENCED and not markers.is_rebuild(word):
            self._containers.set_restart(service.name, "unless-stopped")
        self._containers.start(service.name)

    def stop(self, name: str, *, seconds: int = STOP_SECONDS) -> None:
        """PostgreSQL's fast shutdown; a node script that still clones or asks around ends at once."""
        found = self._containers.inspect(name)
        if found and found["State"]["Running"]:  # also true of one that the engine would start again in a while
            self.resume(name)
            self._containers.stop(name, seconds, insist=is_node(name))

    def kill(self, name: str) -> None:
        """SIGKILL to every process of the container; the engine does not start it again by itself."""
        if self._containers.inspect(name):
            self._containers.kill(name)

    def pause(self, name: str) -> None:
        """The control group freezer."""
        if self.state(name).state is State.RUNNING:
            self._containers.pause(name)

    def resume(self, name: str) -> None:
        """Thaw it."""
        if self.state(name).state is State.PAUSED:
            self._containers.unpause(name)

    def cut(self, name: str, *, clients: bool = True) -> None:
        """Off the replication network, and off the applications' network."""
        self._networks.cut(name, clients=clients)

    def mend(self, name: str) -> None:
        """Back on both, under the names that it had."""
        self._networks.mend(name)

    def fence(self, name: str) -> None:
        """Not restarted, killed, marked beside its data, the mark on the disk: in this order, each verified."""
        self._making.ensure(name)
        self._fence.raise_around(name)

    def enforce(self, name: str) -> str | None:
        """Whatever has its volume and runs PostgreSQL."""
        return self._fence.enforce(name) if self._containers.inspect(name) else None

    def readmit(self, name: str, *, rebuild: bool = False) -> None:
        """The marker changes from "fenced" to "rejoin"; the engine may start the container again."""
        self._making.ensure(name)
        self._fence.open_for_rejoin(name, rebuild=rebuild)

    def reinstate(self, name: str) -> None:
        """The marker changes from "fenced" to "reinstate"; the engine may start the container again."""
        self._making.ensure(name)
        self._fence.open_for_reinstatement(name)

    def rebuilding(self, name: str) -> bool:
        """From its marker."""
        return bool(self._containers.inspect(name)) and markers.is_rebuild(self._fence.word(name))

    def give_back(self, name: str) -> None:
        """From its marker, too."""
        self._fence.give_back(name)

    def rejoining(self, name: str) -> bool:
        """From its marker."""
        return self.state(name).state is State.RUNNING and markers.is_on_its_way(self._fence.word(name))

    def logs(self, names: Sequence[str], *, follow: bool, since: datetime | None) -> Iterator[LogLine]:
        """The containers' own logs, as long as the containers exist."""
        here = [name for name in names if self._containers.inspect(name)]
        yield from container_logs.merged(self._containers, here, follow=follow, since=since)

    def newest_logs(self, name: str) -> Iterator[LogLine]:
        """From there, too."""
        if self._containers.inspect(name):
            yield from container_logs.newest_first(self._containers, name)

    def exits(self, names: Sequence[str], until: threading.Event) -> Iterator[Exit]:
        """From the engine's events."""
        from haop.docker import exits  # noqa: PLC0415 - see _compose

        return exits.exits(self._containers, self._spec.name, names, until)

    def endings(self) -> Sequence[Ending]:
        """What a container tells of its last end; the engine's own events are gone within minutes."""
        found = [(name, self._containers.inspect(name)) for name in self._names() if not self.state(name).fenced]
        return [ending for name, container in found if container and (ending := container_logs.ending(name, container))]

    def psql(self) -> Path | None:
        """Whatever is on the PATH."""
        return Path(found) if (found := shutil.which("psql")) else None

    def psql_within(self, name: str, arguments: Sequence[str], *, terminal: bool) -> tuple[str, ...]:
        """Through `docker exec`; the script finds the passwords where the server has them."""
        from haop.runtimes import container_psql  # noqa: PLC0415 - see _compose

        if self.state(name).state is not State.RUNNING:
            raise HaopError(f"{name} does not run", hint="haop status")
        return container_psql.argv(self._containers.id(name), _SECRETS, self._spec, arguments, terminal=terminal)

    def down(self, *, volumes: bool, say: Callable[[str], None]) -> None:
        """Remove containers and networks; with `volumes`, the volumes."""
        self._containers.check_all()
        if not volumes:
            here = [node.name for node in self._spec.nodes if self._containers.inspect(node.name)]
            self._making.require_nothing_outside(here)
        for name in (*(node.name for node in self._spec.nodes), "cluster", "redis"):
            self._containers.volume_exists(name)
        tell = say if not volumes else lambda line: say(line) if "Volume" in line and "Removing" not in line else None
        self._compose.run("down", *(["--volumes"] if volumes else []), say=tell)

    def _names(self) -> Sequence[str]:
        return [node.name for node in self._spec.nodes] + list(self._spec.addons)

    def _trouble(self, name: str, found: Mapping[str, Any]) -> str | None:
        """What is wrong with a container though it runs; None where nothing is known to be."""
        if found["State"]["OOMKilled"]:
            return OUT_OF_MEMORY
        if is_node(name):
            cut = self._networks.missing(found)
            return f"{CUT_OFF} {' and '.join(cut)}" if cut else None
        return "unhealthy" if found["State"].get("Health", {}).get("Status") == "unhealthy" else None

    def _image(self, found: Mapping[str, Any]) -> str:
        return f"{found['Config']['Image']}@{self._containers.digest(found['Image'])}"


def _origin(found: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The project's folder that a container's secrets come from, and whether they are gone from there."""
    secrets = [Path(mount["Source"]) for mount in found["Mounts"] if mount["Destination"].startswith("/run/secrets/")]
    return str(secrets[0].parents[3]) if secrets else None, not all(path.exists() for path in secrets)
