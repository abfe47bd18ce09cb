"""Checks of the settings that the servers run with."""

from collections.abc import Iterator
from functools import partial

from haop.model.diagnosis import Check, Group, Symptom, Told, checking, error, info, warning
from haop.model.settings import AT_LEAST_THE_PRIMARYS
from haop.model.spec import Durability
from haop.operations.doctor.facts import Facts
from haop.operations.doctor.static import unsafe_parameters

_check = partial(checking, Group.SERVERS)
_LIMITS = (
    "'hot standby is not possible because max_connections is lower than on the primary' "
    "(CrunchyData/postgres-operator#2952)."
)
_DRIFT = (
    "A setting that was changed beside the configuration is lost, or wins, silently (docker-library/postgres#1226)."
)
_CRASH = "A crash of the machine then costs more than the last second (PostgreSQL's manual, 'Reliability')."
_MODE = "md5 is easily broken, and PostgreSQL is about to drop it (docker-library/postgres#111)."

_MEND = "remove it from [postgres.parameters] in haop.toml, then haop up"


@_check("not-durable", "data survive a power cut", why=_CRASH)
def durable_off(facts: Facts) -> Told:
    """A server that a power cut may leave broken."""
    yield from facts.silent
    if not facts.answering:
        yield from unsafe_parameters(facts.spec)
    yield from _off(facts, "fsync", "a power cut may leave its data unusable")
    yield from _off(facts, "full_page_writes", "a page that a crash tore cannot be mended")


def _off(facts: Facts, name: str, danger: str) -> Iterator[Symptom]:
    for node, seen in facts.answering.items():
        if seen.settings[name] == "off":
            yield error(f"{name} is off on {node}: {danger}", node=node, hint=_mend(facts, node, name))


@_check("commit-not-durable", "acknowledged means flushed", why=_CRASH)
def commit_off(facts: Facts) -> Told:
    """Commits that are acknowledged before they are on a disk."""
    yield from facts.silent
    sync = facts.spec.durability is Durability.SYNC
    for node, seen in facts.answering.items():
        value = seen.settings["synchronous_commit"]
        if value == "off" or (sync and value == "local"):
            told = error if sync else warning
            danger = "durability is sync, and no standby is waited for" if sync else "a crash loses acknowledged writes"
            yield told(
                f"synchronous_commit is {value} on {node}: {danger}", node=node,
                hint=_mend(facts, node, "synchronous_commit"),
            )  # fmt: skip


@_check(
    "wal-minimal",
    "WAL is enough for standbys",
    why="A standby cannot follow a primary that writes too little (PostgreSQL's manual, 'wal_level').",
)
def wal_level(facts: Facts) -> Told:
    """A primary that writes too little for a standby."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.settings["wal_level"] == "minimal":
            yield error(
                f"wal_level is minimal on {node}: no standby can follow it", node=node,
                hint=f"{_reset('wal_level')} on {node}, then haop restart {node}",
            )  # fmt: skip


@_check(
    "feedback-off",
    "reports on standbys are not cancelled",
    why=("A report on a standby ends with 'conflict with recovery' (PostgreSQL's manual, 'Handling Query Conflicts')."),
)
def feedback_off(facts: Facts) -> Told:
    """Standbys whose reports vacuum cancels."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.settings["hot_standby_feedback"] == "off":
            yield info(
                f"hot_standby_feedback is off on {node}: vacuum on the primary cancels long queries there", node=node,
                hint=_mend(facts, node, "hot_standby_feedback"),
            )  # fmt: skip


