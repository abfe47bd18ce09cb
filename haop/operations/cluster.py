"""Puts runtime and engine together for a project."""

from dataclasses import dataclass

from haop.engines.streaming import StreamingEngine
from haop.errors import BadConfiguration, Refused
from haop.model.spec import nearest
from haop.project import CONFIG, ENV, Project, Secrets
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
        users = [secrets.replication_user, secrets.rewind_user, secrets.monitor_user, project.spec.owner, "postgres"]
        if twins := sorted({user for user in users if users.count(user) > 1}):
            raise BadConfiguration(
                f"the role '{twins[0]}' has two purposes: owner in {CONFIG}, the *_USER keys in {ENV} and 'postgres' "
                "must all differ",
                hint="each role may do one thing and nothing else; rename one of them",
            )
        runtime = LocalRuntime(project.spec, project.state, project.stack)
        engine = StreamingEngine(project.spec, runtime, secrets, project.state / "tls")
        return cls(project, secrets, runtime, engine)

    def stack(self) -> dict[str, str]:
        """The rendered files of `stack/`, as `haop.toml` says now."""
        from haop import rendering  # noqa: PLC0415 - 20 ms that only who writes files pays for

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
