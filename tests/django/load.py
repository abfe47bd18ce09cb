"""Clients of the trial project, at work while something breaks."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from haop.waiting import wait_until
from tests.django.serving import Answer, Served

PACE_SECONDS = 0.02


@dataclass
class Clients:
    """What they were answered, in order of time; each with the moment at which it was asked."""

    reads: list[tuple[float, Answer]] = field(default_factory=list)
    writes: list[tuple[float, Answer]] = field(default_factory=list)

    def failed_reads(self) -> list[Answer]:
        return [answer for _, answer in self.reads if answer.status != 200]

    def saved(self) -> list[int]:
        return [answer.json["id"] for _, answer in self.writes if answer.status == 200]

    def await_saved(self, since: float) -> None:
        wait_until(lambda: any(at > since and answer.status == 200 for at, answer in self.writes), deadline=60,
                   waiting_for="a page to save something")  # fmt: skip

    def await_read_from(self, node: str) -> None:
        wait_until(lambda: self.reads and self.reads[-1][1].status == 200 and self.reads[-1][1].json["node"] == node,
                   deadline=60, waiting_for=f"pages to be answered by {node}")  # fmt: skip


@contextmanager
def clients(site: Served, *, readers: int = 6, writers: int = 2) -> Iterator[Clients]:
    """Each asks as soon as it has been answered; they have begun when the block does."""
    seen, until = Clients(), threading.Event()

    def ask(kept: list[tuple[float, Answer]], method: str, path: str) -> None:
        while not until.wait(PACE_SECONDS):
            begun = time.monotonic()
            kept.append((begun, site.browser().ask(method, path, {"Accept": "application/json"})))

    jobs = [(seen.reads, "GET", "/")] * readers + [(seen.writes, "POST", "/add")] * writers
    threads = [threading.Thread(target=ask, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(seen.reads) > 20 and seen.saved(), deadline=30, waiting_for="pages to be answered")
        yield seen
    finally:
        until.set()
        for thread in threads:
            thread.join()
