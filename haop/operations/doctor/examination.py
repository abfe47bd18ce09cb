"""The whole examination: every check of the registry, asked of one set of facts."""

from dataclasses import dataclass

from haop.model.diagnosis import Check, Diagnosis, Gap, Group, Outcome
from haop.model.health import Finding, Health, Severity
from haop.operations.doctor.cluster import CLUSTER
from haop.operations.doctor.containers import CONTAINERS
from haop.operations.doctor.facts import Facts
from haop.operations.doctor.gather import gather
from haop.operations.doctor.machine import MACHINE
from haop.operations.doctor.servers import SERVERS
from haop.operations.doctor.settings import SETTINGS
from haop.operations.doctor.static import PROJECT
from haop.project import Project

REGISTRY: tuple[Check[Facts], ...] = (*PROJECT, *MACHINE, *CLUSTER, *SETTINGS, *SERVERS, *CONTAINERS)


@dataclass(frozen=True, slots=True)
class Examination:
    """What was seen, and what each check makes of it."""

    facts: Facts
    diagnoses: tuple[Diagnosis, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All of them, the worst first."""
        found = (finding for diagnosis in self.diagnoses for finding in diagnosis.findings)
        return tuple(sorted(found, key=lambda finding: list(Severity).index(finding.severity)))

    @property
    def health(self) -> Health | None:
        """The cluster in a word; None where nobody could look."""
        return None if isinstance(self.facts.assessment, Gap) else self.facts.assessment.health

    def count(self, severity: Severity) -> int:
        """Findings of that severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def ended(self, outcome: Outcome) -> tuple[Diagnosis, ...]:
        """Checks that ended so."""
        return tuple(diagnosis for diagnosis in self.diagnoses if diagnosis.outcome is outcome)


def examine(project: Project) -> Examination:
    """Look at everything, and judge it. Nothing that is broken makes this fail."""
    return judge(gather(project))


def judge(facts: Facts) -> Examination:
    """Every check that makes sense on this runtime; what `haop status` found beyond the registry is kept."""
    checks = [check for check in REGISTRY if check.runtime in {None, facts.spec.runtime}]
    known = {check.code for check in REGISTRY}
    more = tuple(
        Diagnosis(code=code, group=Group.CLUSTER, title=code, why="haop status looks for it.", findings=findings)
        for code, findings in facts.finding_codes.items()
        if code not in known
    )
    return Examination(facts, (*(check.examine(facts) for check in checks), *more))
