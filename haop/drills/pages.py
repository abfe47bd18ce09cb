"""Users of the application during a drill: one who reads, one who writes, both over HTTP as anybody does."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from urllib.parse import urlsplit

from haop.drills import threads
from haop.drills.ledger import Ledger, Page, Pinned
from haop.model.pages import PagesSpec

PACE_SECONDS = 0.02
_SAMPLE_SECONDS = 0.25
_ANSWER_SECONDS = 10.0
_SAID_AT_MOST = 2000


class Pages:
    """Clients that ask again as soon as they are answered, on a connection that is kept while it works."""

    def __init__(self, ledger: Ledger, spec: PagesSpec) -> None:
        self._ledger = ledger
        self._spec = spec
        self._stop = threading.Event()

    def running(self) -> AbstractContextManager[None]:
        """Start them; end them, and wait for their end, with the context."""
        jobs: list[Callable[[], None]] = [self._sample]
        if self._spec.read:
            jobs.append(partial(self._ask, "GET", self._spec.read))
        if self._spec.write:
            jobs.append(partial(self._ask, "POST", self._spec.write))
        return threads.running(jobs, self._stop)

    def problem(self) -> str | None:
        """Why the pages cannot be measured: the last answer of one that has never been as it should be."""
        for write, path in ((False, self._spec.read), (True, self._spec.write)):
            seen = [page for page in self._ledger.pages.copy() if page.write is write]
            if path and not any(page.served for page in seen):
                method = "POST" if write else "GET"
                last = seen[-1] if seen else None
                told = f"answers {last.status}" if last and last.status else last.said if last else "has not answered"
                return f"{method} {self._spec.url}{path}: {told}"
        return None

    def serve_since(self, moment: float) -> bool:
        """Whether each page was served to somebody who asked after that moment."""
        late = [page for page in self._ledger.pages.copy() if page.served and page.begun > moment]
        wanted = {write for write, path in ((False, self._spec.read), (True, self._spec.write)) if path}
        return wanted <= {page.write for page in late}

    def _ask(self, method: str, path: str) -> None:
        link = self._connection()
        for _ in self._beats(PACE_SECONDS):
            begun, status, said = time.monotonic(), None, ""
            try:
                link.request(method, path, headers={"Accept": "application/json, text/html"})
                answer = link.getresponse()
                body, status = answer.read(), answer.status
                said = "" if status < 400 else body[:_SAID_AT_MOST].decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                said = str(error) or type(error).__name__
                link.close()
            self._ledger.pages.append(Page(begun, time.monotonic(), method == "POST", status, said))
        link.close()

    def _sample(self) -> None:
        """Where it says that it is connected; an application without the endpoint, or without details, says nothing."""
        link = self._connection()
        for _ in self._beats(_SAMPLE_SECONDS):
            try:
                link.request("GET", self._spec.health)
                told = json.loads(link.getresponse().read())
                place = told["details"]["routes"]["default"]["connected_to"]
            except (OSError, http.client.HTTPException):
                link.close()
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            else:
                if isinstance(place, str):
                    self._ledger.pinned.append(Pinned(time.monotonic(), place))
        link.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self._spec.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.netloc, timeout=_ANSWER_SECONDS)

    def _beats(self, pace: float) -> Iterator[None]:
        while not self._stop.is_set():
            yield
            self._stop.wait(pace)
