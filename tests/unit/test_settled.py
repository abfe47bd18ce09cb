"""What the engine fails at for a moment only. A fake: the real one does so at instants of its own (test_engine)."""

from unittest.mock import Mock

import pytest
from docker.errors import APIError
from requests import Response

from haop.docker import engine as module
from haop.docker.containers import Containers
from haop.errors import HaopError


def containers(monkeypatch: pytest.MonkeyPatch, engine: Mock) -> Containers:
    monkeypatch.setattr(Containers, "client", engine)
    monkeypatch.setattr(Containers, "id", lambda *_: "abc")
    return Containers("shop", "identity")


def answered(code: int, says: str) -> APIError:
    response = Response()
    response.status_code = code
    return APIError(says, response, explanation=says)


def test_an_engine_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Mock()
    engine.pause.side_effect = [answered(500, "OCI runtime pause failed: unable to freeze: unknown"), None]
    containers(monkeypatch, engine).pause("db1")
    assert engine.pause.call_count == 2


def test_its_own_words_are_told_where_it_goes_on_failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SETTLING_SECONDS", 0.1)
    engine = Mock()
    engine.update_container.side_effect = answered(500, "no space left on device")
    with pytest.raises(HaopError, match="cannot set the restart policy of db1: no space left on device"):
        containers(monkeypatch, engine).set_restart("db1", "no")
    assert engine.update_container.call_count > 1


def test_a_refusal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Mock()
    engine.pause.side_effect = answered(409, "Container abc is not running")
    with pytest.raises(HaopError, match="cannot pause db1: Container abc is not running"):
        containers(monkeypatch, engine).pause("db1")
    assert engine.pause.call_count == 1
