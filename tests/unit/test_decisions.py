"""The pure decisions: who is promoted, what `up` starts, what a specification accepts."""

import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest

from haop.engines.candidate import candidate
from haop.errors import NoPrimary, Refused
from haop.model.endpoint import Endpoint
from haop.model.lsn import Lsn
from haop.model.service import ServiceState, State
from haop.model.spec import ClusterSpec
from haop.model.status import ClusterStatus, NodeStatus, Reachable, Role, Server, Unreachable
from haop.model.table import SpecError
from haop.operations.planning import plan_up

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUNNING, STOPPED, ABSENT = ServiceState(State.RUNNING), ServiceState(State.STOPPED), ServiceState(State.ABSENT)
FENCED = ServiceState(State.STOPPED, fenced=True)


def server(role: Role, timeline: int, replayed: int, received: int | None = None) -> Server:
    return Server(
        role=role, timeline=timeline, lsn=Lsn(replayed), received_lsn=None if received is None else Lsn(received),
        lag_seconds=0.0, receiver=None, primary_since=None, synchronous_standby_names="", version_num=180006,
        system_identifier="1", checksums=True, tls=True, started_at=NOW,
    )  # fmt: skip


def up_node(name: str, role: Role, timeline: int, replayed: int, received: int | None = None) -> Reachable:
    return Reachable(
        name=name, endpoint=Endpoint("h", 1), service=RUNNING, server=server(role, timeline, replayed, received)
    )


def gone(name: str) -> Unreachable:
    return Unreachable(name=name, endpoint=Endpoint("h", 1), service=STOPPED, reason="stopped")


def cluster(*nodes: NodeStatus) -> ClusterStatus:
    return ClusterStatus(nodes, NOW)


P, S = Role.PRIMARY, Role.STANDBY


@pytest.mark.parametrize(
    ("nodes", "to", "chosen"),
    [
        ((gone("db1"), up_node("db2", S, 1, 10), up_node("db3", S, 1, 20)), None, "db3"),
        ((gone("db1"), up_node("db2", S, 1, 10, 30), up_node("db3", S, 1, 20)), None, "db2"),
        ((gone("db1"), up_node("db2", S, 2, 10), up_node("db3", S, 1, 20)), None, "db2"),
        ((gone("db1"), up_node("db2", S, 1, 20), up_node("db3", S, 1, 20)), "db3", "db3"),
        # The same WAL: whoever has replayed more of it is primary sooner; never at the price of a byte.
        ((gone("db1"), up_node("db2", S, 1, 10, 30), up_node("db3", S, 1, 20, 30)), None, "db3"),
        ((gone("db1"), up_node("db2", S, 1, 10, 31), up_node("db3", S, 1, 20, 30)), None, "db2"),
        ((gone("db1"), up_node("db2", S, 1, 10, 30), up_node("db3", S, 1, 20, 30)), "db2", "db2"),
    ],
)
def test_the_most_advanced_standby_is_promoted(nodes: tuple[NodeStatus, ...], to: str | None, chosen: str) -> None:
    assert candidate(cluster(*nodes), to) == chosen


def test_nobody_is_promoted_beside_a_primary_or_at_the_price_of_rows() -> None:
    with pytest.raises(Refused, match="db1 is primary and answers"):
        candidate(cluster(up_node("db1", P, 1, 10), up_node("db2", S, 1, 10)), None)
    with pytest.raises(Refused, match="10 bytes of WAL that db2 lacks"):
        candidate(cluster(gone("db1"), up_node("db2", S, 1, 10), up_node("db3", S, 1, 20)), "db2")
    with pytest.raises(Refused, match="db1 is not a standby"):
        candidate(cluster(gone("db1"), up_node("db2", S, 1, 10)), "db1")
    with pytest.raises(NoPrimary, match="no standby answers"):
        candidate(cluster(gone("db1"), gone("db2")), None)


@pytest.mark.parametrize(
    ("states", "primaries", "expected"),
    [
        ({"db1": ABSENT, "db2": ABSENT}, set(), ("db1", ("db2",), ())),
        ({"db1": STOPPED, "db2": STOPPED}, {"db2"}, ("db2", ("db1",), ())),
        ({"db1": RUNNING, "db2": ABSENT}, {"db1"}, (None, ("db2",), ())),
        ({"db1": FENCED, "db2": RUNNING}, {"db1", "db2"}, (None, (), ("db1",))),
        ({"db1": RUNNING, "db2": RUNNING}, {"db1"}, (None, (), ())),
        ({"db1": STOPPED, "db2": RUNNING}, {"db1", "db2"}, (None, ("db1",), ())),
    ],
)
def test_plan_up(
    states: dict[str, ServiceState], primaries: set[str], expected: tuple[str | None, tuple[str, ...], tuple[str, ...]]
) -> None:
    plan = plan_up(states, frozenset(primaries), frozenset(name for name, state in states.items() if state == ABSENT))
    assert (plan.primary, plan.standbys, plan.rejoin) == expected
    assert (str(plan) == "everything ran already") == (expected == (None, (), ()))


