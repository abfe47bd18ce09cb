"""The findings of `haop status` as checks, each with the reason why it is looked for."""

from collections.abc import Callable, Iterator

from haop.model.diagnosis import Check, Gap, Group, Symptom, Told
from haop.model.health import Finding
from haop.operations.doctor.facts import Facts

_SECOND_PRIMARY = (
    "An old primary that comes back accepts writes that nobody else has "
    "(bitnami/charts#20998, EnterpriseDB/repmgr#766)."
)
_GONE = (
    "A standby whose WAL is gone asks for it for ever (bitnami/containers#67054, cloudnative-pg/cloudnative-pg#11112)."
)
_SLOT = "A slot that nobody reads keeps WAL until the disk is full (zalando/postgres-operator#2012)."
_LIBRARY = (
    "Another build can sort text differently; indexes are then silently wrong after a promotion "
    "(docker-library/postgres#1356)."
)
_SYNC = "One synchronous standby that dies stops every write (zalando/patroni#2019, kartoza/docker-postgis#299)."
_DOWN = (
    "With a node down the next failure is an outage; one that hangs accepts, once resumed, writes that are lost "
    "(zalando/patroni#1371)."
)
_REFUSES = (
    "A server that has no room left, or another password, works for those who are connected: to replace it would be "
    "an outage (PostgreSQL's manual, 'Connections and Authentication')."
)
_LOCKED_OUT = (
    "A server that is well may let nobody work: an ALTER ROLE or ALTER DATABASE is seen at the next connection only "
    "(PostgreSQL's manual, 'ALTER ROLE')."
)
_MEMORY = "The kernel kills what exceeds its limit (PostgreSQL's manual, 'Linux Memory Overcommit')."
_PLAIN_TEXT = "`docker inspect` shows variables to everybody who may ask the engine (docker-library/postgres#111)."

_FOLDER = "Secrets of containers are mounted from the project: without them none can be started again."
_STRANGE = "Data of another cluster can never follow (PostgreSQL's manual, 'Streaming Replication Protocol')."
_CHECKSUMS = "Without them a broken disk is noticed by its first victim (PostgreSQL's manual, 'Data Checksums')."
_ARCHIVE = "A command that hangs fills the disk, and holds up each shutdown (zalando/patroni#2067)."
_OUTSIDE = (
    "Two servers in one folder destroy it; what a container has beside its volume goes with it "
    "(docker-library/postgres#629)."
)
_TLS = "Without TLS a network sees every row (PostgreSQL's manual, 'Secure TCP/IP Connections with SSL')."
_LAG = (
    "Bytes tell it: seconds grow on an idle cluster "
    "(prometheus-community/postgres_exporter#385, cloudnative-pg/cloudnative-pg#1814)."
)
_TIMELINE = (
    "'requested timeline is not a child of this server's history' "
    "(zalando/postgres-operator#1079, zalando/patroni#3685)."
)


def _nothing(_: Facts) -> Iterator[Gap]:
    return iter(())


def _observed(facts: Facts) -> Iterator[Gap]:
    if isinstance(facts.assessment, Gap):
        yield facts.assessment


def _everybody(facts: Facts) -> Iterator[Gap]:
    yield from facts.unheard()


def _decided(facts: Facts) -> Iterator[Gap]:
    yield from facts.undecided()


def _primary(facts: Facts) -> Iterator[Gap]:
    yield from facts.no_primary()


def _primary_and_standbys(facts: Facts) -> Iterator[Gap]:
    yield from facts.no_primary()
    yield from facts.unheard()


def _check(
    code: str, title: str, why: str, gaps: Callable[[Facts], Iterator[Gap]] = _observed, runtime: str | None = None
) -> Check[Facts]:
    def judge(facts: Facts) -> Told:
        yield from gaps(facts)
        yield from map(symptom, facts.finding_codes.get(code, ()))

    group = Group.CONTAINERS if runtime else Group.CLUSTER
    return Check(code=code, group=group, title=title, why=why, judge=judge, runtime=runtime)


def symptom(found: Finding) -> Symptom:
    """A finding of `haop status` without its code."""
    return Symptom(severity=found.severity, message=found.message, node=found.node, hint=found.hint)


CLUSTER: tuple[Check[Facts], ...] = (
    _check("no-primary", "there is a primary", "Without one, every write fails."),
    _check("two-primaries", "there is one primary only", _SECOND_PRIMARY, _decided),
    _check("unreachable", "every node answers", _DOWN),
    _check("connections-full", "every node has room for haop", _REFUSES),
    _check("refuses-haop", "every node accepts the login of haop", _REFUSES),
    _check("application-refused", "the application can connect", _LOCKED_OUT, _primary),
    _check("application-read-only", "the application can write", _LOCKED_OUT, _primary),
    _check("role-hindered", "the roles that haop works with can connect", _LOCKED_OUT, _primary),
    _check("fenced", "no node is fenced", _SECOND_PRIMARY),
    _check("fence-broken", "nothing serves the data of a fenced node", _SECOND_PRIMARY),
    _check("interrupted", "nothing was interrupted", "A fault that nobody healed is an outage that waits.", _nothing),
    _check("guard-absent", "a guard watches", "Nobody else replaces a primary that is gone."),
    _check("guard-stalled", "the guard works", "A guard that is stopped by a signal, or hangs, replaces nobody."),
    _check("guard-paused", "the guard is not paused", "A pause that somebody forgot is no guard."),
    _check("folder-lost", "nodes run with files that are there", _FOLDER, _observed),
    _check("foreign-node", "all nodes come from one cluster", _STRANGE, _everybody),
    _check("versions-differ", "all nodes run one version", _LIBRARY, _everybody),
    _check("checksums-off", "data checksums are on", _CHECKSUMS, _everybody),
    _check("tls-off", "connections are encrypted", _TLS, _everybody),
    _check("not-streaming", "every standby streams", _GONE, _primary_and_standbys),
    _check("lagging", "no standby lags", _LAG, _primary_and_standbys),
    _check("timeline-diverged", "every standby's timeline is the primary's", _TIMELINE, _primary_and_standbys),
    _check("wal-removed", "the primary has the WAL that standbys need", _GONE, _primary_and_standbys),
    _check("slot-missing", "every standby has its slot", _GONE, _primary),
    _check("slot-lost", "no slot is lost", _GONE, _primary),
    _check("slot-inactive", "every slot is read", _SLOT, _primary),
    _check("tablespace", "all data lie in their node's own place", _OUTSIDE, _everybody),
    _check("path-outside", "all files lie in their node's own place", _OUTSIDE, _everybody),
    _check("archiving", "WAL reaches its archive", _ARCHIVE, _primary),
    _check("sync-unsatisfied", "sync is confirmed by a standby", _SYNC, _primary),
    _check("images-differ", "all nodes come from one image", _LIBRARY, runtime="compose"),
    _check("out-of-memory", "no container ran out of memory", _MEMORY, runtime="compose"),
    _check(
        "cut-off",
        "every container is on its networks",
        "A reconnected container has another address, which its peers must find.",
        runtime="compose",
    ),
    _check(
        "addon-down", "the services beside the nodes run", "An application that ended tells nobody.", runtime="compose"
    ),
    _check(
        "addon-unhealthy",
        "the services beside the nodes are well",
        "A container that runs may still not answer (keploy/samples-go#241).",
        runtime="compose",
    ),
    _check("secrets-in-environment", "no password is in a variable", _PLAIN_TEXT, _nothing, runtime="compose"),
)