@_check(
    "slot-unlimited",
    "slots may keep so much WAL, and no more",
    why=(
        "A slot that nobody reads kept 40 GB of WAL for 57 MB of data (KBVE/kbve#7795, zalando/postgres-operator#2012)."
    ),
)
def slot_unlimited(facts: Facts) -> Told:
    """Slots that may keep WAL without end."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.settings["max_slot_wal_keep_size"] == "-1":
            yield warning(
                f"max_slot_wal_keep_size is -1 on {node}: a slot that nobody reads may fill its disk", node=node,
                hint=_mend(facts, node, "max_slot_wal_keep_size"),
            )  # fmt: skip


@_check("settings-lower", "no standby has less room than the primary", why=_LIMITS)
def settings_lower(facts: Facts) -> Told:
    """A standby with less room than its primary: replay stops, or it does not start."""
    yield from facts.no_primary()
    yield from facts.silent
    if not facts.primary or not (primary := facts.answering.get(facts.primary.name)):
        return
    for node, seen in facts.answering.items():
        for name in sorted(AT_LEAST_THE_PRIMARYS):
            if seen.in_recovery and int(seen.settings[name]) < int(primary.settings[name]):
                yield error(
                    f"{name} is {seen.settings[name]} on {node}, {primary.settings[name]} on the primary: replay stops "
                    "there, and it may not start again", node=node,
                    hint=f"{_mend(facts, node, name)} --yes",
                )  # fmt: skip


@_check("settings-overridden", "haop.toml decides every setting", why=_DRIFT)
def overridden(facts: Facts) -> Told:
    """Settings of ALTER SYSTEM, which win over haop.toml."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.overridden:
            names = ", ".join(seen.overridden)
            yield warning(
                f"ALTER SYSTEM has set {names} on {node}: haop.toml has no say in it", node=node,
                hint=f"put it under [postgres.parameters], then {_reset(seen.overridden[0])} on {node}, then haop up",
            )  # fmt: skip


@_check("restart-needed", "no setting waits for a restart", why=_DRIFT)
def pending(facts: Facts) -> Told:
    """Settings that wait for a restart."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.pending:
            yield info(
                f"not yet in effect on {node}: {', '.join(map(str, seen.pending))}", node=node,
                hint="haop up --yes restarts what needs it, one node after the other",
            )  # fmt: skip


@_check("password-encryption", "new passwords are kept as SCRAM verifiers", why=_MODE)
def password_encryption(facts: Facts) -> Told:
    """New passwords that would be kept in a form that is easily broken."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if (value := seen.settings["password_encryption"]) != "scram-sha-256":
            yield warning(
                f"password_encryption is {value} on {node}: new passwords are kept in a form that is easily broken",
                node=node, hint=_mend(facts, node, "password_encryption"),
            )  # fmt: skip


@_check(
    "listens-beyond-loopback",
    "only this machine reaches the servers",
    why="Who need not knock should not be able to (PostgreSQL's manual, 'listen_addresses').",
    runtime="local",
)
def listens_beyond(facts: Facts) -> Told:
    """Local servers that other machines reach."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        value = seen.settings["listen_addresses"]
        if any(not near(word.strip()) for word in value.split(",")):
            yield warning(
                f"{node} listens on {value}: other machines reach it", node=node,
                hint=f"haop restart {node} starts it on loopback",
            )  # fmt: skip


def near(address: str) -> bool:
    """Whether only this machine reaches that address.

    >>> near("127.0.0.1"), near("::1"), near("*"), near("0.0.0.0")
    (True, True, False, False)
    """
    return address in {"", "localhost", "::1"} or address.startswith("127.")


def _mend(facts: Facts, node: str, name: str) -> str:
    if name in facts.answering[node].overridden:
        return f"{_reset(name)} on {node}, then haop up"
    return _MEND if name in facts.spec.parameters else f"set {name} in haop.toml, then haop up"


def _reset(name: str) -> str:
    return f"ALTER SYSTEM RESET {name}"


SETTINGS: tuple[Check[Facts], ...] = (
    durable_off,
    commit_off,
    wal_level,
    feedback_off,
    slot_unlimited,
    settings_lower,
    overridden,
    pending,
    password_encryption,
    listens_beyond,
)
