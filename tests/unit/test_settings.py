"""The order in which nodes are restarted for settings, as a table of cases."""

import pytest

from haop.model.settings import Pending, Restarts

NODES = frozenset({"db1", "db2"})
RAISED, LOWERED = Pending("max_connections", "100", "200"), Pending("max_worker_processes", "8", "4")
OTHER = Pending("shared_buffers", "128MB", "64MB")


def of(*pending: Pending, outdated: tuple[str, ...] = ()) -> Restarts:
    return Restarts(settings={"db1": pending, "db2": pending}, outdated=outdated)


@pytest.mark.parametrize(
    ("setting", "lowered"),
    [
        (Pending("max_connections", "100", "200"), False),
        (Pending("max_connections", "100", "50"), True),
        (Pending("max_connections", "100", "0x20"), True),
        (Pending("max_locks_per_transaction", "64", "63"), True),
        (Pending("max_prepared_transactions", "10", "0"), True),
        (Pending("max_wal_senders", "22", "10"), True),
        (Pending("max_worker_processes", "8", "4"), True),
        (Pending("max_connections", "100", "1e1"), False),  # not understood: the order that is always safe
        (Pending("shared_buffers", "128MB", "64MB"), False),
        (Pending("max_replication_slots", "22", "10"), False),  # a standby may have less of it
    ],
)
def test_what_the_primary_must_have_first(setting: Pending, lowered: bool) -> None:
    assert setting.lowered is lowered


@pytest.mark.parametrize(
    ("waiting", "primary_first", "lowers", "anything"),
    [
        (of(), False, False, False),
        (of(RAISED), False, False, True),
        (of(OTHER), False, False, True),
        (of(LOWERED), True, True, True),
        (of(LOWERED, RAISED), False, True, True),
        (of(LOWERED, OTHER), False, True, True),
        (of(LOWERED, outdated=("db1", "db2")), False, True, True),
        (of(LOWERED, outdated=("web",)), True, True, True),
        (of(outdated=("web",)), False, False, True),
        (Restarts(settings={"db1": (), "db2": (LOWERED,)}), True, True, True),
    ],
)
def test_the_primary_is_restarted_first_only_where_all_is_lowered(
    waiting: Restarts, primary_first: bool, lowers: bool, anything: bool
) -> None:
    assert (waiting.primary_first(NODES), waiting.lowers, bool(waiting)) == (primary_first, lowers, anything)


def test_what_is_pending_names_setting_values_and_nodes() -> None:
    waiting = Restarts(settings={"db1": (RAISED,), "db2": (RAISED, OTHER)}, outdated=("web",))
    assert waiting.nodes == ("db1", "db2")
    assert waiting.told() == (
        "max_connections 100 → 200 on db1, db2",
        "shared_buffers 128MB → 64MB on db2",
        "made from an older stack: web",
    )
