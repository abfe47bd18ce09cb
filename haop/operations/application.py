"""Asks the health endpoint of an application, as a monitor would."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request

from haop.model.application import judge, not_compared
from haop.model.checking import Check
from haop.model.status import ClusterStatus

ANSWER_SECONDS = 5.0
_BYTES_AT_MOST = 1_000_000
_HINT = "the path is often /api/health/"


def check(url: str, status: ClusterStatus) -> Check:
    """What it says, held against what the nodes said; within 5 seconds, however it answers.

    Args:
        url: of the endpoint, http or https.
        status: the cluster, as it was a moment ago.
    """
    if not status.primary:
        return not_compared("meanwhile the cluster has no primary, or two", hint="haop status")
    begun, answer = time.monotonic(), _Answer(url)
    answer.thread.start()
    answer.thread.join(ANSWER_SECONDS)
    if answer.thread.is_alive():  # a byte each second would never be late for the socket's own timeout
        return not_compared(f"{url}: no answer within {ANSWER_SECONDS:g} s", hint="does it hang?")
    if answer.problem:
        return not_compared(f"{url}: {answer.problem}", hint="does it run?")
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        return not_compared(f"{url}: it does not answer with JSON", hint=_HINT)
    return judge(told, status, time.monotonic() - begun)


class _Answer:
    """Asked for in a thread that nobody has to wait for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = b""
        self.problem: str | None = None
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        try:
            self.body = _body(self.url)
        except urllib.error.URLError as error:
            self.problem = _line(getattr(error.reason, "strerror", None) or error.reason)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.problem = _line(error)


def _body(url: str) -> bytes:
    """Of any answer: one that says "unavailable" has the status 503. No proxy: most are on this machine."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - the caller has looked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            found: bytes = answer.read(_BYTES_AT_MOST)
    except urllib.error.HTTPError as error:
        with error:
            found = error.read(_BYTES_AT_MOST)
    return found


def _line(problem: object) -> str:
    """What is no HTTP at all is quoted in the error, with all that a terminal would obey."""
    told = "".join(letter if letter.isprintable() else " " for letter in str(problem))
    return " ".join(told.split()) or type(problem).__name__
