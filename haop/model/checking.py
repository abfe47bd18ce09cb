"""What `haop check` proved, row by row; and the judgements that it makes from what servers said. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from haop.model.health import Finding
from haop.model.lsn import Lsn

_NAMED_AT_MOST = 8  # tables in one row that says that they were not compared


class Outcome(StrEnum):
    """What became of one check on one node."""

    OK = "ok"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"  # it could not be found out
    SKIPPED = "skipped"  # there is nothing to compare, and that is as it should be


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was to be proved of one node."""

    check: str
    node: str
    outcome: Outcome
    evidence: str
    seconds: float | None = None  # where the time that it took means something
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a node holds of a table."""

    rows: int
    checksum: str | None = None  # where contents were asked for; the order of rows is not in it
    version: str = ""  # of a materialized view: which refresh this is


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The node has replayed all of the table, and cannot read it: its files are damaged."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotRead:
    """The node was not asked, or could not answer this time."""

    reason: str


Answer: TypeAlias = Contents | Unreadable | NotRead


@dataclass(frozen=True, slots=True)
class TableName:
    """A table that holds rows itself: an ordinary one, a partition, a materialized view."""

    schema: str
    name: str
    quoted: str  # as SQL would have it
    materialized: bool = False
    unlogged: bool = False
    bytes: int = 0  # about, when it was listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A table as every node had it at one position."""

    database: str
    table: TableName
    lsn: Lsn | None = None
    answers: Mapping[str, Answer]

    def against(self, primary: str, standby: str) -> tuple[Outcome, str]:
        """What the standby has, beside what the primary has."""
        if self.table.unlogged:
            return Outcome.SKIPPED, "unlogged: a standby has none of its rows"
        mine, theirs = (self.answers.get(node) or NotRead("it was not asked") for node in (standby, primary))
        match theirs, mine:
            case _, Unreadable(why):
                outcome, told = Outcome.DIFFERENT, f"cannot be read here: {why}"
            case Unreadable(why), _:
                outcome, told = Outcome.DIFFERENT, f"cannot be read on {primary}: {why}"
            case (NotRead(why), _) | (_, NotRead(why)):
                outcome, told = Outcome.NOT_COMPARED, why
            case Contents(), Contents():
                outcome, told = _compared(primary, theirs, mine)
        return outcome, told


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """All of it, at one moment."""

    at: datetime
    primary: str
    checks: tuple[Check, ...]
    readings: tuple[Reading, ...] = ()
    findings: tuple[Finding, ...] = ()  # as haop status has them

    @property
    def outcome(self) -> Outcome:
        """The gravest: a difference, else what could not be compared."""
        found = {check.outcome for check in self.checks}
        return next((one for one in (Outcome.DIFFERENT, Outcome.NOT_COMPARED) if one in found), Outcome.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """What the server says that a role is and may."""

    attributes: frozenset[str]  # LOGIN, REPLICATION, SUPERUSER, CREATEDB, CREATEROLE, BYPASSRLS
    member_of: tuple[str, ...]
    holds: tuple[str, ...]  # "owns table public.t of shop", "SELECT on table public.t of shop"
    connects_to: tuple[str, ...]  # databases


def judge_role(name: str, facts: RoleFacts | None) -> tuple[str, ...]:
    """What a role that replicates may too much, or lacks; nothing where it can replicate and nothing else.

    >>> facts = RoleFacts(attributes=frozenset({"LOGIN", "REPLICATION", "CREATEDB"}), member_of=("pg_monitor",),
    ...                   holds=(), connects_to=("postgres",))
    >>> judge_role("replicator", facts)
    ('CREATEDB', 'member of pg_monitor', 'CONNECT on database postgres')
    """
    if facts is None:
        return (f"there is no role {name}",)
    wanted = frozenset({"LOGIN", "REPLICATION"})
    connects_to = () if "SUPERUSER" in facts.attributes else facts.connects_to  # that goes without saying
    told = (
        *(f"lacks {word}" for word in sorted(wanted - facts.attributes)),
        *sorted(facts.attributes - wanted),
        *(f"member of {role}" for role in facts.member_of),
        *facts.holds,
        *(f"CONNECT on database {database}" for database in connects_to),
    )
    return tuple(dict.fromkeys(told))


def judge_tables(
    check: str, primary: str, standbys: Collection[str], database: str, readings: Sequence[Reading]
) -> Iterator[Check]:
    """For each standby: every difference by itself, what was not compared by its reason, the rest in one row."""
    for node in standbys:
        if not readings:
            yield Check(check=check, node=node, outcome=Outcome.SKIPPED, evidence=f"{database}: no tables")
        equal: list[Reading] = []
        other: dict[tuple[Outcome, str], list[str]] = defaultdict(list)
        for reading in readings:
            outcome, why = reading.against(primary, node)
            if outcome is Outcome.OK:
                equal.append(reading)
            elif outcome is Outcome.DIFFERENT:
                evidence = f"{database}: {reading.table.quoted}: {why} (at {reading.lsn})"
                hint = f"find out which node is right; what {node} has wrong, a new clone has right"
                yield Check(check=check, node=node, outcome=outcome, evidence=evidence, hint=hint)
            else:
                other[outcome, why].append(reading.table.quoted)
        for (outcome, why), names in other.items():
            yield Check(check=check, node=node, outcome=outcome, evidence=f"{database}: {_listed(names)}: {why}")
        if equal:
            yield Check(check=check, node=node, outcome=Outcome.OK, evidence=f"{database}: {_summary(primary, equal)}")


def _compared(primary: str, theirs: Contents, mine: Contents) -> tuple[Outcome, str]:
    if theirs.rows != mine.rows:
        return Outcome.DIFFERENT, f"{_rows(mine.rows)} here, {theirs.rows} on {primary}"
    if theirs.checksum != mine.checksum:
        return Outcome.DIFFERENT, f"{_rows(mine.rows)} here and on {primary}, but their contents differ"
    return Outcome.OK, ""


def _summary(primary: str, equal: Sequence[Reading]) -> str:
    contents = [answer for one in equal if isinstance(answer := one.answers[primary], Contents)]
    return f"{_counted(len(equal), 'table')}, {_rows(sum(one.rows for one in contents))} as on {primary}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
    return ", ".join(names[:_NAMED_AT_MOST]) + more


def _rows(count: int) -> str:
    return _counted(count, "row")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
