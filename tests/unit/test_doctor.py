"""Every check of the doctor, provoked by a table of cases; none of them says anything of a cluster that is well."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console

import haop
from haop.cli import doctor_report
from haop.model.containers import ComposeSpec, RedisSpec, WebSecrets, WebSpec
from haop.model.diagnosis import Diagnosis, Gap, Outcome
from haop.model.endpoint import Endpoint
from haop.model.examined import ContainerSeen, MachineSeen, MountSeen, PlaceSeen, ServerSeen
from haop.model.hba import Rule
from haop.model.health import Finding, Health, Severity
from haop.model.lsn import Lsn
from haop.model.service import ServiceState, State
from haop.model.settings import Pending
from haop.model.spec import ClusterSpec, Durability, NodeSpec
from haop.model.status import ClusterStatus, Reachable, Role, Server, Slot, Unreachable
from haop.operations.doctor import fixes
from haop.operations.doctor.cluster import CLUSTER
from haop.operations.doctor.examination import REGISTRY, judge
from haop.operations.doctor.facts import Facts, GitSeen, ProjectSeen, StackSeen
from haop.operations.status import Assessment
from haop.postgres.answers import reason
from haop.project import Project, Secrets

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GB, MB = 2**30, 2**20

SECRETS = Secrets(
    replication_user="replicator", rewind_user="rewinder", monitor_user="monitor", postgres_password="a" * 20,
    database_password="b" * 20, replication_password="c" * 20, rewind_password="d" * 20, monitor_password="e" * 20,
    redis_password="f" * 20, cluster_id="1",
)  # fmt: skip
SETTINGS = {
    "max_connections": "100", "max_worker_processes": "8", "max_wal_senders": "8", "max_prepared_transactions": "0",
    "max_locks_per_transaction": "64", "max_slot_wal_keep_size": str(4 * GB), "wal_keep_size": str(256 * MB),
    "max_wal_size": str(GB), "shared_buffers": str(128 * MB), "fsync": "on", "full_page_writes": "on",
    "synchronous_commit": "on", "wal_level": "replica", "hot_standby_feedback": "on", "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
}  # fmt: skip


def verifier(password: str) -> str:
    """As PostgreSQL would make it (RFC 5802), with a salt of the test's."""
    import hashlib
    import hmac
    from base64 import b64encode

    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt" * 4, 16)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    served = hmac.digest(salted, b"Server Key", "sha256")
    text = [b64encode(part).decode() for part in (b"salt" * 4, stored, served)]
    return f"SCRAM-SHA-256$16:{text[0]}${text[1]}:{text[2]}"


VERIFIERS = {
    "postgres": verifier("a" * 20), "shop": verifier("b" * 20), "replicator": verifier("c" * 20),
    "rewinder": verifier("d" * 20), "monitor": verifier("e" * 20),
}  # fmt: skip


def rule(line: int, databases: str, address: str = "samenet", method: str = "scram-sha-256") -> Rule:
    return Rule(line=line, kind="host", databases=(databases,), address=address, method=method, error=None, text="")


def slot(name: str, *, active: bool = True, status: str = "reserved", physical: bool = True) -> Slot:
    return Slot(name=name, physical=physical, active=active, wal_status=status, retained_bytes=0)


def node(name: str, role: Role) -> Reachable:
    server = Server(
        role=role, timeline=1, lsn=Lsn(1), received_lsn=None, lag_seconds=0.0, receiver=None, primary_since=None,
        synchronous_standby_names="", version_num=180001, system_identifier="1", checksums=True, tls=True,
        started_at=NOW,
    )  # fmt: skip
    return Reachable(name=name, endpoint=Endpoint("h", 1), service=ServiceState(State.RUNNING), server=server)


