"""Checks of what the servers hold: access, roles, databases, slots, collations."""

from collections.abc import Iterator
from functools import partial

from haop.model.diagnosis import Check, Gap, Group, Told, checking, error, warning
from haop.model.examined import ServerSeen
from haop.model.hba import Rule
from haop.model.status import Slot
from haop.operations.doctor.facts import Facts
from haop.postgres import scram
from haop.project import Secrets

_check = partial(checking, Group.SERVERS)
_OPEN = "No line for replication was 'fixed' with '0.0.0.0/0 trust' (paunin/PostDock#190)."
_CHANGED = (
    "Init scripts run on an empty volume only: a password changed later is silently ignored "
    "(docker-library/postgres#1226, #345)."
)
_SLOT = "A slot that nobody reads keeps WAL until the disk is full (zalando/postgres-operator#2012, KBVE/kbve#7795)."

# As a connection that was refused for it says.
REJECTED = "rejects the password"
_ANYWHERE = {"0.0.0.0", "::", "all"}  # noqa: S104 - looked for, not bound to
_MB = 2**20


@_check("hba-weak", "everybody needs a SCRAM password", why=_OPEN)
def hba_weak(facts: Facts) -> Told:
    """Lines that let somebody in without a password, or with one that can be read on the way."""
    for node, rule in _rules(facts):
        if isinstance(rule, Gap):
            yield rule
        elif rule.weak and rule.method == "trust":
            yield error(
                f"line {rule.line} of pg_hba.conf on {node} is trust: no password is asked for", node=node, hint=_HBA
            )
        elif rule.weak:
            yield warning(f"line {rule.line} of pg_hba.conf on {node} is {rule.method}", node=node, hint=_HBA)


@_check("hba-open", "only known networks may knock", why=_OPEN)
def hba_open(facts: Facts) -> Told:
    """Lines for the whole world."""
    for node, rule in _rules(facts):
        if isinstance(rule, Gap):
            yield rule
        elif rule.address in _ANYWHERE:
            yield warning(f"line {rule.line} of pg_hba.conf on {node} lets any address knock", node=node, hint=_HBA)


@_check("hba-broken", "pg_hba.conf is whole, and has a line for standbys", why=_OPEN)
def hba_broken(facts: Facts) -> Told:
    """Lines that the server cannot read, or no line for standbys."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        for rule in seen.rules:
            if rule.error:
                yield error(f"line {rule.line} of pg_hba.conf on {node}: {rule.error}", node=node, hint=_HBA)
        if not any("replication" in rule.databases for rule in seen.rules):
            yield error(
                f"pg_hba.conf on {node} has no line for replication: no standby may connect", node=node, hint=_HBA
            )


def _rules(facts: Facts) -> Iterator[tuple[str, Rule | Gap]]:
    yield from (("", gap) for gap in facts.silent)
    yield from ((node, rule) for node, seen in facts.answering.items() for rule in seen.rules)


@_check("role-missing", "every role is there", why=_CHANGED)
def role_missing(facts: Facts) -> Told:
    """Roles that the cluster needs."""
    yield from _asked(facts)
    if (primary := _primary(facts)) and not isinstance(facts.secrets, Gap):
        for role in wanted(facts, facts.secrets):
            if role not in primary.verifiers:
                yield error(f"there is no role {role} that may log in", hint="haop up makes it")


@_check("password-differs", "passwords are those of .env", why=_CHANGED)
def password_differs(facts: Facts) -> Told:
    """Passwords that were changed in one place only."""
    yield from _asked(facts)
    for node, seen in facts.servers.items():
        if isinstance(seen, Gap) and REJECTED in seen.why:
            mend = "haop up sets it where haop knows the one before; else restore .env from your backup"
            yield error(f"the password of postgres on {node} is not POSTGRES_PASSWORD of .env", node=node, hint=mend)
    if not (primary := _primary(facts)) or isinstance(facts.secrets, Gap):
        return
    for role, (key, password) in wanted(facts, facts.secrets).items():
        if role not in primary.verifiers:
            continue
        kept = primary.verifiers[role]
        if not scram.is_verifier(kept):
            yield error(
                f"the password of {role} is not kept as a SCRAM verifier: it cannot log in", hint="haop up sets it anew"
            )
        elif not scram.matches(kept, role, password):
            yield error(f"the password of {role} is not {key} of .env", hint="haop up gives it the one of .env")


def wanted(facts: Facts, secrets: Secrets) -> dict[str, tuple[str, str]]:
    """Role to the key of its password, and the password."""
    return {
        "postgres": ("POSTGRES_PASSWORD", secrets.postgres_password),
        facts.spec.owner: ("DATABASE_PASSWORD", secrets.database_password),
        secrets.replication_user: ("REPLICATION_PASSWORD", secrets.replication_password),
        secrets.rewind_user: ("REWIND_PASSWORD", secrets.rewind_password),
        secrets.monitor_user: ("MONITOR_PASSWORD", secrets.monitor_password),
    }


@_check("database-missing", "the application has its database", why=_CHANGED)
def database_missing(facts: Facts) -> Told:
    """The application's database, and whose it is."""
    yield from facts.no_primary()
    if not (primary := _primary(facts)):
        return
    name, owner = facts.spec.database, facts.spec.owner
    if name not in primary.databases:
        yield error(f"there is no database {name}", hint="haop up makes it")
    elif primary.databases[name] != owner:
        mend = f"ALTER DATABASE {name} OWNER TO {owner}, or correct database.owner in haop.toml"
        yield warning(f"the database {name} belongs to {primary.databases[name]}, not to {owner}", hint=mend)


