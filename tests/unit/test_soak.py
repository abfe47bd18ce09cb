"""What chooses and judges the histories of `tests/soak`: that it can fail, above all."""

from dataclasses import replace

import pytest

from haop.engines.base import Salvage
from haop.model.lsn import Lsn
from tests.soak import healing, judging
from tests.soak.histories import Kind, drawn, named, only, shorter
from tests.soak.judging import Ack, Gap, Sighting


def ack(number: int, node: str = "db1", timeline: int = 1, at: float | None = None) -> Ack:
    moment = float(number) if at is None else at
    return Ack(number=number, node=node, timeline=timeline, lsn=Lsn(2**20 * number), sent=moment - 0.01, at=moment)


def sighting(node: str, at: float, started: str = "a") -> Sighting:
    return Sighting(node=node, started=started, begun=at, ended=at + 0.01)


def kinds(problems: list[judging.Problem]) -> list[str]:
    return [problem.kind for problem in problems]


def test_a_seed_is_a_history_and_every_second_one_is_on_compose() -> None:
    assert drawn(7) == drawn(7) == named("7")
    many = [drawn(seed) for seed in range(200)]
    assert sum(history.runtime == "compose" for history in many) == 100
    assert {len(history.events) for history in many} == {3, 4, 5, 6}
    assert {event.kind for history in many for event in history.events} == set(Kind)
    assert {(h.nodes, h.durability, h.major) for h in many} == {
        (nodes, durability, major) for nodes in (2, 3) for durability in ("async", "sync") for major in (15, 18)
    }


def test_processes_are_not_partitioned_and_only_what_is_asked_for_happens() -> None:
    assert not any(drawn(seed).has(Kind.PARTITION) for seed in range(0, 400, 2))
    assert all(event.kind is Kind.KILL for seed in range(20) for event in drawn(seed, (Kind.KILL,)).events)


def test_a_shorter_history_lacks_one_event_and_its_name_repeats_it() -> None:
    history = drawn(1)
    ones = list(shorter(history))
    assert [len(one.events) for one in ones] == [len(history.events) - 1] * len(history.events)
    assert [named(one.name) for one in ones] == ones
    assert list(shorter(only(history, (1,)))) == []
    assert named("1:1").events == (history.events[1],)


def test_a_lost_row_is_a_problem_unless_the_gap_was_told() -> None:
    missing = judging.lost([ack(1), ack(2), ack(3)], {1, 3})
    assert [row.number for row in missing] == [2]
    assert kinds(judging.judge_loss(missing, [])) == ["lost"]
    at = missing[0].lsn
    assert kinds(judging.judge_loss(missing, [Gap(Lsn(at.position + 2**20), None)])) == ["lost"], (
        "told of what is later"
    )
    assert kinds(judging.judge_loss(missing, [Gap(Lsn(0), Lsn(at.position - 1))])) == ["lost"], (
        "told of what is earlier"
    )
    assert not judging.judge_loss(missing, [Gap(Lsn(at.position - 100), Lsn(at.position + 100))])
    assert not judging.judge_loss(missing, [Gap(at, None)])
    assert not judging.judge_loss([], [])


def test_a_write_after_another_was_promoted_is_a_split() -> None:
    good = [ack(1), ack(2), ack(3, "db2", 2), ack(4, "db2", 2)]
    assert not judging.judge_split(good)
    assert kinds(judging.judge_split([*good, ack(5)])) == ["split"]
    waited = replace(ack(5), sent=2.5)  # sent before, and answered late: committed before, for all that is known
    assert not judging.judge_split([*good, waited])
    assert not judging.judge_split([*good, ack(5, "db1", 3)]), "it came back as the next"
    assert kinds(judging.judge_split([ack(1), ack(2, "db2", 1)])) == ["timeline"]


@pytest.mark.parametrize(("until", "found"), [(11.5, ["overlap"]), (10.9, [])])
def test_two_servers_out_of_recovery_for_more_than_a_second_overlap(until: float, found: list[str]) -> None:
    one = [sighting("db1", 0.0), sighting("db1", until)]
    other = [sighting("db2", 10.0), sighting("db2", 20.0)]
    assert kinds(judging.judge_overlap([*one, *other])) == found
    restarted = [sighting("db1", 0.0), sighting("db1", 30.0, "b")]  # what it was in between nobody knows
    assert not judging.judge_overlap([*restarted, *other])


def test_a_standby_with_rows_of_its_own_has_diverged() -> None:
    assert not judging.judge_copies({"db1": {1, 2}, "db2": {1, 2}}, "db1")
    assert kinds(judging.judge_copies({"db1": {1, 2}, "db2": {1, 2, 3}}, "db1")) == ["diverged"]
    assert kinds(judging.judge_copies({"db1": {1, 2}, "db2": {1}}, "db1")) == ["diverged"]


def test_what_haop_says_of_a_salvage_that_is_not_whole_is_read() -> None:
    begin, end = Lsn(2**24), Lsn(2**24 + 4096)
    salvage = Salvage(node="db1", standby="db2", begin=begin, end=end, reached=begin, seconds=0.1, trouble="damaged")
    assert judging.told(salvage.told) == (Gap(begin, end),)
    assert judging.told(replace(salvage, end=None).told) == (Gap(begin, None),)
    assert not judging.told(replace(salvage, trouble=None, reached=end).told)
    assert not judging.told("db1 is at 0/5000148")


def test_the_commands_of_hints_are_run_as_they_stand() -> None:
    nodes = {"db1", "db2"}
    findings: list[dict[str, str | None]] = [
        {"severity": "warning", "hint": "haop up starts it"},
        {"severity": "error", "hint": "what only db1 has will be discarded by: haop rejoin db1"},
        {"severity": "error", "hint": None},
        {"severity": "info", "hint": "haop logs --node db1"},
    ]
    assert healing.named(findings, nodes) == [("rejoin", "db1", "--yes"), ("up", "--yes")]
    accept = "accept the loss: haop failover --to db2 --accept-loss"
    assert healing.commands(accept, nodes) == [("failover", "--to", "db2", "--accept-loss", "--yes")]
    assert healing.commands("haop guard resume", nodes) == [("guard", "resume")]
    assert healing.commands("haop rebuild NODE", nodes) == []
