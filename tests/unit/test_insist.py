"""What the engine refuses for a moment only. A fake: the real one does so under load, at instants of its own."""

from unittest.mock import Mock

import pytest
from docker.errors import APIError

from haop.docker.containers import Containers
from haop.errors import HaopError


def containers(monkeypatch: pytest.MonkeyPatch, engine: Mock) -> Containers:
    monkeypatch.setattr(Containers, "client", engine)
    monkeypatch.setattr(Containers, "id", lambda *_: "abc")
    return Containers("shop", "identity")


@pytest.mark.parametrize("says", ["cannot update a stopped container: unknown", "container not running : unknown"])
def test_a_container_that_is_ending_is_asked_again(monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    engine = Mock()
    engine.update_container.side_effect = [APIError(says), None]
    containers(monkeypatch, engine).set_restart("db1", "no")
    assert engine.update_container.call_count == 2


def test_a_container_that_cannot_be_frozen_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Mock()
    engine.pause.side_effect = [APIError("OCI runtime pause failed: unable to freeze: unknown"), None]
    containers(monkeypatch, engine).pause("db1")
    assert engine.pause.call_count == 2


def test_another_refusal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Mock()
    engine.pause.side_effect = APIError("no space left on device")
    with pytest.raises(HaopError, match="cannot pause db1: no space left on device"):
        containers(monkeypatch, engine).pause("db1")
    assert engine.pause.call_count == 1
