"""Looks at the project's folder: modes of what holds secrets, `stack/`, what git knows."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from haop.errors import HaopError
from haop.model.diagnosis import Gap
from haop.operations import render, salvages
from haop.operations.cluster import Cluster
from haop.operations.doctor.facts import GitSeen, ProjectSeen, StackSeen
from haop.process import run
from haop.project import CONFIG, ENV, STATE, Project, Secrets

# Below `.haop`: folders that only their owner may enter, and keys and passwords that only their owner may read.
_PRIVATE = (
    "secrets", "secrets/*/", "local", "local/*/", "local/*/secrets", "local/*/secrets/*", "tls/*.key",
    "secrets/superuser_password*", "salvage", "salvage/*/",
)  # fmt: skip


def look(
    project: Project, cluster: Cluster | Gap, secrets: Secrets | Gap, *, refusal: tuple[str, str] | Gap | None
) -> ProjectSeen:
    """Everything that can be seen without a server."""
    try:
        mode = (project.root / ENV).stat().st_mode & 0o777
    except OSError:
        mode = None
    return ProjectSeen(
        env_mode=mode,
        exposed=tuple(_exposed(project)),
        leaks=secrets if isinstance(secrets, Gap) else tuple(_leaks(project, passwords(secrets))),
        stack=cluster if isinstance(cluster, Gap) else _stack(cluster),
        git=_git(project),
        refusal=refusal,
        salvage_bytes=salvages.size(project),
        log_bytes=dict(_logs(project)),
    )


def passwords(secrets: Secrets) -> tuple[str, ...]:
    """Those that are long enough to be told from an ordinary word."""
    held = (
        secrets.postgres_password, secrets.database_password, secrets.replication_password, secrets.rewind_password,
        secrets.monitor_password, secrets.redis_password,
    )  # fmt: skip
    return tuple(password for password in held if len(password) >= 8)


def _logs(project: Project) -> Iterator[tuple[str, int]]:
    for node in project.spec.nodes:
        with suppress(OSError):
            yield node.name, (project.state / "local" / node.name / "log").lstat().st_size


def _exposed(project: Project) -> Iterator[tuple[str, int]]:
    for pattern in _PRIVATE:
        for path in sorted(project.state.glob(pattern)):
            try:
                found = path.lstat()
            except OSError:
                continue
            # A link has no mode of its own; what lies in local/ is the servers' user's, who may have made one.
            if found.st_mode & 0o077 and not stat.S_ISLNK(found.st_mode):
                yield str(path.relative_to(project.root)), found.st_mode & 0o777


def _leaks(project: Project, held: tuple[str, ...]) -> Iterator[str]:
    for path in (project.root / CONFIG, *sorted(project.stack.glob("*"))):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if any(password in text for password in held):
            yield str(path.relative_to(project.root))


def _stack(cluster: Cluster) -> StackSeen | Gap:
    """Compare only: certificates and secrets are not made for it."""
    project, mounted = cluster.project, cluster.runtime.unattended
    try:
        if mounted and not certified(project):
            return StackSeen(unprovided=True)
        changes = render.compare(project, cluster.stack())
        edited = render.edited(project, changes)
        files = [project.state / "secrets" / s.name / p for s in cluster.services().values() for p in s.secrets]
    except (HaopError, OSError, UnicodeDecodeError) as problem:
        return Gap(f"stack/ cannot be compared: {problem}")
    missing = mounted and not all(path.exists() for path in files)
    return StackSeen(stale=tuple(n for n in changes.diffs if n not in edited), edited=edited, unprovided=missing)


def certified(project: Project) -> bool:
    """Whether every certificate is there: who asks for the services of a cluster makes those that are not."""
    return all(
        (project.state / "tls" / f"{name}.crt").exists() for name in ("ca", *(n.name for n in project.spec.nodes))
    )


def _git(project: Project) -> GitSeen | Gap:
    """No repository around the folder: nothing can be committed."""
    try:
        if not project.repository:
            return GitSeen()
        state = next((p.name for p in sorted(project.state.glob("*")) if p.is_file()), "events.jsonl")
        files = ("--", ENV, f"{STATE}/{state}")
        tracked = _files(project.root, "--cached", *files)
        return GitSeen(tracked=tracked, unignored=_files(project.root, "--others", "--exclude-standard", *files))
    except (HaopError, OSError) as problem:
        return Gap(f"git does not answer: {problem}")


def _files(root: Path, *arguments: str) -> tuple[str, ...]:
    environment = {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}
    return tuple(run(("git", "-C", str(root), "ls-files", *arguments), environment=environment).stdout.split())
