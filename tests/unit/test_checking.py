"""What `haop check` concludes from what servers said."""

import pytest

from haop.model.checking import (
    Answer,
    Check,
    Checked,
    Contents,
    NotRead,
    Outcome,
    Reading,
    RoleFacts,
    TableName,
    Unreadable,
    judge_role,
    judge_tables,
)
from haop.model.hba import Rule, judge_rules
from haop.model.lsn import Lsn
from tests.unit.test_decisions import NOW

GOOD = RoleFacts(attributes=frozenset({"LOGIN", "REPLICATION"}), member_of=(), holds=(), connects_to=())


def reading(name: str, *, unlogged: bool = False, **answers: Answer) -> Reading:
    table = TableName("public", name, f"public.{name}", unlogged=unlogged)
    return Reading(database="shop", table=table, lsn=Lsn(0x30), answers=answers)


@pytest.mark.parametrize(
    ("primary", "standby", "outcome", "told"),
    [
        (Contents(3), Contents(3), Outcome.OK, ""),
        (Contents(3, "7"), Contents(3, "7", "another refresh"), Outcome.OK, ""),
        (Contents(3), Contents(1), Outcome.DIFFERENT, "1 row here, 3 on db1"),
        (Contents(3, "7"), Contents(3, "8"), Outcome.DIFFERENT, "3 rows here and on db1, but their contents differ"),
        (Contents(3), Unreadable("torn"), Outcome.DIFFERENT, "cannot be read here: torn"),
        (Unreadable("torn"), Contents(3), Outcome.DIFFERENT, "cannot be read on db1: torn"),
        (Contents(3), NotRead("locked"), Outcome.NOT_COMPARED, "locked"),
        (NotRead("locked"), Contents(3), Outcome.NOT_COMPARED, "locked"),
    ],
)
def test_a_table_on_a_standby_beside_the_primarys(
    primary: Answer, standby: Answer, outcome: Outcome, told: str
) -> None:
    assert reading("a", db1=primary, db2=standby).against("db1", "db2") == (outcome, told)


def test_a_node_that_was_not_asked_is_not_equal() -> None:
    assert reading("a", db1=Contents(3)).against("db1", "db2") == (Outcome.NOT_COMPARED, "it was not asked")


def test_an_unlogged_table_is_skipped_whatever_was_read() -> None:
    assert reading("a", unlogged=True, db1=Contents(3)).against("db1", "db2")[0] is Outcome.SKIPPED


def test_every_difference_is_a_row_and_the_rest_is_counted() -> None:
    three = Contents(3)
    readings = [reading(f"locked{n}", db1=NotRead("locked"), db2=NotRead("locked")) for n in range(10)]
    readings += [reading("same", db1=three, db2=three), reading("also", db1=three, db2=three)]
    readings += [reading(name, db1=three, db2=Contents(2)) for name in ("one", "two")]
    rows = list(judge_tables("rows", "db1", ["db2"], "shop", readings))
    assert [(row.outcome, row.evidence) for row in rows] == [
        (Outcome.DIFFERENT, "shop: public.one: 2 rows here, 3 on db1 (at 0/30)"),
        (Outcome.DIFFERENT, "shop: public.two: 2 rows here, 3 on db1 (at 0/30)"),
        (Outcome.NOT_COMPARED, f"shop: {', '.join(f'public.locked{n}' for n in range(8))} and 2 more: locked"),
        (Outcome.OK, "shop: 2 tables, 6 rows as on db1"),
    ]
    (none,) = judge_tables("rows", "db1", ["db2"], "shop", [])
    assert (none.outcome, none.evidence) == (Outcome.SKIPPED, "shop: no tables")


@pytest.mark.parametrize(
    ("outcomes", "gravest"),
    [
        ((Outcome.OK, Outcome.SKIPPED), Outcome.OK),
        ((Outcome.OK, Outcome.NOT_COMPARED, Outcome.SKIPPED), Outcome.NOT_COMPARED),
        ((Outcome.NOT_COMPARED, Outcome.DIFFERENT, Outcome.OK), Outcome.DIFFERENT),
    ],
)
def test_a_difference_outweighs_what_could_not_be_compared(outcomes: tuple[Outcome, ...], gravest: Outcome) -> None:
    checks = tuple(Check(check="rows", node="db2", outcome=outcome, evidence="") for outcome in outcomes)
    assert Checked(at=NOW, primary="db1", checks=checks).outcome is gravest


def test_a_role_that_replicates_and_nothing_else_is_as_it_should_be() -> None:
    assert judge_role("replicator", GOOD) == ()
    assert judge_role("replicator", None) == ("there is no role replicator",)


def test_a_superuser_connects_everywhere_and_that_is_not_told_apart() -> None:
    facts = RoleFacts(attributes=frozenset({"LOGIN", "SUPERUSER"}), member_of=(), holds=(), connects_to=("shop",))
    assert judge_role("replicator", facts) == ("lacks REPLICATION", "SUPERUSER")


def line(number: int, method: str, kind: str = "host", error: str | None = None) -> Rule:
    return Rule(
        line=number, kind=kind, databases=("all",), address="", method=method, error=error, text=f"{kind} all all all"
    )


@pytest.mark.parametrize("method", ["trust", "password", "md5", "peer", "ident", "cert", "ldap", ""])
def test_only_scram_and_reject_let_nobody_in_unasked(method: str) -> None:
    good = [line(1, "scram-sha-256"), line(2, "reject"), line(3, "peer", kind="local")]
    assert judge_rules(good) == ()
    assert judge_rules([*good, line(4, method)]) == (f"line 4: host all all all {method}".rstrip(),)


def test_a_line_that_the_server_cannot_use_is_told() -> None:
    assert judge_rules([line(9, "", error="invalid")]) == ("line 9: invalid",)