def well(runtime: str) -> Facts:
    """A pair that is as it should be: db1 is the primary."""
    spec = ClusterSpec(
        name="shop", postgres=18, runtime=runtime, database="shop", owner="shop", parameters={},
        nodes=(NodeSpec("db1", 5432), NodeSpec("db2", 5433)), compose=ComposeSpec(image="postgres:18.1"),
        redis=RedisSpec(image="redis:7.2") if runtime == "compose" else None,
        web=WebSpec(image="web@sha256:00", build=None) if runtime == "compose" else None,
    )  # fmt: skip
    server = ServerSeen(
        in_recovery=False, settings=SETTINGS, rules=(rule(1, "all"), rule(2, "replication")), verifiers=VERIFIERS,
        databases={"shop": "shop", "postgres": "postgres"}, slots=(slot("db2"),),
    )  # fmt: skip
    container = ContainerSeen(
        running=True, restart="unless-stopped", fence="", stop_signal="SIGINT", stop_seconds=120,
        health=("CMD", "sh", "/etc/haop/health.sh"), published=("127.0.0.1:5432",), leaking=(), outdated=False,
        memory_bytes=0, mounts=(MountSeen(kind="volume", source="shop_db1", target="/var/lib/postgresql"),),
    )  # fmt: skip
    place = PlaceSeen(filesystem="/dev/vda", free_bytes=50 * GB, mode=0o700, owned=True)
    status = ClusterStatus((node("db1", Role.PRIMARY), node("db2", Role.STANDBY)), NOW)
    services = [*spec.addons, "db1", "db2"] if runtime == "compose" else []
    return Facts(
        spec=spec,
        project=ProjectSeen(env_mode=0o600, exposed=(), leaks=(), stack=StackSeen(), git=GitSeen(), refusal=None),
        secrets=SECRETS,
        machine=MachineSeen(system="linux", memory_bytes=16 * GB),
        assessment=Assessment(status, (), Health.HEALTHY, {}),
        servers={"db1": server, "db2": replace(server, in_recovery=True, slots=())},
        places={"db1": place, "db2": place},
        containers=dict.fromkeys(services, container),
        stale_primaries={},
    )


Change = Callable[[Facts], Facts]


def project(**values: Any) -> Change:
    return lambda facts: replace(facts, project=replace(facts.project, **values))


def spec(**values: Any) -> Change:
    return lambda facts: replace(facts, spec=replace(facts.spec, **values))


def machine(**values: Any) -> Change:
    return lambda facts: replace(facts, machine=replace(facts.machine, **values))


def server(name: str, **values: Any) -> Change:
    def change(facts: Facts) -> Facts:
        return replace(facts, servers={**facts.servers, name: replace(facts.answering[name], **values)})

    return change


def setting(name: str, **values: str) -> Change:
    return server(name, settings={**SETTINGS, **values})


def container(name: str, **values: Any) -> Change:
    def change(facts: Facts) -> Facts:
        seen = facts.containers[name]
        assert isinstance(seen, ContainerSeen)
        return replace(facts, containers={**facts.containers, name: replace(seen, **values)})

    return change


def place(name: str, **values: Any) -> Change:
    def change(facts: Facts) -> Facts:
        seen = facts.places[name]
        assert isinstance(seen, PlaceSeen)
        return replace(facts, places={**facts.places, name: replace(seen, **values)})

    return change


def found(code: str, name: str = "db2") -> Change:
    """As `haop status` found it."""

    def change(facts: Facts) -> Facts:
        finding = Finding(code=code, severity=Severity.ERROR, message="so it is", node=name, hint="haop up")
        assert isinstance(facts.assessment, Assessment)
        return replace(facts, assessment=replace(facts.assessment, findings=(finding,)))

    return change


def both(*changes: Change) -> Change:
    def change(facts: Facts) -> Facts:
        for one in changes:
            facts = one(facts)
        return facts

    return change


def gone(facts: Facts) -> Facts:
    return replace(facts, servers={"db1": GONE, "db2": GONE})


E, W, I = Severity.ERROR, Severity.WARNING, Severity.INFO  # noqa: E741 - as a table reads
GONE = Gap("db2: stopped")
LOCKED = Gap(f"db2: {reason(psycopg.OperationalError('password authentication failed'))}")
web = WebSpec(image="web@sha256:00", build=None)
anonymous = MountSeen(kind="volume", source="0" * 64, target="/var/lib/postgresql")
folder = MountSeen(kind="bind", source="/Users/me/data", target="/var/lib/postgresql")

