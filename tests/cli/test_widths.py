"""Every table on a narrow terminal: what matters is there, whole."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console, RenderableType

from haop.cli import check_table, drill_report, tables
from haop.drills.faults import Fault
from haop.drills.repeat import Series
from haop.model.checking import Check, Checked, Outcome
from haop.model.endpoint import Endpoint
from haop.model.health import Health
from haop.model.lsn import Lsn
from haop.model.service import ServiceState, State
from haop.model.spec import ClusterSpec, NodeSpec
from haop.model.status import ClusterStatus, Reachable, Role, Sender, Server, Slot, Unreachable
from haop.operations.status import Assessment
from tests.drills.test_past import LOSSY, SEEN, report

WIDTHS = (160, 80, 60)
NOW = datetime(2026, 1, 31, 9, 15, tzinfo=UTC)


def drawn(width: int, what: RenderableType) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(what)
    text = capture.get()
    assert "…" not in text, text
    assert max(map(len, text.splitlines())) <= width, text
    return text


def status() -> tuple[ClusterSpec, Assessment]:
    """Three nodes whose cells are as long as they get."""
    spec = ClusterSpec(
        name="shop", postgres=18, runtime="local", database="shop", owner="shop", parameters={},
        nodes=tuple(NodeSpec(f"db{n}", 32000 + n) for n in (1, 2, 3)),
    )  # fmt: skip
    server = Server(
        role=Role.PRIMARY, timeline=12, lsn=Lsn(0xFFFF_FFFF_FFFF), received_lsn=None, lag_seconds=None, receiver=None,
        primary_since=None, synchronous_standby_names="", version_num=180006, system_identifier="1", checksums=True,
        tls=True, started_at=NOW, senders=(Sender(application_name="db2", state="streaming", sync_state="potential"),),
        slots=tuple(Slot(name=n, active=n == "db2", wal_status="unreserved", retained_bytes=2**34 - 1) for n in
                    ("db2", "db3")),
    )  # fmt: skip
    standby = replace(server, role=Role.STANDBY, lsn=Lsn(1), lag_seconds=12345.6, slots=(), senders=())
    places = [Endpoint("127.0.0.1", node.port) for node in spec.nodes]
    observed = ClusterStatus((
        Reachable(name="db1", endpoint=places[0], service=ServiceState(State.RUNNING), server=server),
        Reachable(name="db2", endpoint=places[1], service=ServiceState(State.RUNNING), server=standby),
        Unreachable(name="db3", endpoint=places[2], service=ServiceState(State.RUNNING), reason="it does not answer"),
    ), NOW)  # fmt: skip
    return spec, Assessment(observed, (), Health.DEGRADED, {})


def rows(text: str, *names: str) -> Iterator[list[str]]:
    for name in names:
        yield next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_node_its_port_its_role_and_its_state_are_whole(width: int) -> None:
    text = drawn(width, tables.status(*status()))
    one, two, three = rows(text, "db1", "db2", "db3")
    assert one[:4] == ["db1", "127.0.0.1:32001", "primary", "running"]
    assert two[:5] == ["db2", "127.0.0.1:32002", "standby", "not", "streaming"]
    assert three[:4] == ["db3", "127.0.0.1:32003", "–", "unreachable"]
    assert ("LSN" in text) == (width == 160)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_check_its_node_and_its_outcome_are_whole(width: int) -> None:
    spec, _ = status()
    evidence = "10,000 rows of public.orders_of_the_last_ten_years, a token written on db1 was replayed after 3 ms"
    outcomes = {"write-refused": Outcome.OK, "replication-role": Outcome.NOT_COMPARED}
    checks = tuple(
        Check(check=name, node="db2", outcome=outcome, evidence=evidence, seconds=0.0123)
        for name, outcome in outcomes.items()
    )
    text = drawn(width, check_table.check(spec, Checked(at=NOW, primary="db1", checks=checks)))
    assert [row[:2] for row in rows(text, "write-refused", "replication-role")] == [
        ["write-refused", "db2"], ["replication-role", "db2"],
    ]  # fmt: skip
    assert Outcome.NOT_COMPARED in text


@pytest.mark.parametrize("width", WIDTHS)
def test_a_drill_and_its_figures_are_whole(width: int) -> None:
    done = report(buckets=(5,) * 55 + (0,) * 3 + (2,) * 2, bucket_span=(-55.0, 5.0), application=SEEN)
    text = drawn(width, drill_report.report(done))
    assert f"{'kill db1 ↑':>56}" in text
    assert "█" * 55 + "···" in text
    history = drawn(width, drill_report.history([done, LOSSY]))
    assert [row[0] for row in rows(history, done.id, LOSSY.id)] == [done.id, LOSSY.id]
    assert "missed" in history
    series = drawn(width, drill_report.series(Series(fault="kill", wanted=2, reports=(done, LOSSY))))
    for word in ("passed", "missed", "p50", "p95", "max", "sum"):
        assert word in series
    drawn(width, drill_report.faults(dict.fromkeys(Fault)))
