"""What `haop doctor --fix` does: only what is safe and can be undone, each step named and recorded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from haop.model.diagnosis import Gap
from haop.model.examined import ContainerSeen
from haop.operations import render
from haop.operations.audit import audited
from haop.operations.cluster import Cluster
from haop.operations.doctor.containers import fenced_and_restarted
from haop.operations.doctor.facts import Facts
from haop.operations.doctor.servers import unknown_slots
from haop.operations.doctor.static import narrowed
from haop.postgres import replication
from haop.postgres.connection import connected
from haop.project import ENV, STATE, Project


@dataclass(frozen=True, slots=True)
class Fix:
    """One step, which mends the findings of one code."""

    code: str
    title: str  # what it does: "chmod 600 .env"
    apply: Callable[[], None]
    node: str | None = None
    question: str | None = None  # asked first, where it cannot be undone


def plan(project: Project, facts: Facts) -> tuple[Fix, ...]:
    """What can be mended. What follows from an unreadable `.env` is planned anew once that is."""
    return (*_modes(project, facts), *_ignored(project, facts), *_stack(project, facts), *_live(project, facts))


def apply(project: Project, fix: Fix) -> None:
    """Do it, and write it down.

    Raises:
        HaopError: it did not work.
    """
    with audited(project, "doctor --fix", node=fix.node) as outcome:
        fix.apply()
        outcome.detail = f"{fix.code}: {fix.title}"


def _modes(project: Project, facts: Facts) -> Iterator[Fix]:
    mode = facts.project.env_mode
    open_ones = [("env-readable", ENV, mode)] if mode is not None and mode & 0o077 else []
    open_ones += [("secrets-readable", path, mode) for path, mode in facts.project.exposed]
    for code, path, mode in open_ones:
        assert mode is not None
        yield Fix(code, f"chmod {narrowed(mode):o} {path}", _chmod(project.root / path, narrowed(mode)))


def _chmod(path: Path, mode: int) -> Callable[[], None]:
    return lambda: path.chmod(mode, follow_symlinks=True)


def _ignored(project: Project, facts: Facts) -> Iterator[Fix]:
    git = facts.project.git
    if isinstance(git, Gap) or not git.unignored:
        return
    lines = [
        line
        for line, path in ((ENV, ENV), (f"{STATE}/", f"{STATE}/"))
        if any(u.startswith(path) for u in git.unignored)
    ]

    def add() -> None:
        path = project.root / ".gitignore"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(
            text + ("" if not text or text.endswith("\n") else "\n") + "\n".join(lines) + "\n", encoding="utf-8"
        )

    yield Fix("not-ignored", f"add {' and '.join(lines)} to .gitignore", add)


def _stack(project: Project, facts: Facts) -> Iterator[Fix]:
    """Never over what somebody edited: then nothing is written at all."""
    stack = facts.project.stack
    if isinstance(stack, Gap) or stack.edited or not (stack.stale or stack.unprovided):
        return
    yield Fix("stack-stale", "haop render", lambda: _render(project))


def _render(project: Project) -> None:
    render.refresh(Cluster.of(project))


def _live(project: Project, facts: Facts) -> Iterator[Fix]:
    for name, seen in facts.containers.items():
        if isinstance(seen, ContainerSeen) and fenced_and_restarted(seen):
            yield Fix("fenced-restarts", f"restart policy of {name}: no", _unrestarted(project, name), node=name)
    if not (primary := facts.primary):
        return
    if missing := [found.node for found in facts.finding_codes.get("slot-missing", ()) if found.node]:
        slots = [facts.spec.node(node).slot for node in missing]
        make = _on(project, primary.name, lambda link: replication.ensure_slots(link, slots))
        yield Fix("slot-missing", f"make the slots {', '.join(slots)} on {primary.name}", make, node=primary.name)
    for node, slot in unknown_slots(facts):
        if slot.physical:
            drop = _on(project, node, lambda link, name=slot.name: replication.drop_slots(link, [name]))
            question = f"Drop the slot {slot.name} on {node}? Who used it, a backup perhaps, must begin anew."
            yield Fix("slot-unknown", f"drop the slot {slot.name} on {node}", drop, node=node, question=question)


def _on(project: Project, node: str, act: Callable[..., None]) -> Callable[[], None]:
    def run() -> None:
        cluster = Cluster.of(project)
        with connected(cluster.runtime.endpoint(node), cluster.engine.admin) as link:
            act(link)

    return run


def _unrestarted(project: Project, name: str) -> Callable[[], None]:
    def run() -> None:
        from haop.docker.containers import Containers  # noqa: PLC0415 - 150 ms that only who asks the engine pays for

        Containers(project.spec.name, Cluster.of(project).secrets.cluster_id).set_restart(name, "no")

    return run
