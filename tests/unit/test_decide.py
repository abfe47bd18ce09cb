"""Decisions of the guard that its search does not tell apart: what its world does not have."""

from haop.guard.decide import decide
from haop.guard.decisions import Tidy
from haop.guard.seen import Answer, FailedOver, Seen, Tidied, View, see
from haop.model.status import Role


def view(*seen: Seen) -> View:
    found = View.of(["db1", "db2"], 0.0)
    for each in seen:
        found = see(found, each)
    return found


def test_what_a_failed_failover_has_begun_is_cleared_though_the_primary_is_the_same_again() -> None:
    """Else its record stays open, and `haop status` says "interrupted" for ever."""
    answers = (Answer("db1", 10.0, Role.PRIMARY, 1), Answer("db2", 10.0, Role.STANDBY, 1))
    whole = view(*answers, Tidied("db1", 1))
    assert not isinstance(decide(whole, 10.1), Tidy)
    assert decide(see(whole, FailedOver(10.0, None)), 10.1) == Tidy("db1", 1)
