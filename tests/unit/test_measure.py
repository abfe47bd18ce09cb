"""From a history to figures to a verdict: tables of cases."""

import pytest

from haop.drills.ledger import Ledger, Outcome, Read, Write
from haop.drills.measure import Measurement, acknowledged_per_bucket, measure
from haop.drills.verdict import Word, judge
from haop.model.spec import Objectives

ACK, REFUSED, UNKNOWN = Outcome.ACKNOWLEDGED, Outcome.REFUSED, Outcome.INDETERMINATE


def write(number: int, ended: float, outcome: Outcome = ACK, node: str = "db1", begun: float | None = None) -> Write:
    return Write(number, ended - 0.001 if begun is None else begun, ended, outcome, node, "writer 1")


def measured(writes: list[Write], survivors: set[int], reads: list[Read] | None = None) -> Measurement:
    ledger = Ledger(writes=writes, reads=[Read(10.5, 10.6, answered=True, node="db2")] if reads is None else reads)
    return measure(ledger, frozenset(survivors), fault_at=10.0, promoted_at=10.2, redundant_at=13.0, old_primary="db1")


STEADY = [write(number, 5.0 + number * 0.1) for number in range(1, 41)]
BACK = [write(100, 10.3, node="db2"), write(101, 10.35, node="db2")]
ALL = {w.id for w in (*STEADY, *BACK)}


def test_recovery_ends_with_the_first_acknowledged_write_that_survives() -> None:
    assert measured([*STEADY, *BACK], ALL).write_recovery_seconds == pytest.approx(0.3)
    assert measured([*STEADY, *BACK], ALL - {100}).write_recovery_seconds == pytest.approx(0.35)
    assert measured([*STEADY], ALL).write_recovery_seconds is None


def test_a_late_word_from_the_old_primary_is_no_recovery() -> None:
    late = write(99, 10.001, begun=9.999)
    assert measured([*STEADY, late, *BACK], {*ALL, 99}).write_recovery_seconds == pytest.approx(0.3)


def test_lost_recovered_unexpected() -> None:
    found = measured(
        [*STEADY, write(50, 9.9), write(51, 9.95, UNKNOWN), write(52, 9.96, UNKNOWN), *BACK], {*ALL, 51, 999}
    )
    assert (found.lost, found.recovered, found.unexpected) == ((50,), (51,), (999,))


def test_what_the_old_primary_takes_after_the_promotion_is_counted() -> None:
    assert measured([*STEADY, *BACK, write(60, 11.0)], ALL).old_primary == (60,)
    assert measured([*STEADY, *BACK, write(60, 11.0, begun=10.1)], ALL).old_primary == ()


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ([], None),
        ([Read(9.0, 9.1, answered=False, node=None), Read(10.1, 10.2, answered=True, node="db2")], 0.0),
        ([Read(10.1, 10.2, answered=False, node=None), Read(10.3, 10.4, answered=True, node="db2")], 0.4),
        ([Read(10.1, 10.2, answered=False, node=None)], None),
    ],
)
def test_read_recovery(reads: list[Read], expected: float | None) -> None:
    found = measured([*STEADY, *BACK], ALL, reads).read_recovery_seconds
    assert found == (expected if expected is None else pytest.approx(expected))


def test_buckets_count_acknowledged_writes_only() -> None:
    ledger = Ledger(writes=[write(1, 0.5), write(2, 1.5), write(3, 1.6), write(4, 1.7, REFUSED)])
    assert acknowledged_per_bucket(ledger, start=0.0, end=2.0, buckets=2) == (1, 2)


@pytest.mark.parametrize(
    ("writes", "survivors", "reads", "word"),
    [
        ([*STEADY, *BACK], ALL, None, Word.PASSED),
        ([*STEADY, *BACK], ALL - {7}, None, Word.MISSED),
        ([*STEADY, *BACK], {*ALL, 999}, None, Word.INCONCLUSIVE),
        ([*STEADY, *BACK], ALL, [], Word.INCONCLUSIVE),
        ([*STEADY[:5], *BACK], ALL, None, Word.INCONCLUSIVE),
        ([*STEADY], {w.id for w in STEADY}, None, Word.MISSED),
        ([*STEADY, *BACK, write(60, 11.0)], {*ALL, 60}, None, Word.MISSED),
    ],
)
def test_verdicts(writes: list[Write], survivors: set[int], reads: list[Read] | None, word: Word) -> None:
    assert judge(measured(writes, survivors, reads), Objectives()).word is word


def test_each_missed_objective_is_a_reason() -> None:
    strict = Objectives(write_recovery_seconds=0.1, read_recovery_seconds=0.1, lost_writes=0)
    slow_read = [Read(10.1, 10.2, answered=False, node=None), Read(10.3, 10.4, answered=True, node="db2")]
    reasons = judge(measured([*STEADY, *BACK], ALL - {7}, slow_read), strict).reasons
    assert [reason.split()[0] for reason in reasons] == ["writes", "reads", "1"]