# code, what is changed, severity, node, words of the message
CASES: list[tuple[str, Change, Severity, str | None, str]] = [
    ("env-unusable", both(project(env_mode=None), lambda f: replace(f, secrets=Gap("x"))), E, None, ".env is missing"),
    ("env-unusable", lambda f: replace(f, secrets=Gap("MONITOR_PASSWORD is empty")), E, None, "MONITOR_PASSWORD"),
    ("env-readable", project(env_mode=0o640), E, None, "mode 640"),
    ("secrets-readable", project(exposed=((".haop/tls/ca.key", 0o644),)), E, None, ".haop/tls/ca.key"),
    ("password-committed", project(leaks=("haop.toml",)), E, None, "haop.toml holds a password"),
    ("env-tracked", project(git=GitSeen(tracked=(".env",))), E, None, ".env is tracked"),
    ("not-ignored", project(git=GitSeen(unignored=(".env",))), W, None, "does not ignore .env"),
    ("stack-edited", project(stack=StackSeen(edited=("node.sh",))), W, None, "stack/node.sh was edited"),
    ("stack-stale", project(stack=StackSeen(stale=("node.sh", "pg_hba.conf"))), W, None, "stack/node.sh, stack/pg_hba"),
    ("stack-stale", project(stack=StackSeen(unprovided=True)), W, None, "are missing"),
    ("not-in-haop-toml", lambda f: replace(f, strays=("db3",)), I, "db3", "db3 is not in haop.toml"),
    ("up-refused", project(refusal=("port 5432 is in use", "stop it")), E, None, "port 5432 is in use"),
    ("image-floating", spec(compose=ComposeSpec(image="postgres:latest")), W, None, "postgres:latest"),
    ("image-floating", spec(compose=ComposeSpec(image="host:5000/own")), W, None, "any version at all"),
    ("image-floating", spec(compose=ComposeSpec()), I, None, "postgres:18"),
    ("image-floating", spec(redis=RedisSpec()), I, None, "redis:7"),
    ("single-host", spec(web=replace(web, environment={"A": "postgres://u@db1:5432/shop"})), W, None, "A of the app"),
    ("single-host", spec(web=replace(web, environment={"PGHOST": "db2"})), W, None, "names db2 alone"),
    ("single-host", spec(web=replace(web, environment={"DSN": "host=db1 dbname=shop"})), W, None, "names db1 alone"),
    ("sync-one-standby", spec(durability=Durability.SYNC), W, None, "one standby"),
    ("salvage-large", project(salvage_bytes=3 * GB), I, None, "3.0 GB of discarded WAL"),
    ("log-long", both(spec(runtime="local"), project(log_bytes={"db1": 10 * MB, "db2": GB})), W, "db2", "1024 MB"),
    ("program-missing", machine(problems=(("no Docker engine answers", "start it"),)), E, None, "no Docker engine"),
    ("disk-short", both(place("db1", free_bytes=8 * GB), place("db2", free_bytes=8 * GB)), W, None, "db1, db2"),
    ("disk-short", both(place("db1", filesystem="/dev/vdb", free_bytes=GB)), E, "db1", "1024 MB are free"),
    ("memory-short", machine(memory_bytes=300 * MB), W, None, "256 MB of the machine's 300 MB"),
    ("memory-short", container("db1", memory_bytes=200 * MB), W, "db1", "128 MB of the 200 MB"),
    ("clock-skew", server("db2", skew_seconds=-3.0), W, "db2", "-3.0 s"),
    ("data-mode", place("db2", mode=0o755), E, "db2", "mode 755"),
    ("data-mode", place("db2", owned=False), E, "db2", "not its server's user's"),
    ("not-durable", setting("db1", fsync="off"), E, "db1", "fsync is off"),
    ("not-durable", setting("db2", full_page_writes="off"), E, "db2", "full_page_writes is off"),
    ("not-durable", both(spec(parameters={"fsync": "off"}),
                         gone), E, None, "fsync is off in haop.toml"),
    ("commit-not-durable", setting("db1", synchronous_commit="off"), W, "db1", "a crash loses"),
    ("commit-not-durable", both(spec(durability=Durability.SYNC), setting("db1", synchronous_commit="local")),
     E, "db1", "durability is sync"),
    ("wal-minimal", setting("db1", wal_level="minimal"), E, "db1", "no standby can follow"),
    ("feedback-off", setting("db2", hot_standby_feedback="off"), I, "db2", "cancels long queries"),
    ("slot-unlimited", setting("db1", max_slot_wal_keep_size="-1"), W, "db1", "may fill its disk"),
    ("settings-lower", setting("db1", max_connections="200"), E, "db2", "max_connections is 100 on db2, 200 on"),
    ("settings-lower", setting("db2", max_locks_per_transaction="10"), E, "db2", "max_locks_per_transaction is 10"),
    ("settings-overridden", server("db1", overridden=("work_mem",)), W, "db1", "work_mem"),
    ("restart-needed", server("db2", pending=(Pending("max_connections", "100", "200"),)), I, "db2", "100 → 200"),
    ("password-encryption", setting("db1", password_encryption="md5"), W, "db1", "password_encryption is md5"),
    ("listens-beyond-loopback", setting("db1", listen_addresses="127.0.0.1, 10.0.0.1"), W, "db1", "10.0.0.1"),
    ("hba-weak", server("db1", rules=(rule(3, "all", method="trust"), rule(4, "replication"))), E, "db1", "line 3"),
    ("hba-weak", server("db1", rules=(rule(3, "all", method="md5"), rule(4, "replication"))), W, "db1", "is md5"),
    ("hba-weak", server("db1", rules=(rule(3, "all", method="ldap"), rule(4, "replication"))), W, "db1", "is ldap"),
    ("hba-open", server("db1", rules=(rule(3, "all", "all"), rule(4, "replication"))), W, "db1", "any address"),
    ("hba-broken", server("db1", rules=(rule(3, "all"),)), E, "db1", "no line for replication"),
    ("hba-broken", server("db1", rules=(replace(rule(3, "replication"), error="bad mask"),)), E, "db1", "bad mask"),
    ("role-missing", server("db1", verifiers={k: v for k, v in VERIFIERS.items() if k != "monitor"}), E, None,
     "no role monitor"),
    ("password-differs", server("db1", verifiers={**VERIFIERS, "shop": verifier("x")}), E, None,
     "the password of shop is not DATABASE_PASSWORD"),
    ("password-differs", lambda f: replace(f, servers={**f.servers, "db2": LOCKED}), E, "db2", "POSTGRES_PASSWORD"),
    ("password-differs", server("db1", verifiers={**VERIFIERS, "shop": "md500"}), E, None, "SCRAM verifier"),
    ("database-missing", server("db1", databases={}), E, None, "no database shop"),
    ("database-missing", server("db1", databases={"shop": "me"}), W, None, "belongs to me"),
    ("collation-changed", server("db2", collations=("database shop (1, now 2)",)), E, "db2", "(1, now 2)"),
    ("slot-unknown", server("db1", slots=(slot("db2"), slot("db9", active=False))), W, "db1", "the slot db9 on db1"),
    ("slot-unknown", server("db2", slots=(slot("db1", active=False),)), W, "db2", "the slot db1 on db2"),
    ("slot-unknown", server("db1", slots=(slot("db2"), slot("cdc", active=False, physical=False))), W, "db1", "cdc"),
    ("slot-unreserved", server("db1", slots=(slot("db2", status="unreserved"),)), W, None, "the slot db2"),
    ("replay-paused", server("db2", replay="paused"), E, "db2", "db2 does not replay"),
    ("clone-left-over", server("db2", leftovers=("/data.clone",)), W, "db2", "/data.clone"),
    ("unmarked-primary", lambda f: replace(f, stale_primaries={"db2": True}), W, "db2", "no fence, and db1 is primary"),
    ("fenced-restarts", container("db2", running=False, fence="fenced"), E, "db2", "restart policy unless-stopped"),
    ("restart-policy", container("db2", restart="no"), W, "db2", "is no, not unless-stopped"),
    ("health-check", container("db2", health=("CMD-SHELL", "pg_isready")), W, "db2", "CMD-SHELL pg_isready"),
    ("health-check", container("db2", health=()), W, "db2", "none"),
    ("stop-too-hard", container("db2", stop_seconds=10), W, "db2", "killed after 10 s"),
    ("stop-too-hard", container("db2", stop_signal="SIGTERM"), W, "db2", "SIGTERM"),
    ("mount-wrong", container("db2", mounts=()), E, "db2", "/var/lib/postgresql"),
    ("mount-wrong", spec(postgres=15), E, "db1", "/var/lib/postgresql/data, where PostgreSQL 15"),
    ("anonymous-volume", container("db2", mounts=(anonymous,)), W, "db2", "without a name"),
    ("data-on-macos-folder", both(machine(system="darwin"), container("db2", mounts=(folder,))), W, "db2", "/Users/me"),
    ("port-open", container("redis", published=("*:6379",)), W, "redis", "published on *:6379"),
    ("password-inspected", container("db1", leaking=("POSTGRES_PASSWORD",)), E, "db1", "POSTGRES_PASSWORD of db1"),
    ("container-outdated", container("web", outdated=True), I, "web", "older stack/compose.yaml"),
    *((check.code, found(check.code), E, "db2", "so it is") for check in CLUSTER),
]  # fmt: skip


