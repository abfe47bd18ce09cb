"""Puts runtime and engine together for a project."""

from dataclasses import dataclass

from haop import rendering
from haop.engines.streaming import StreamingEngine
from haop.errors import Refused
from haop.model.spec import nearest
from haop.project import Project, Secrets
from haop.runtimes.local import LocalRuntime


@dataclass(frozen=True, slots=True)
class Cluster:
    """A project with what runs it."""

    project: Project
    secrets: Secrets
    runtime: LocalRuntime
    engine: StreamingEngine

    @classmethod
    def of(cls, project: Project) -> "Cluster":
        """The runtime and the engine that `haop.toml` names.

        Raises:
            BadConfiguration: `.env` is missing or cannot be used.
        """
        secrets = project.secrets()
        runtime = LocalRuntime(project.spec, project.state, project.stack)
        engine = StreamingEngine(project.spec, runtime, secrets, project.state / "tls")
        return cls(project, secrets, runtime, engine)

    def stack(self) -> dict[str, str]:
        """The rendered files of `stack/`, as `haop.toml` says now."""
        return rendering.stack(self.project.spec, self.runtime.places(), self.runtime.networks())

    def require_node(self, name: str) -> str:
        """The name, if there is such a node.

        Raises:
            Refused: there is not.
        """
        names = [node.name for node in self.project.spec.nodes]
        if name not in names:
            raise Refused(f"there is no node '{name}'{nearest(name, names)}", hint=f"nodes: {', '.join(names)}")
        return name
