"""Leaves of forms that no camera of ours writes, validly signed: both verifiers judge them as the format page does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.formats import leaf as leaves
from tests.builders import agency, simple_camera
from tests.evidence.kit import failures
from tests.independent.kit import verdicts

Value = dict[str, Any]
FOLLOWS = {"origin": "bodycam.local/cam-0001/1", "size": 1, "root": "A" * 43 + "="}
SOUND: dict[str, tuple[str, Callable[[Value], object]]] = {
    "a key that nobody knows": ("media", lambda v: v.update(later={"a": [1]})),
    "kind and facts in the leaf of a part": ("media", lambda v: v.update(kind="stop", facts={"parts": 7})),
}
UNSOUND: dict[str, tuple[str, Callable[[Value], object]]] = {
    "an epoch that begins in the middle": ("start", lambda v: v["facts"].update(epoch={"follows": FOLLOWS})),
    "no error bound at all": ("media", lambda v: v["utc"].pop("bound_ms")),
    "a negative error bound": ("media", lambda v: v["utc"].update(bound_ms=-1)),
    "an error bound in words": ("start", lambda v: v["utc"].update(bound_ms="12")),
    "no source of the time": ("media", lambda v: v["utc"].pop("source")),
    "no recipients": ("start", lambda v: v.pop("recipients")),
    "recipients cut short": ("media", lambda v: v.update(recipients=v["recipients"][:-1])),
    "recipients in capitals": ("media", lambda v: v.update(recipients="A" * 64)),
    "a key frame that is a number": ("media", lambda v: v.update(idr=1)),
    "a part that lasts less than nothing": ("media", lambda v: v.update(duration_ns=-1)),
}


def written(place: Path, patch: pytest.MonkeyPatch, which: str, change: Callable[[Value], object]) -> Path:
    """A camera's life in which the first such leaf is changed before it is hashed and signed."""
    left, real = [1], leaves.to_bytes

    def to_bytes(leaf: leaves.Leaf) -> bytes:
        value = json.loads(real(leaf))
        if value.get("kind", value["class"]) != which or not left:
            return real(leaf)
        left.clear()
        change(value)
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"

    patch.setattr(leaves, "to_bytes", to_bytes)
    simple_camera().write(place)
    assert not left
    return place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return agency().write_trust(tmp_path)[0]


@pytest.mark.parametrize("name", [*SOUND, *UNSOUND])
def test_both_say_what_the_page_says(name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    which, change = (SOUND | UNSOUND)[name]
    place = written(tmp_path / "segments", monkeypatch, which, change)
    monkeypatch.undo()
    assert (failures(place) == []) == (name in SOUND)
    assert (verdicts(root, place)[place] == "verified") == (name in SOUND)