def examined(code: str, change: Change = lambda it: it) -> Diagnosis:
    check = next(check for check in REGISTRY if check.code == code)
    facts = change(well("local" if check.runtime == "local" else "compose"))
    return next(diagnosis for diagnosis in judge(facts).diagnoses if diagnosis.code == code)


@pytest.mark.parametrize(("code", "change", "severity", "name", "words"), CASES)
def test_each_check_finds_what_it_is_for(
    code: str, change: Change, severity: Severity, name: str | None, words: str
) -> None:
    diagnosis = examined(code, change)
    assert diagnosis.outcome is Outcome.FOUND
    hits = [finding for finding in diagnosis.findings if words in finding.message and finding.node == name]
    assert [(finding.code, finding.severity) for finding in hits[:1]] == [(code, severity)], diagnosis.findings
    assert hits[0].hint, "an operator must know what to do"


def test_every_check_of_the_registry_is_provoked_and_says_why() -> None:
    codes = [check.code for check in REGISTRY]
    assert len(codes) == len(set(codes))
    assert {case[0] for case in CASES} == set(codes)
    for check in REGISTRY:
        assert check.why.endswith((".", "?")), check.code
        assert "pain" not in check.why
        assert "/work" not in check.why


def test_every_finding_of_status_has_its_check() -> None:
    package = Path(haop.__file__).parent
    status = ("operations/status.py", "operations/access.py")
    sources = ("model/health.py", "model/outside.py", "model/containers_health.py", *status)
    raised = {
        code
        for source in sources
        for line in (package / source).read_text().splitlines()
        if "code=" in line
        for code in re.findall(r'"([a-z][a-z-]+)"', line.partition("code=")[2].partition(", severity")[0])
    }
    assert len(raised) > 20
    assert raised == {check.code for check in CLUSTER}


