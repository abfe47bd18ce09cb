"""Clients that know nothing of haop: one as an application connects, one aimed straight at a node."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from haop.operations.cluster import Cluster
from haop.postgres.connection import Login
from haop.waiting import wait_until
from tests import support

_PACE, _DEADLINE = 0.01, 1.0


@dataclass
class Client:
    """Inserts numbers, one after the other, and remembers which were acknowledged, and when."""

    conninfo: str
    numbers: Iterator[int]
    keeps: bool = True  # its connection, as long as that works
    acknowledged: dict[int, float] = field(default_factory=dict)  # monotonic: when its INSERT was begun

    def run(self, until: threading.Event) -> None:
        link: psycopg.Connection[tuple[object, ...]] | None = None
        while not until.wait(_PACE):
            number, begun = next(self.numbers), time.monotonic()
            try:
                link = link or psycopg.connect(self.conninfo, autocommit=True)
                with cut_off(link):
                    link.execute("INSERT INTO ledger VALUES (%s)", [number])
                self.acknowledged[number] = begun
            except psycopg.Error:
                _closed(link)
                link = None
            if not self.keeps:
                _closed(link)
                link = None
        _closed(link)

    def since(self, moment: float) -> list[int]:
        return [number for number, begun in self.acknowledged.copy().items() if begun > moment]


def _closed(link: "psycopg.Connection[tuple[object, ...]] | None") -> None:
    """Also None, for what no longer has one."""
    if link is not None:
        link.close()


@contextmanager
def cut_off(link: "psycopg.Connection[tuple[object, ...]]") -> Iterator[None]:
    """A statement that is not answered within the deadline ends with its connection: the socket is shut."""
    timer = threading.Timer(_DEADLINE, _shut, [link.fileno()])
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(number: int) -> None:
    import os
    import socket

    with suppress(OSError):
        door = socket.socket(fileno=os.dup(number))
        door.shutdown(socket.SHUT_RDWR)
        door.close()


@dataclass
class Clients:
    """The clients of one test."""

    cluster: Cluster
    application: Client
    straight: tuple[Client, Client]  # at the primary of the beginning: on one connection, and on new ones

    def acknowledged(self) -> set[int]:
        return {number for client in (self.application, *self.straight) for number in client.acknowledged.copy()}

    def lost(self) -> set[int]:
        """What was acknowledged and the primary does not have."""
        told = self.acknowledged()
        rows = support.sql(self.cluster, support.primary_of(self.cluster), "SELECT id FROM ledger", database="shop")
        return told - {int(str(row[0])) for row in rows}

    def await_writes(self) -> None:
        """The application's writes are acknowledged, now."""
        now = time.monotonic()
        wait_until(lambda: len(self.application.since(now)) > 5, deadline=90, waiting_for="writes of the application")


@contextmanager
def clients(cluster: Cluster) -> Iterator[Clients]:
    """Clients at work for as long as this is open."""
    old, spec, login = support.primary_of(cluster), cluster.project.spec, cluster.engine.application
    support.sql(
        cluster, old,
        "DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (id int PRIMARY KEY); "
        f"ALTER TABLE ledger OWNER TO {spec.owner}",
        database=spec.database,
    )  # fmt: skip
    names = [old, *(node.name for node in spec.nodes if node.name != old)]
    numbers = itertools.count(1)
    whole, alone = (_conninfo(cluster, chosen, login) for chosen in (names, [old]))
    made = Clients(
        cluster, Client(f"{whole} target_session_attrs=read-write", numbers),
        (Client(alone, numbers), Client(alone, numbers, keeps=False)),
    )  # fmt: skip
    until = threading.Event()
    threads = [threading.Thread(target=client.run, args=(until,)) for client in (made.application, *made.straight)]
    for thread in threads:
        thread.start()
    try:
        made.await_writes()
        yield made
    finally:
        until.set()
        for thread in threads:
            thread.join()


def _conninfo(cluster: Cluster, names: list[str], login: Login) -> str:
    ports = ",".join(str(cluster.runtime.endpoint(name).port) for name in names)
    hosts = ",".join("127.0.0.1" for _ in names)
    parameters = " ".join(f"{key}='{value}'" for key, value in login.parameters().items())
    return f"host={hosts} port={ports} connect_timeout=2 gssencmode=disable {parameters}"
