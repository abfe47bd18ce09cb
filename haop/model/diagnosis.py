"""What the doctor says: checks, what each found, and what it could not look at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from haop.model.health import Finding, Severity

Facts = TypeVar("Facts")


class Group(StrEnum):
    """What a check looks at."""

    PROJECT = "project"
    MACHINE = "machine"
    CLUSTER = "cluster"
    SERVERS = "servers"
    CONTAINERS = "containers"


class Outcome(StrEnum):
    """How a check ended. Who found something on one node may still not have looked at another."""

    FOUND = "found"
    NOT_EXAMINED = "not examined"
    PASSED = "passed"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be looked at, and why: "db2: stopped"."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """What a check saw; with the check's code it is a finding."""

    severity: Severity
    message: str
    node: str | None = None
    hint: str | None = None


Told: TypeAlias = Iterable[Symptom | Gap]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A check, and what came of it."""

    code: str
    group: Group
    title: str
    why: str
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """A gap without a finding is never "passed"."""
        if self.findings:
            return Outcome.FOUND
        return Outcome.NOT_EXAMINED if self.gaps else Outcome.PASSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[Facts]):
    """A named question, with the reason why it is asked; `judge` is pure."""

    code: str
    group: Group
    title: str  # what is so where it passes
    why: str
    judge: Callable[[Facts], Told]
    runtime: str | None = None  # the one that it makes sense on; None: each

    def examine(self, facts: Facts) -> Diagnosis:
        """Ask it."""
        findings, gaps = [], []
        for told in self.judge(facts):
            if isinstance(told, Gap):
                gaps.append(told.why)
            else:
                findings.append(
                    Finding(
                        code=self.code, severity=told.severity, message=told.message, node=told.node, hint=told.hint
                    )
                )
        return Diagnosis(
            code=self.code, group=self.group, title=self.title, why=self.why, findings=tuple(findings),
            gaps=tuple(dict.fromkeys(gaps)),
        )  # fmt: skip


def checking(
    group: Group, code: str, title: str, *, why: str, runtime: str | None = None
) -> Callable[[Callable[[Facts], Told]], Check[Facts]]:
    """Makes a check of the function that judges."""

    def make(judge: Callable[[Facts], Told]) -> Check[Facts]:
        return Check(code=code, group=group, title=title, why=why, judge=judge, runtime=runtime)

    return make


def error(message: str, *, node: str | None = None, hint: str) -> Symptom:
    """Clients feel it, or the next failure would hurt."""
    return Symptom(severity=Severity.ERROR, message=message, node=node, hint=hint)


def warning(message: str, *, node: str | None = None, hint: str) -> Symptom:
    """Less than was asked for."""
    return Symptom(severity=Severity.WARNING, message=message, node=node, hint=hint)


def info(message: str, *, node: str | None = None, hint: str) -> Symptom:
    """Good to know."""
    return Symptom(severity=Severity.INFO, message=message, node=node, hint=hint)