def test_a_volume_without_a_name_that_was_adopted_is_named_in_haop_toml() -> None:
    nodes = (NodeSpec("db1", 5432), NodeSpec("db2", 5433, volume=anonymous.source))
    change = both(spec(nodes=nodes), container("db2", mounts=(anonymous,)))
    for code in ("mount-wrong", "anonymous-volume"):
        assert examined(code, change).outcome is Outcome.PASSED


@pytest.mark.parametrize("runtime", ["local", "compose"])
def test_a_cluster_that_is_well_passes_every_check_of_its_runtime(runtime: str) -> None:
    examination = judge(well(runtime))
    assert examination.findings == ()
    assert {diagnosis.outcome for diagnosis in examination.diagnoses} == {Outcome.PASSED}
    expected = {check.code for check in REGISTRY if check.runtime in {None, runtime}}
    assert {diagnosis.code for diagnosis in examination.diagnoses} == expected
    assert doctor_report.exit_code(examination) == 0


def blind(facts: Facts) -> Facts:
    """Nobody could look at anything."""
    gap = Gap("nothing answers")
    everywhere: Mapping[str, Gap] = dict.fromkeys(("db1", "db2"), gap)
    return replace(
        facts, secrets=SECRETS, assessment=gap, servers=everywhere, places=everywhere, stale_primaries={}, strays=gap,
        containers=dict.fromkeys(facts.containers, gap),
        project=replace(facts.project, leaks=gap, stack=gap, git=gap, refusal=gap),
    )  # fmt: skip


def test_what_could_not_be_looked_at_is_never_passed() -> None:
    examination = judge(blind(well("compose")))
    passed = {diagnosis.code for diagnosis in examination.ended(Outcome.PASSED)}
    # Of haop.toml, .env's mode and this machine alone.
    alone = {"env-unusable", "env-readable", "secrets-readable", "image-floating", "single-host", "sync-one-standby"}
    alone |= {"salvage-large"}
    assert passed == alone | {"program-missing", "interrupted", "secrets-in-environment"}
    assert examination.findings == ()
    assert doctor_report.document(examination, ())["not_examined"] == len(examination.ended(Outcome.NOT_EXAMINED))


def test_a_finding_on_one_node_does_not_hide_that_another_was_not_examined() -> None:
    silent: Change = lambda f: replace(f, servers={**f.servers, "db2": GONE})  # noqa: E731
    diagnosis = examined("not-durable", both(setting("db1", fsync="off"), silent))
    assert diagnosis.outcome is Outcome.FOUND
    assert diagnosis.gaps == ("db2: stopped",)
    assert examined("not-durable", silent).outcome is Outcome.NOT_EXAMINED


