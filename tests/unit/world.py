"""A cluster and its guard in simulated time: what the search over the guard's decisions is run in.

The guard's eyes, loop and hands do here what haop/guard and the engine do, step by step; what they decide with (see,
decide) is the real thing. Time passes between any two steps, and the guard may die there.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from haop.guard.decide import decide, primary_of
from haop.guard.decisions import BringBack, Decision, EndIntruder, FailOver, Reinstate, Tidy
from haop.guard.seen import Answer, FailedOver, Look, Miss, Seen, Tick, Tidied, Tidying, Tried, View, Welcome, see
from haop.model.probe import NoAnswer
from haop.model.service import Exit, State
from haop.model.status import Role

STEP = 0.125
PRIMARY, STANDBY = "primary", "standby"
COMMAND = "haop restart"  # a command that has the word
SALVAGE_SECONDS = 0.3


class Killed(Exception):
    """The guard's process has ended."""


class Failed(Exception):
    """What HaopError is to the real guard: a fact to go on from."""


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Wal:
    """Writes and, where a promotion was, timelines: the last of them, and what was before it, which nodes share."""

    before: "Wal | None" = None
    entry: str = ""
    length: int = 0

    def then(self, entry: str) -> "Wal":
        return Wal(self, entry, self.length + 1)

    def begins_with(self, other: "Wal") -> bool:
        return self.up_to(other.length) is other

    def up_to(self, length: int) -> "Wal":
        found = self
        while found.length > length and found.before:
            found = found.before
        return found

    def entries(self) -> Iterator[str]:
        found: Wal | None = self
        while found and found.before:
            yield found.entry
            found = found.before


NO_WAL = Wal()


@dataclass
class Server:
    """One node: its data, its marker, its process."""

    name: str
    data: str | None = None  # would it start as a primary or as a standby; None: it has no data
    wal: Wal = NO_WAL
    timeline: int = 1
    marker: str = ""
    process: str = "dead"  # dead, starting, rejoining, inconsistent (until it has received), up
    hung: bool = False
    by_hand: float | None = None  # since when somebody serves its data, fenced as they are
    cut: bool = False  # its stream from the primary
    blocked: bool = False  # clients and probes do not reach it
    slow_until: float = 0.0  # until then it answers nobody in time, and serves all the same
    unreadable: bool = False  # its disk, by salvage
    damaged: int | None = None  # the length at which its WAL cannot be read, though it goes on beyond
    promotable: bool = True
    follows: str = ""
    told: str = ""  # whom it will follow once it has become a standby, whoever is primary then
    slots: frozenset[str] = frozenset()  # of other standbys: left over from a time as primary
    since: float = 0.0  # the process is in that state
    restarts: bool = True  # the runtime's policy: by itself
    due: float | None = None  # the runtime is about to start it
    pause: float = 2 * STEP  # before it does so, longer each time until it is up
    session: bool = False  # the guard's kept connection
    owes: bool = False  # an answer on it, which comes as soon as it can
    next_probe: float = 0.0
    next_knock: float = 0.0

    @property
    def serves(self) -> bool:
        return self.process == "up" and not self.hung

    @property
    def writable(self) -> bool:
        return self.serves and self.data == PRIMARY and self.by_hand is None

    @property
    def on_its_way(self) -> bool:
        return self.process != "dead" and self.marker in {"rejoin", "rewinding", "rebuild"}

    @property
    def runs(self) -> bool:
        return self.process != "dead"

    @property
    def fenced(self) -> bool:
        return self.marker not in {"", "reinstate"}


NOBODY = Server("nobody")


