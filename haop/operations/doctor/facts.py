"""All that the doctor knows when it judges. What could not be looked at is a `Gap`, with the reason."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from haop.model.diagnosis import Gap
from haop.model.examined import ContainerSeen, MachineSeen, PlaceSeen, ServerSeen
from haop.model.health import Finding
from haop.model.service import State
from haop.model.spec import ClusterSpec
from haop.model.status import ClusterStatus, Reachable, Unreachable
from haop.operations.status import Assessment
from haop.project import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSeen:
    """`stack/` held against `haop.toml`."""

    stale: tuple[str, ...] = ()  # differs, and is as haop wrote it
    edited: tuple[str, ...] = ()  # differs, and is not
    unprovided: bool = False  # the files below `.haop` that it mounts are not there


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSeen:
    """What git knows of the files that it must not know."""

    tracked: tuple[str, ...] = ()
    unignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSeen:
    """The project folder."""

    env_mode: int | None  # None: there is no `.env`
    exposed: tuple[tuple[str, int], ...]  # files with secrets, and folders of such, that others can read
    leaks: tuple[str, ...] | Gap  # committed files that hold a password
    stack: StackSeen | Gap
    git: GitSeen | Gap
    refusal: tuple[str, str] | Gap | None  # why `haop up` would refuse, and the hint
    salvage_bytes: int = 0
    log_bytes: Mapping[str, int] = field(default_factory=dict)  # of each local node, of the file that is written


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The cluster as asked for, and everything that was seen of it."""

    spec: ClusterSpec
    project: ProjectSeen
    secrets: Secrets | Gap
    machine: MachineSeen
    assessment: Assessment | Gap
    servers: Mapping[str, ServerSeen | Gap]  # each node
    places: Mapping[str, PlaceSeen | Gap]  # each node
    containers: Mapping[str, ContainerSeen | Gap]  # each service, on Compose
    stale_primaries: Mapping[str, bool | Gap]  # each node that does not run: whether its data are a primary's
    strays: tuple[str, ...] | Gap = ()  # what is here, and haop.toml no longer names it

    @property
    def status(self) -> ClusterStatus | None:
        """The servers as `haop status` saw them."""
        return None if isinstance(self.assessment, Gap) else self.assessment.status

    @property
    def primary(self) -> Reachable | None:
        """The one primary."""
        return self.status.primary if self.status else None

    @property
    def answering(self) -> Mapping[str, ServerSeen]:
        """The servers that told about themselves."""
        return {name: seen for name, seen in self.servers.items() if isinstance(seen, ServerSeen)}

    @property
    def silent(self) -> Iterator[Gap]:
        """Why the others did not."""
        return (seen for seen in self.servers.values() if isinstance(seen, Gap))

    @property
    def finding_codes(self) -> Mapping[str, tuple[Finding, ...]]:
        """What `haop status` found, by code."""
        found = () if isinstance(self.assessment, Gap) else self.assessment.findings
        return {code: tuple(f for f in found if f.code == code) for code in dict.fromkeys(f.code for f in found)}

    def no_primary(self) -> Iterator[Gap]:
        """A gap where nobody can say what the primary would."""
        if isinstance(self.assessment, Gap):
            yield self.assessment
        elif not self.primary:
            yield Gap("there is no primary to ask, or more than one")

    def unheard(self) -> Iterator[Gap]:
        """A gap for each node that did not answer `haop status`."""
        if isinstance(self.assessment, Gap):
            yield self.assessment
        else:
            for node in self.assessment.status.nodes:
                if isinstance(node, Unreachable):
                    yield Gap(f"{node.name}: {node.reason}")

    def undecided(self) -> Iterator[Gap]:
        """A gap for each node that runs and does not say what it is."""
        if isinstance(self.assessment, Gap):
            yield self.assessment
        else:
            for node in self.assessment.status.nodes:
                if isinstance(node, Unreachable) and node.service.state in {State.RUNNING, State.PAUSED}:
                    yield Gap(f"{node.name}: {node.reason}")