def test_a_finding_that_the_registry_does_not_know_yet_is_shown() -> None:
    examination = judge(found("brand-new")(well("local")))
    assert [finding.code for finding in examination.findings] == ["brand-new"]


@pytest.mark.parametrize(
    "value", ["postgres://u@db1:5432,db2:5432/shop", "host=db1,db2 dbname=shop", "db1,db2", "https://db1.example.org/x"]
)
def test_an_application_that_knows_every_node_is_left_alone(value: str) -> None:
    assert examined("single-host", spec(web=replace(web, environment={"A": value}))).outcome is Outcome.PASSED


def test_passwords_that_haop_toml_wants_in_variables_are_the_remark_of_status() -> None:
    change = both(spec(web=replace(web, secrets=WebSecrets.ENV)), container("web", leaking=("DATABASE_URL",)))
    assert examined("password-inspected", change).outcome is Outcome.PASSED


def test_without_one_primary_the_exit_is_4_as_that_of_status() -> None:
    facts = well("local")
    assert isinstance(facts.assessment, Assessment)
    for health, code in ((Health.NO_PRIMARY, 4), (Health.TWO_PRIMARIES, 4), (Health.DEGRADED, 0)):
        assert (
            doctor_report.exit_code(judge(replace(facts, assessment=replace(facts.assessment, health=health)))) == code
        )
    assert doctor_report.exit_code(judge(setting("db1", fsync="off")(facts))) == 3


def test_fixes_are_planned_for_what_is_safe_and_asks_before_a_slot_is_dropped() -> None:
    change = both(
        project(env_mode=0o644, exposed=((".haop/secrets", 0o755),), stack=StackSeen(stale=("node.sh",)),
                git=GitSeen(unignored=(".haop/rendered.json",))),
        container("db2", running=False, fence="fenced"), found("slot-missing"),
        server("db1", slots=(slot("db9", active=False), slot("cdc", active=False, physical=False))),
    )  # fmt: skip
    facts = change(well("compose"))
    planned = fixes.plan(Project(Path("/nowhere"), facts.spec), facts)
    assert [(fix.code, fix.title) for fix in planned] == [
        ("env-readable", "chmod 600 .env"), ("secrets-readable", "chmod 700 .haop/secrets"),
        ("not-ignored", "add .haop/ to .gitignore"), ("stack-stale", "haop render"),
        ("fenced-restarts", "restart policy of db2: no"), ("slot-missing", "make the slots db2 on db1"),
        ("slot-unknown", "drop the slot db9 on db1"),
    ]  # fmt: skip
    assert [fix.code for fix in planned if fix.question] == ["slot-unknown"]
    edited = project(stack=StackSeen(stale=("node.sh",), edited=("pg_hba.conf",)))(well("local"))
    assert fixes.plan(Project(Path("/nowhere"), edited.spec), edited) == (), "never over what somebody edited"


def test_the_report_names_errors_first_and_what_was_not_examined() -> None:
    change = both(
        spec(durability=Durability.SYNC), setting("db1", fsync="off"),
        lambda f: replace(f, servers={**f.servers, "db2": GONE}),
    )  # fmt: skip
    console = Console(width=160)
    with console.capture() as captured:
        console.print(doctor_report.report(judge(change(well("local")))))
    text = captured.get()
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0].startswith("error   not-durable       fsync is off on db1")
    assert lines[1].startswith("        why  A crash of the machine")
    assert lines[2].startswith("        fix  set fsync in haop.toml")
    assert lines[3].startswith("warning sync-one-standby")
    assert re.fullmatch(r"1 error, 1 warning; \d+ checks passed; \d+ not examined because:", lines[6])
    assert lines[7].startswith("  db2: stopped (")


def test_an_unreachable_node_leaves_gaps_where_it_would_have_been_asked() -> None:
    facts = well("local")
    away = Unreachable(
        name="db2", endpoint=Endpoint("h", 1), service=ServiceState(State.RUNNING), reason="no answer within 2 s"
    )
    status = ClusterStatus((node("db1", Role.PRIMARY), away), NOW)
    facts = replace(facts, assessment=Assessment(status, (), Health.DEGRADED, {}))
    told = {diagnosis.code: diagnosis.gaps for diagnosis in judge(facts).diagnoses}
    assert told["two-primaries"] == told["tls-off"] == told["lagging"] == ("db2: no answer within 2 s",)
    assert told["slot-missing"] == ()