@dataclass
class World:
    """Nodes, clients, a runtime, and at most one guard."""

    nodes: dict[str, Server]
    sturdy: bool  # the runtime starts again what has died
    now: float = 1000.0
    guard: "Guard | None" = None
    maintenance: str | None = None
    acknowledged: set[str] = field(default_factory=set)
    pending: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    told: deque[tuple[float, Seen]] = field(default_factory=deque)  # on its way to the guard
    record: tuple[str, str] | None = None  # of an open failover: who fails, who is promoted
    doomed: bool = False  # the guard, at its next step
    deaf_until: float = 0.0  # until then the runtime's events are lost
    acts: list[tuple[float, Decision]] = field(default_factory=list)
    sick_since: dict[str, float] = field(default_factory=dict)  # a primary that does not serve everybody, since when
    deaths: list[tuple[float, str]] = field(default_factory=list)
    destroyed: bool = False  # a primary's data, for good
    last: str = ""  # the record of who was primary last
    unguarded: float = 1000.0  # until when no guard could act at once
    highest: int = 1  # the record of timelines

    @classmethod
    def of(cls, count: int, *, sturdy: bool) -> "World":
        """A healthy cluster, and a guard that has seen it."""
        nodes = {f"db{i}": Server(f"db{i}", STANDBY, process="up", follows="db1") for i in range(1, count + 1)}
        nodes["db1"].data, nodes["db1"].follows = PRIMARY, ""
        world = cls(nodes, sturdy)
        world.guard = Guard(world)
        world.run(3.0)
        return world

    # --- Time

    def run(self, seconds: float) -> None:
        """Let time pass, the guard's loop included."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.tick()
            if self.guard:
                try:
                    self.guard.turn()
                except Killed:
                    self.guard = None

    def tick(self) -> None:
        """One step of everything but the guard."""
        self.now += STEP
        due = [each for each in self.pending if each[0] <= self.now]
        self.pending = [each for each in self.pending if each[0] > self.now]
        for _, happen in due:
            happen()
        for node in self.nodes.values():
            self._live(node)
        self._write()
        self._stream()
        self._hold_fences()
        for node in self.nodes.values():
            if self._reached(node):
                self.sick_since.pop(node.name, None)
            else:
                self.sick_since.setdefault(node.name, self.now)
            if self.guard and self.now >= self.guard.frozen_until:
                self._probe(node)

    def _live(self, node: Server) -> None:
        if node.due is not None and node.due <= self.now:
            node.due = None
            if node.process == "dead":
                self.start(node)
        if node.hung:
            return
        if node.process == "up":
            node.pause = 2 * STEP
        elif node.process == "starting" and self.now - node.since >= 0.5:
            self._node_script(node)
        elif node.process == "rejoining":
            self._become_standby(node)

    def _write(self) -> None:
        """A client aims straight at every node."""
        writable = [node for node in self.nodes.values() if node.writable]
        assert len(writable) <= 1, f"two primaries accept writes: {[node.name for node in writable]}"
        for node in writable:
            write = f"{node.name}@{self.now:.3f}"
            node.wal = node.wal.then(write)
            self.acknowledged.add(write)

    def _hold_fences(self) -> None:
        """What serves the data of a fenced node is ended at once by a guard that lives, paused or not."""
        guard = self.guard
        if guard is None or self.doomed or guard.acting or self.now < guard.frozen_until or self.maintenance == COMMAND:
            self.unguarded = self.now
        for node in self.nodes.values():
            if node.by_hand is not None:
                long = self.now - max(node.by_hand, self.unguarded)
                assert long < 1.5, f"{node.name} is fenced, and its data have been served for {long:.2f} s"
                node.wal = node.wal.then(f"by hand {node.name}@{self.now:.3f}")

    def _stream(self) -> None:
        for node in self.nodes.values():
            if self.receives(node):
                source = self.nodes[node.follows]
                node.wal, node.timeline = source.wal, source.timeline
                node.process = "up"

    def receives(self, node: Server) -> bool:
        """Whether it receives from whomever it follows: from another standby it may, too, if that has a slot for it."""
        receiving = node.process in {"up", "inconsistent"} and not node.hung and not node.cut
        if node.data != STANDBY or not receiving or node.follows not in self.nodes:
            return False
        source = self.nodes[node.follows]
        gives = source.serves and (source.data == PRIMARY or node.name in source.slots)
        return source is not node and gives and not source.blocked and source.wal.begins_with(node.wal)

    def streams(self, node: Server) -> bool:
        """Whether it receives from a primary that lives."""
        return node.serves and self.receives(node) and self.nodes[node.follows].data == PRIMARY

    def healthy(self) -> bool:
        """One primary, and everybody else follows it."""
        primaries = [node for node in self.nodes.values() if node.writable]
        return len(primaries) == 1 and all(node in primaries or self.streams(node) for node in self.nodes.values())

    def may_have_been_destroyed(self) -> bool:
        """Who was about to be promoted has no data any more: nobody can say whether that was done."""
        return self.record is not None and self.record[1] != "" and self.nodes[self.record[1]].data is None

    def told_of_nodes(self) -> str:
        """What is the matter, for a test that fails."""
        nodes = "\n".join(
            f"{n.name}: {n.data} timeline {n.timeline}, {n.process} {'hung ' if n.hung else ''}marker '{n.marker}' "
            f"follows '{n.follows}' wal {n.wal.length} streams {self.streams(n)}"
            for n in self.nodes.values()
        )  # fmt: skip
        acts = "\n".join(f"{at:.2f} {decision}" for at, decision in self.acts[-25:])
        return f"at {self.now:.2f}\n{nodes}\n{acts}\n{self.guard.view if self.guard else ''}"

    # --- Processes

    def start(self, node: Server) -> None:
        """As runtime.start, the engine's policy, or an operator does: the node script begins."""
        if not node.runs:
            node.process, node.since, node.hung = "starting", self.now, False

    def die(self, node: Server, *, policy: bool = True) -> None:
        """Its process ends; the guard hears of it, and the runtime's policy may start it again."""
        if not node.runs:
            return
        if not self.maintenance:
            self.deaths.append((self.now, node.name))
        node.process, node.hung, node.by_hand = "dead", False, None
        if self.now >= self.deaf_until:
            heard = max(self.now, self.guard.frozen_until if self.guard else 0.0)
            self.told.append((heard + STEP, Exit(node.name, heard, "it ended")))
        node.due = self.now + node.pause if policy and self.sturdy and node.restarts else None
        node.pause = min(2 * node.pause, 60.0)

    def _node_script(self, node: Server) -> None:
        primaries = [peer for peer in self.nodes.values() if peer is not node and peer.writable]
        highest = max((peer.timeline for peer in self.nodes.values() if peer is not node and peer.serves), default=0)
        primary = primaries[0] if primaries else None
        if node.marker in {"fenced", "rewinding", "stranded"}:
            self.die(node)
        elif node.marker in {"rejoin", "rebuild"} or node.data is None:
            node.process, node.since = "rejoining", self.now
        elif node.data == STANDBY:
            if primary and not primary.wal.begins_with(node.wal):
                self.die(node)  # refuses: it is another timeline's
                return
            node.process, node.follows = "up", primary.name if primary else node.follows
            node.marker = "" if primary else node.marker
        elif primary and primary.timeline > node.timeline:
            node.marker, node.process, node.since = "rejoin", "rejoining", self.now
        elif primary or highest > node.timeline:
            self.die(node)
        else:
            node.marker, node.process = "", "up"
            self._recover(node)

    def _recover(self, node: Server) -> None:
        """A server takes damage for the end of its WAL; that is told, and who has more does not follow it."""
        if node.damaged is not None:
            before = node.wal.up_to(node.damaged)
            self.acknowledged -= {*node.wal.entries()} - {*before.entries()}
            node.wal, node.damaged = before, None

    def _become_standby(self, node: Server) -> None:
        primary = next((peer for peer in self.nodes.values() if peer is not node and peer.writable), None)
        if primary is None:
            if node.marker == "rewinding" or self.now - node.since > 15.0:
                self.die(node)
        elif self.now - node.since >= 1.0:
            # What it was rewound with is not what it follows, where another was promoted in between.
            node.data, node.marker, node.process = STANDBY, "", "inconsistent"
            node.wal, node.timeline, node.follows = primary.wal, primary.timeline, node.told or primary.name
            node.told, node.damaged = "", None
        elif self.now - node.since >= 0.5 and node.marker == "rejoin" and node.data == PRIMARY:
            node.marker = "rewinding" if node.damaged is None else "stranded"
            if node.marker == "stranded":
                self.die(node)

    # --- What the guard's eyes see

    def _probe(self, node: Server) -> None:
        if self.now >= node.next_probe or (node.owes and self._reached(node)):
            seen = self._asked(node)
            node.owes = node.session and isinstance(seen, Miss) and seen.kind is NoAnswer.SILENT
            node.next_probe = self.now + (0.5 if isinstance(seen, Answer) or seen.kind is NoAnswer.SILENT else 0.125)
            self.told.append((self.now, seen))
        if node.data == PRIMARY and self.now >= node.next_knock:
            welcome = self._reached(node)
            node.next_knock = self.now + (5.0 if welcome else 1.5)
            miss = Miss(node.name, self.now, NoAnswer.SILENT if node.runs else NoAnswer.REFUSED, "no", fresh=True)
            self.told.append((self.now, Welcome(node.name, self.now) if welcome else miss))

    def _reached(self, node: Server) -> bool:
        return node.serves and not node.blocked and self.now >= node.slow_until

    def _asked(self, node: Server) -> Answer | Miss:
        had, node.session = node.session, node.runs and (node.session or node.serves)
        if self._reached(node):
            role = Role.PRIMARY if node.data == PRIMARY else Role.STANDBY
            fed = frozenset(n.name for n in self.nodes.values() if n.follows == node.name and self.receives(n))
            # A receiver that is refused again and again looks like one that receives.
            asks = node.data == STANDBY and node.follows in self.nodes and self.nodes[node.follows].serves
            return Answer(node.name, self.now, role, node.timeline, receiving=asks, receivers=fed)
        if not node.runs:
            return Miss(node.name, self.now, NoAnswer.LOST if had else NoAnswer.REFUSED, "gone")
        starting = node.process in {"starting", "inconsistent"} and not node.hung and not node.blocked
        return Miss(node.name, self.now, NoAnswer.STARTING if starting else NoAnswer.SILENT, "late")

    def look(self, name: str) -> Look:
        """As Acts.look: the runtime's word."""
        node = self.nodes[name]
        state = State.RUNNING if node.runs else State.STOPPED if node.data else State.ABSENT
        follows = node.follows if node.process == "inconsistent" else None
        lacks = follows is not None and self.lacks(node)
        intruder = "somebody" if node.by_hand is not None else None
        return Look(
            name,
            self.now,
            state,
            node.fenced,
            node.data == PRIMARY,
            node.on_its_way,
            intruder=intruder,
            follows=follows,
            lacks=lacks,
        )

    def lacks(self, node: Server) -> bool:
        """Whether it waits, to become consistent, for WAL that the primary has lost."""
        primary = self.nodes.get(node.follows, NOBODY)
        return node.process == "inconsistent" and primary.writable and not primary.wal.begins_with(node.wal)


