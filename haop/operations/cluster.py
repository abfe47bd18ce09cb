"""Puts runtime and engine together for a project."""

from collections.abc import Mapping
from dataclasses import dataclass

from haop.engines.streaming import StreamingEngine
from haop.engines.timelines import Timelines
from haop.errors import BadConfiguration, Refused
from haop.model.service import Service
from haop.model.table import nearest
from haop.operations.addons import addons
from haop.project import CONFIG, ENV, Project, Secrets
from haop.runtimes.base import Runtime


@dataclass(frozen=True, slots=True)
class Cluster:
    """A project with what runs it."""

    project: Project
    secrets: Secrets
    runtime: Runtime
    engine: StreamingEngine

    @classmethod
    def of(cls, project: Project, *, exposed: bool = False) -> "Cluster":
        """The runtime and the engine that `haop.toml` names; with `exposed`, though others can read `.env`, too.

        Raises:
            BadConfiguration: `.env` is missing or cannot be used.
        """
        secrets = project.secrets(exposed=exposed)
        users = [secrets.replication_user, secrets.rewind_user, secrets.monitor_user, project.spec.owner, "postgres"]
        if twins := sorted({user for user in users if users.count(user) > 1}):
            raise BadConfiguration(
                f"the role '{twins[0]}' has two purposes: owner in {CONFIG}, the *_USER keys in {ENV} and 'postgres' "
                "must all differ",
                hint="each role may do one thing and nothing else; rename one of them",
            )
        runtime = _runtime(project, secrets)
        timelines = Timelines(project.state / "guard" / "timeline", runtime, [node.name for node in project.spec.nodes])
        engine = StreamingEngine(project.spec, runtime, secrets, project.state / "tls", timelines)
        return cls(project, secrets, runtime, engine)

    def services(self) -> Mapping[str, Service]:
        """The nodes, then what stands beside them."""
        nodes = self.engine.services()
        spec = self.project.spec
        if not (spec.redis or spec.web):
            return nodes
        authority = (self.project.state / "tls" / "ca.crt").read_text(encoding="utf-8")
        return {**nodes, **addons(spec, self.secrets, authority)}

    def settings(self) -> str:
        """The rendered `postgresql.conf`."""
        return self._common()["postgresql.conf"]

    def stack(self) -> dict[str, str]:
        """The rendered files of `stack/`, as `haop.toml` says now."""
        return {**self._common(), **self.runtime.render(self.services)}

    def _common(self) -> Mapping[str, str]:
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


def _runtime(project: Project, secrets: Secrets) -> Runtime:
    """The runtime that `haop.toml` names; the other one's libraries stay unread."""
    if project.spec.runtime == "compose":
        from haop.runtimes.compose import ComposeRuntime  # noqa: PLC0415 - see above

        return ComposeRuntime(project, secrets.cluster_id)
    from haop.runtimes.local import LocalRuntime  # noqa: PLC0415 - see above

    return LocalRuntime(project.spec, project.state, project.stack)
