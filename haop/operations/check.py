"""`haop check`: proves replication now, on every node, and says what could not be proved."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from haop.engines.candidate import absent
from haop.errors import ConnectionFailed, NoPrimary
from haop.model.checking import Check, Checked, NotRead, Outcome, Reading, judge_role, judge_tables
from haop.model.hba import judge_rules
from haop.model.status import Reachable, Unreachable
from haop.operations import access, application
from haop.operations import status as status_operation
from haop.operations.cluster import Cluster
from haop.operations.progress import Progress
from haop.operations.status import Assessment
from haop.postgres import privileges, proving
from haop.postgres.comparing import Comparing

# A query on a standby may hold replay back for 10 s (max_standby_streaming_delay as rendered).
PATIENCE_SECONDS = 15.0
_UNSEEN = {"archiving", "path-outside", "tablespace", *access.CODES}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def check(
    cluster: Cluster, progress: Progress, *, contents: bool, url: str | None = None, patience: float = PATIENCE_SECONDS
) -> Checked:
    """Prove, and return what was found; writes one token a table to the WAL, and nothing else.

    Args:
        cluster: one primary answers; nodes that do not are named as not compared.
        progress: told what is looked at.
        contents: compare checksums of all contents too, not only the numbers of rows.
        url: of an application's health endpoint, to be held against the cluster.
        patience: seconds to wait for a standby to replay.

    Raises:
        NoPrimary: no node accepts writes, or two do, or the primary went away at once.
    """
    assessment = status_operation.observe(cluster)
    status = assessment.status
    if breached := next(iter(status.breached), None):
        raise NoPrimary(
            f"{breached.name} is fenced, and {breached.service.intruder} serves its data",
            hint=f"end it and make it a standby: haop rejoin {breached.name}",
        )
    if not status.primary:
        names = " and ".join(node.name for node in status.primaries)
        raise absent(status, f"{names} both accept writes" if names else "no node accepts writes", "haop status")
    found = _Checking(cluster, assessment, status.primary, progress, contents=contents, patience=patience).run()
    if url is None:
        return found
    with progress.step(f"what the application says at {url}"):
        said = application.check(url, cluster.engine.observe())  # the tables may have taken hours
    return replace(found, checks=(*found.checks, said))


class _Checking:
    """One run, against the nodes as they were observed."""

    def __init__(
        self, cluster: Cluster, assessment: Assessment, primary: Reachable, progress: Progress, *,
        contents: bool, patience: float,
    ) -> None:  # fmt: skip
        self.cluster, self.assessment, self.primary, self.progress = cluster, assessment, primary, progress
        self.status = status = assessment.status
        self.contents, self.patience = contents, patience
        self.admin = cluster.engine.admin
        self.standbys = {node.name: node.endpoint for node in status.standbys}
        self.down = [node for node in status.nodes if isinstance(node, Unreachable)]

    def run(self) -> Checked:
        step = self.progress.step
        try:
            databases = proving.databases(self.primary.endpoint, self.admin)
            with step("a token written on the primary is replayed by every standby"):
                checks = [*self.replay()]
            with step("standbys refuse writes; the replication role; TLS; pg_hba.conf"):
                checks += chain(self.read_only(), [self.replication_role()], self.tls(), self.hba(), self.found())
        except ConnectionFailed as error:
            raise NoPrimary(f"{self.primary.name} went away: {error.message}", hint="haop status") from error
        readings: list[Reading] = []
        for name, is_open in databases:
            with step(f"the tables of {name} on every node, each at one position") as tell:
                checks += self.tables(name, readings, tell) if is_open else self.closed(name)
        return Checked(
            at=self.status.at, primary=self.primary.name, checks=tuple(checks), readings=tuple(readings),
            findings=self.assessment.findings,
        )  # fmt: skip

    def replay(self) -> Iterator[Check]:
        found = proving.replay_seconds(self.primary.endpoint, self.standbys, self.admin, deadline=self.patience)
        for name, told in found.items():
            if isinstance(told, float):
                evidence = f"a token written on {self.primary.name} is here"
                yield Check(check="replay", node=name, outcome=Outcome.OK, evidence=evidence, seconds=told)
            else:
                hint = f"haop status, then haop logs --node {name}"
                yield Check(check="replay", node=name, outcome=Outcome.DIFFERENT, evidence=told, hint=hint)
        yield from self.unanswered("replay")

    def read_only(self) -> Iterator[Check]:
        def refuses(node: Reachable) -> Check:
            code, words = proving.refusal(node.endpoint, self.admin)
            outcome = Outcome.OK if code == proving.READ_ONLY else Outcome.DIFFERENT
            return Check(check="read-only", node=node.name, outcome=outcome, evidence=f"{code}: {words}")

        yield from (self.asked("read-only", node, refuses) for node in self.status.standbys)
        yield from self.unanswered("read-only")

    def replication_role(self) -> Check:
        role = self.cluster.secrets.replication_user
        excess = judge_role(role, privileges.role_facts(self.primary.endpoint, self.admin, role))
        return Check(
            check="replication-role", node=self.primary.name,
            outcome=Outcome.DIFFERENT if excess else Outcome.OK,
            evidence=f"{role}: {'; '.join(excess)}" if excess else f"{role} can replicate, and nothing else",
            hint=f"take it from {role}, or from PUBLIC: REVOKE CONNECT ON DATABASE ... FROM PUBLIC" if excess else None,
        )  # fmt: skip

    def tls(self) -> Iterator[Check]:
        built = self.cluster.runtime.tls
        sent = dict(proving.encryption(self.primary.endpoint, self.admin).streams)

        def encrypts(node: Reachable) -> Check:
            found = proving.encryption(node.endpoint, self.admin)
            outcome, evidence = Outcome.OK, "ssl is on"
            if not built:
                alone = {address.strip() for address in found.listens_on.split(",")} <= _LOOPBACK
                outcome = Outcome.SKIPPED if alone else Outcome.DIFFERENT
                evidence = "no TLS in this build, " + ("loopback only" if alone else f"listens on {found.listens_on}")
            elif not found.on:
                outcome, evidence = Outcome.DIFFERENT, "ssl is off"
            elif node.name in self.standbys and not sent.get(node.name):
                known = node.name in sent
                outcome = Outcome.DIFFERENT if known else Outcome.NOT_COMPARED
                evidence = f"ssl is on, its stream {'does not use it' if known else 'is not there'}"
            elif node.name in self.standbys:
                evidence = f"ssl is on, its stream uses {sent[node.name]}"
            return Check(check="tls", node=node.name, outcome=outcome, evidence=evidence)

        yield from (self.asked("tls", node, encrypts) for node in self.status.reachable)
        yield from self.unanswered("tls")

    def hba(self) -> Iterator[Check]:
        def lets_in(node: Reachable) -> Check:
            rules = proving.rules(node.endpoint, self.admin)
            weak = judge_rules(rules)
            return Check(
                check="pg_hba", node=node.name, outcome=Outcome.DIFFERENT if weak else Outcome.OK,
                evidence="; ".join(weak) or f"{len(rules)} lines, each scram-sha-256 or reject",
                hint="remove stack/pg_hba.conf, then haop up: it writes it anew" if weak else None,
            )  # fmt: skip

        yield from (self.asked("pg_hba", node, lets_in) for node in self.status.reachable)
        yield from self.unanswered("pg_hba")

    def found(self) -> Iterator[Check]:
        """What `haop status` finds, and no other row would show."""
        for finding in self.assessment.findings:
            if finding.code in _UNSEEN:
                yield Check(
                    check=finding.code, node=finding.node or self.primary.name, outcome=Outcome.DIFFERENT,
                    evidence=finding.message, hint=finding.hint,
                )  # fmt: skip

    def tables(self, database: str, readings: list[Reading], tell: Callable[[str], None]) -> Iterator[Check]:
        if not self.standbys:
            yield from self.uncompared(database, "no standby answers")
            return
        login = replace(self.admin, database=database)
        endpoints = {self.primary.name: self.primary.endpoint, **self.standbys}
        try:
            with Comparing(
                endpoints, self.primary.name, login, contents=self.contents, patience=self.patience
            ) as comparing:
                found = comparing.readings(comparing.tables(), tell)
        except ConnectionFailed as error:
            yield from self.uncompared(database, error.message)
            return
        absent = {node.name: NotRead(node.reason) for node in self.down}
        found = tuple(replace(reading, answers={**reading.answers, **absent}) for reading in found)
        readings += found
        yield from judge_tables(self.word, self.primary.name, [*self.standbys, *absent], database, found)

    def closed(self, database: str) -> Iterator[Check]:
        yield from self.uncompared(database, "it allows no connections")

    @property
    def word(self) -> str:
        return "contents" if self.contents else "rows"

    def uncompared(self, database: str, why: str) -> Iterator[Check]:
        for name in (*self.standbys, *(node.name for node in self.down)):
            yield Check(check=self.word, node=name, outcome=Outcome.NOT_COMPARED, evidence=f"{database}: {why}")

    def asked(self, name: str, node: Reachable, question: Callable[[Reachable], Check]) -> Check:
        try:
            return question(node)
        except ConnectionFailed as error:
            return Check(check=name, node=node.name, outcome=Outcome.NOT_COMPARED, evidence=error.message)

    def unanswered(self, name: str) -> Iterator[Check]:
        for node in self.down:
            evidence = f"it does not answer: {node.reason}"
            yield Check(check=name, node=node.name, outcome=Outcome.NOT_COMPARED, evidence=evidence)