@_check(
    "collation-changed",
    "text sorts as when its indexes were made",
    why=("Another C library sorts differently, and indexes are silently wrong (docker-library/postgres#1356)."),
)
def collation_changed(facts: Facts) -> Told:
    """Text that sorts differently than when its indexes were made."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        for name in seen.collations:
            yield error(
                f"{name} sorts text as another version than {node} has: its indexes may be wrong", node=node,
                hint="on the primary: REINDEX DATABASE, then ALTER DATABASE or COLLATION ... REFRESH COLLATION VERSION",
            )  # fmt: skip


@_check("slot-unknown", "every unread slot is a standby's", why=_SLOT)
def slot_unknown(facts: Facts) -> Told:
    """Slots of nobody, which keep WAL."""
    yield from facts.no_primary()
    yield from facts.silent
    for node, slot in unknown_slots(facts):
        mend = f"haop doctor --fix asks, and drops it; or SELECT pg_drop_replication_slot('{slot.name}') on {node}"
        by_hand = f"ask whose it is; then SELECT pg_drop_replication_slot('{slot.name}') on {node}"
        yield warning(
            f"the slot {slot.name} on {node} is of no node of haop.toml; "
            f"it retains {slot.retained_bytes // _MB} MB of WAL",
            node=node, hint=mend if slot.physical else by_hand,
        )  # fmt: skip


def unknown_slots(facts: Facts) -> Iterator[tuple[str, Slot]]:
    """Node and slot: what nobody reads and no standby needs. On a standby, that is every slot nobody reads."""
    if not facts.primary:
        return
    known = {node.slot for node in facts.spec.nodes if node.name != facts.primary.name}
    for node, seen in facts.answering.items():
        for slot in seen.slots:
            if not slot.active and not (node == facts.primary.name and slot.name in known):
                yield node, slot


@_check(
    "slot-unreserved",
    "no slot is about to be lost",
    why=(
        "'requested WAL segment has already been removed', for ever (bitnami/containers#67054, "
        "cloudnative-pg/cloudnative-pg#11112)."
    ),
)
def slot_unreserved(facts: Facts) -> Told:
    """A slot that is about to be lost."""
    yield from facts.no_primary()
    for slot in primary.slots if (primary := _primary(facts)) else ():
        if slot.wal_status == "unreserved":
            yield warning(
                f"the slot {slot.name} has more WAL than max_slot_wal_keep_size: the next checkpoint may remove it",
                hint="let its standby catch up now, or raise max_slot_wal_keep_size in haop.toml, then haop up",
            )


@_check(
    "replay-paused",
    "standbys replay",
    why=(
        "A setting lower than the primary's pauses replay, and nothing else says so "
        "(CrunchyData/postgres-operator#2952)."
    ),
)
def replay_paused(facts: Facts) -> Told:
    """A standby that receives and does not replay."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        if seen.replay != "not paused":
            yield error(
                f"{node} does not replay ({seen.replay}): a promotion of it has to replay the rest first", node=node,
                hint=f"SELECT pg_wal_replay_resume() on {node}; if it pauses again, see settings-lower",
            )  # fmt: skip


@_check(
    "clone-left-over",
    "no interrupted clone lies beside the data",
    why="'directory exists but is not empty', again and again (docker-library/postgres#629).",
)
def clone_left(facts: Facts) -> Told:
    """What an interrupted clone left beside the data."""
    yield from facts.silent
    for node, seen in facts.answering.items():
        for path in seen.leftovers:
            yield warning(
                f"an interrupted clone left {path} of {node}", node=node, hint=f"it is of no use: rm -rf {path}"
            )


@_check(
    "unmarked-primary",
    "no former primary waits unfenced",
    why=("A restart policy brings it back as a second primary (bitnami/charts#20998, EnterpriseDB/repmgr#766)."),
)
def unmarked_primary(facts: Facts) -> Told:
    """A stopped node that still takes itself for a primary, while another is."""
    if not facts.primary:
        yield from facts.no_primary()
        return
    for node, primarys in facts.stale_primaries.items():
        if isinstance(primarys, Gap):
            yield primarys
        elif primarys:
            yield warning(
                f"{node} is stopped with a primary's data and no fence, and {facts.primary.name} is primary", node=node,
                hint="haop up makes it follow; started by itself, it takes over where no peer answers",
            )  # fmt: skip


def _primary(facts: Facts) -> ServerSeen | None:
    return facts.answering.get(facts.primary.name) if facts.primary else None


def _asked(facts: Facts) -> Iterator[Gap]:
    yield from facts.no_primary()
    if isinstance(facts.secrets, Gap):
        yield facts.secrets


_HBA = "remove stack/pg_hba.conf, then haop up: it writes it anew, and every node reads it again"


SERVERS: tuple[Check[Facts], ...] = (
    hba_weak,
    hba_open,
    hba_broken,
    role_missing,
    password_differs,
    database_missing,
    collation_changed,
    slot_unknown,
    slot_unreserved,
    replay_paused,
    clone_left,
    unmarked_primary,
)