class Guard:
    """The loop of haop/guard/guard.py, with hands that work in that world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.view = View.of(world.nodes, world.now)
        self.frozen_until = 0.0
        self.acting = False
        self.next_turn = self.waiting = world.now
        world.told.clear()
        world.doomed = False

    def turn(self) -> None:
        """One round of its loop."""
        if self.world.doomed:
            raise Killed
        if self.world.now < self.frozen_until or (not self.hears() and self.world.now < self.next_turn):
            return
        self.attend()
        self.waiting = self.world.now

    def hears(self) -> bool:
        """Whether there is news: it wakes the guard."""
        return any(at <= self.world.now for at, _ in self.world.told)

    def attend(self) -> None:
        """What it does when it wakes."""
        world = self.world
        heard = [seen for at, seen in world.told if at <= world.now]
        world.told = deque((at, seen) for at, seen in world.told if at > world.now)
        self.next_turn = world.now + 0.25
        for seen in heard:
            self.see(seen)
        self.see(Tick(world.now, self.waiting))
        self.view = self.view.but(world.maintenance, world.now)
        if self.view.busy == COMMAND:
            return
        decision = decide(self.view, world.now)
        if not isinstance(decision, FailOver):
            self.look_around()
            decision = decide(self.view, world.now)
        if decision:
            self.carry_out(decision)

    def see(self, seen: Seen) -> None:
        """Take it in."""
        self.view = see(self.view, seen)

    def look_around(self, *, everywhere: bool = False) -> None:
        """As the real one: at who does not answer, and seldom at who does."""
        now = self.world.now
        for node in self.view.nodes.values():
            stale = node.look is None or (node.exit is not None and node.look.at < node.exit.at)
            healthy = now - node.answered < 1.0 and node.look is not None and node.look.state is State.RUNNING
            old = node.look is not None and now - node.look.at > (30.0 if healthy else 1.0)
            if node.look and node.fenced:
                old = node.answered > node.look.at or now - node.look.at > 0.5
            if everywhere or stale or old:
                self.see(self.world.look(node.name))

    def carry_out(self, decision: Decision) -> None:
        """Step by step; a failure is a fact."""
        world = self.world
        world.acts.append((world.now, decision))
        assert not world.maintenance or isinstance(decision, EndIntruder), f"{decision} in maintenance"
        self.acting = True
        try:
            match decision:
                case EndIntruder(name, _):
                    self._end_intruder(world.nodes[name])
                case FailOver():
                    self._fail_over(decision)
                case BringBack(name, _):
                    self.see(Tried(name, world.now))
                    self._bring_back(world.nodes[name])
                case Tidy(primary, timeline):
                    self.see(Tidying(world.now))
                    self._tidy()
                    self.see(Tidied(primary, timeline))
                case Reinstate():
                    self.see(FailedOver(world.now, None))
                    self._reinstate()
        except Failed:
            pass
        self.acting = False
        self.look_around(everywhere=True)

    def step(self) -> None:
        """Between two steps time passes, and the guard may die."""
        self.world.tick()
        if self.world.doomed:
            raise Killed

    # --- Acts

    def _answering(self, but: frozenset[str] = frozenset()) -> list[Server]:
        found = [n for n in self.world.nodes.values() if n.name not in but and n.serves and not n.blocked]
        found = [node for node in found if node.by_hand is None]
        self.step()
        return [node for node in found if node.serves]

    def _candidate(self, answering: list[Server]) -> Server:
        if any(node.data == PRIMARY for node in answering) or not answering:
            raise Failed
        return max(answering, key=lambda node: (node.timeline, node.wal.length))

    def _fail_over(self, decision: FailOver) -> None:
        _require_evidence(self.world, decision)
        try:
            promoted = self._promoted(decision)
        except Failed:
            self.see(FailedOver(self.world.now, None, decision.sure))
            raise
        self.see(FailedOver(self.world.now, promoted))

    def _promoted(self, decision: FailOver) -> str:
        world = self.world
        world.record = world.record or (decision.old or "nobody", "")
        silent = frozenset(n.name for n in self.view.nodes.values() if n.down or n.name == decision.old)
        answering = self._answering(silent)
        chosen = self._candidate(answering)
        for node in world.nodes.values():
            if node.by_hand is not None or (node not in answering and not node.fenced and node.data == PRIMARY):
                self._fence(node)
        answering = self._answering(silent)
        chosen = self._candidate(answering)
        whole = self._salvage(chosen)
        if not whole and not decision.sure:
            raise Failed
        self.step()
        world.record = (world.record[0], chosen.name)
        self.step()
        self._require_fences(chosen)
        if not chosen.serves or not chosen.promotable:
            raise Failed
        self._crown(chosen, whole=whole)
        self.step()
        world.last = chosen.name
        for node in answering:
            if node is not chosen and node.serves and node.data == STANDBY:
                node.follows = chosen.name
                self.step()
        world.record = None
        return chosen.name

    def _require_fences(self, chosen: Server) -> None:
        broken = [node for node in self.world.nodes.values() if node.by_hand is not None and node is not chosen]
        for node in broken:
            self.world.die(node, policy=False)
        if broken:
            raise Failed

    def _fence(self, node: Server) -> None:
        node.restarts, node.due = False, None
        self.step()
        self.world.die(node, policy=False)
        self.step()
        if node.runs:  # an operator was quicker
            self.world.die(node, policy=False)
        node.marker = node.marker if node.marker in {"rewinding", "stranded"} else "fenced"
        self.step()

    def _salvage(self, chosen: Server) -> bool:
        """Replay what the dead primary has more; whether nothing can be missing then."""
        dead = [
            n for n in self.world.nodes.values() if n.fenced and n.data == PRIMARY and n.timeline >= chosen.timeline
        ]
        self.step()
        if not dead or self._others_are_gone(max(dead, key=lambda node: node.timeline), chosen):
            return False
        source = max(dead, key=lambda node: node.timeline)
        self.step()  # in which its disk may go
        if source.unreadable or source.marker == "rewinding" or not source.wal.begins_with(chosen.wal):
            return False
        if chosen.wal is source.wal or source.damaged is None:
            chosen.wal, chosen.timeline = source.wal, source.timeline
            return True
        before = source.wal.up_to(source.damaged)
        chosen.wal = before if before.begins_with(chosen.wal) else chosen.wal
        return False

    def _others_are_gone(self, *but: Server) -> bool:
        """Whether somebody else was primary last, or may have been, and has no data any more."""
        names = {self.world.last, self.world.record[1] if self.world.record else ""} - {node.name for node in but}
        return any(node.data is None for node in self.world.nodes.values() if node.name in names)

    def _crown(self, chosen: Server, *, whole: bool) -> None:
        world = self.world
        for node in world.nodes.values():
            unfenced = node is not chosen and node.data == PRIMARY and (not node.fenced or node.by_hand is not None)
            assert not unfenced, f"{chosen.name} is promoted while {node.name} is not fenced"
        missing = world.acknowledged.difference(chosen.wal.entries())
        assert not (missing and whole), f"{len(missing)} acknowledged writes are missing on {chosen.name}"
        world.acknowledged -= missing
        chosen.timeline = world.highest = world.highest + 1
        others = (node.timeline for node in world.nodes.values() if node is not chosen)
        assert max(others, default=0) < chosen.timeline, "two timelines of one number"
        chosen.data, chosen.follows, chosen.wal = PRIMARY, "", chosen.wal.then(f"timeline {chosen.timeline}")

    def _bring_back(self, node: Server) -> None:
        world = self.world
        primaries = [peer for peer in self._answering() if peer.data == PRIMARY]
        if not primaries:
            self._start(node)
        elif world.streams(node) or node.on_its_way or primaries[0] is node:
            raise Failed
        elif node.serves and not node.blocked and primaries[0].wal.begins_with(node.wal):
            node.follows = primaries[0].name
        elif node.process != "inconsistent" or node.follows != primaries[0].name or world.lacks(node):
            self._restart_as_standby(node)

    def _end_intruder(self, node: Server) -> None:
        assert node.fenced, f"{node.name} is ended, and not fenced"
        self.step()
        if node.by_hand is not None:
            self.world.die(node, policy=False)

    def _restart_as_standby(self, node: Server) -> None:
        if node.runs:
            self.world.die(node, policy=False)
            self.step()
        if node.data == PRIMARY or node.fenced or not node.runs:
            node.marker = (
                "rebuild" if node.marker in {"rewinding", "stranded"} else "rejoin" if node.data or node.fenced else ""
            )
        self.step()
        self._start(node)

    def _start(self, node: Server) -> None:
        node.restarts = True
        self.world.start(node)

    def _tidy(self) -> None:
        if tidied := primary_of(self.view):
            self.world.last = tidied.name
        self.step()
        for node in self._answering():
            primary = primary_of(self.view)
            if primary and node.data == STANDBY and not self.world.streams(node):
                target = self.world.nodes[primary.name]
                if target.writable and target.wal.begins_with(node.wal):
                    node.follows = primary.name
        self.world.record = None

    def _reinstate(self) -> None:
        """As Acts.reinstate: the record's node, else the one that is fenced, where everybody else is a standby."""
        world = self.world
        fenced = [node for node in world.nodes.values() if node.fenced and node.data == PRIMARY]
        recorded = [node for node in fenced if world.record and world.record[0] == node.name]
        if any(node.data == PRIMARY and not node.fenced for node in world.nodes.values()):
            raise Failed
        if not recorded and len(fenced) != 1:
            raise Failed
        old = (recorded or fenced)[0]
        if self._others_are_gone(old):
            raise Failed
        if world.record and world.record[1]:
            self._fence(world.nodes[world.record[1]])
            if world.nodes[world.record[1]].data == PRIMARY:
                old = world.nodes[world.record[1]]
        self.step()
        if old.marker == "rewinding":
            raise Failed
        missing = world.acknowledged.difference(old.wal.entries())
        assert not missing, f"{len(missing)} acknowledged writes are missing on {old.name}, which is primary again"
        self._require_fences(NOBODY)
        old.marker = "reinstate"
        self.step()
        self._start(old)


def _require_evidence(world: World, decision: FailOver) -> None:
    """Against the world itself: who is fenced has died, or did not serve for long enough."""
    if decision.old is None:
        return
    deaths = [at for at, name in world.deaths if name == decision.old]
    died = any(world.now - at < 5.0 for at in deaths) or len([at for at in deaths if world.now - at < 61.0]) >= 3
    sick = world.now - world.sick_since.get(decision.old, world.now)
    runs = world.nodes[decision.old].runs
    assert died or not runs or sick >= 1.0, f"{decision} at {world.now:.2f}, and it serves (sick for {sick:.2f} s)"
