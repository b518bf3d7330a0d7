"""Who does what with layers where this process may not."""

from __future__ import annotations

import os

import pytest

from pyengine.containers import layer_hands
from pyengine.containers.layer_hands import LayerHands
from pyengine.errors import EngineClosed, Unsupported


class NoUsers:
    """Joiners of a host that gives no user namespaces."""

    @property
    def usual(self) -> object:
        raise Unsupported("containers", "this host gives no user namespace", "allow them")


@pytest.fixture
def hands() -> LayerHands:
    return LayerHands(NoUsers())  # type: ignore[arg-type]


class Own:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def unpacker(self, *words: object) -> str:
        self.asked.append(("unpack", *words))
        return "its own"

    def pack(self, *words: object) -> str:
        self.asked.append(("pack", *words))
        return "its own"


def test_without_user_namespaces_it_does_what_it_may_itself(hands):
    hands._own = own = Own()
    assert hands.unpacker(3, "limits") == hands.pack(3, 4) == "its own"
    assert own.asked == [("unpack", 3, "limits"), ("pack", 3, 4)]


def test_nothing_is_started_after_it_was_closed(hands):
    hands.close()
    for call in (lambda: hands.unpacker(3, None), lambda: hands.ask("module")):
        with pytest.raises(EngineClosed):
            call()


def test_what_it_may_move_it_moves_itself(hands, tmp_path):
    (tmp_path / "a").mkdir()
    hands.move(f"{tmp_path}/a", f"{tmp_path}/b")
    assert os.listdir(tmp_path) == ["b"]


def test_what_it_may_not_move_another_does(hands, monkeypatch):
    def refuse(path: str, to: str) -> None:
        raise PermissionError(13, "no")

    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(layer_hands.os, "rename", refuse)
    monkeypatch.setattr(hands, "ask", lambda *words: asked.append(words))
    hands.move("/a", "/b")
    assert asked == [(layer_hands.__name__, "/a", "/b")]