def test_a_node_that_runs_without_data_is_not_taken_for_a_primary() -> None:
    empty = frozenset({"db2"})
    assert plan_up({"db1": STOPPED, "db2": RUNNING}, frozenset({"db1"}), empty).primary == "db1"
    both = frozenset({"db1", "db2"})
    plan = plan_up({"db1": RUNNING, "db2": RUNNING}, frozenset(), both)
    assert (plan.resume, plan.primary, plan.standbys, plan.rejoin) == ((), None, (), ()), "the first initialises"
    assert plan_up({"db1": STOPPED, "db2": RUNNING}, frozenset(), both).primary == "db1"


def test_up_does_not_guess_which_of_two_primaries_is_ahead() -> None:
    with pytest.raises(NoPrimary, match="db1 and db2 all have a primary's data"):
        plan_up({"db1": STOPPED, "db2": STOPPED}, frozenset({"db1", "db2"}), frozenset())


def test_up_never_starts_a_fenced_primary_on_its_own() -> None:
    with pytest.raises(NoPrimary, match="fenced"):
        plan_up({"db1": FENCED, "db2": STOPPED}, frozenset({"db1"}), frozenset())


def test_plan_up_says_how_to_do_without_a_primary_whose_data_are_gone() -> None:
    with pytest.raises(NoPrimary) as refused:
        plan_up({"db1": FENCED, "db2": ABSENT}, frozenset({"db1"}), frozenset({"db2"}))
    assert (refused.value.hint or "").endswith("haop failover --to db1 --accept-loss")


GOOD = """
[cluster]
name = "shop"
postgres = 18
[database]
name = "shop"
owner = "shop"
[[nodes]]
name = "db1"
port = 5432
[[nodes]]
name = "db2"
port = 5433
"""


def read(text: str) -> ClusterSpec:
    return ClusterSpec.from_toml(tomllib.loads(text))


def test_a_small_file_takes_the_defaults() -> None:
    spec = read(GOOD)
    assert (spec.durability, spec.objectives.write_recovery_seconds, spec.node("db2").port) == ("async", 5.0, 5433)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('name = "shop"\npostgres', "postgres", "cluster.name: missing"),
        ("postgres = 18", "postgres = 14", "cluster.postgres: expected 15, 16, 17 or 18, not 14"),
        ("postgres = 18", 'postgres = 18\ndurabilty = "sync"', "unknown key; did you mean 'durability'?"),
        ("postgres = 18", 'postgres = 18\nruntime = "nomad"', "cluster.runtime: expected compose or local"),
        ('"db2"', '"db1"', "nodes\\[1\\].name: 'db1' is the name of nodes\\[0\\] already"),
        ("5433", "5432", "nodes\\[1\\].port: 5432 is the port of node 'db1' already"),
        ("5433", "70000", "nodes\\[1\\].port: expected a whole number from 1 to 65535"),
        ("5433", "true", "nodes\\[1\\].port: expected a whole number"),
        ('owner = "shop"', 'owner = "postgres"', "database.owner: 'postgres' is PostgreSQL's own"),
        (
            "[database]",
            '[objectives]\nwrite_recovery = "soon"\n[database]',
            "objectives.write_recovery: expected a duration",
        ),
        ("[database]", "[postgres.parameters]\nport = 1\n[database]", "postgres.parameters.port: haop decides"),
        # What PostgreSQL accepts when it reads it, and then does not start with, or cannot be followed with.
        (
            "[database]",
            "[postgres.parameters]\nmax_connections = 3\n[database]",
            "max_connections: expected at least 4: 3 of them are reserved",
        ),
        (
            "[database]",
            "[postgres.parameters]\nmax_wal_senders = 2\n[database]",
            "max_wal_senders: expected at least 3",
        ),
        (
            "[database]",
            "[postgres.parameters]\nmax_replication_slots = 1\n[database]",
            "max_replication_slots: expected at least 2",
        ),
        ("[database]", "[nonsense]\n[database]", "nonsense: unknown key"),
    ],
)
def test_a_key_that_cannot_be_used_is_named(old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError, match=problem):
        read(GOOD.replace(old, new, 1))


def test_parameters_become_text_as_postgresql_reads_it() -> None:
    text = GOOD + '[postgres.parameters]\nmax_connections = 200\njit = false\nshared_buffers = "1GB"\n'
    expected: dict[str, Any] = {"max_connections": "200", "jit": "off", "shared_buffers": "1GB"}
    assert read(text).parameters == expected
