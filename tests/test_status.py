"""What the recorder shows: its own numbers, and of others' words only what is what it should be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.status import progress_of


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"state": "uploading", "bytes_done": 5, "error": ""}, {"state": "uploading", "bytes_done": 5, "error": ""}),
        ({"bytes_done": "5", "bytes_total": True, "segments_done": None, "mono_ns": -1}, {}),
        ({"bytes_done": 1.5, "state": 7, "error": ["x"]}, {}),
        ({"state": "\x1b[2J", "error": "a\nb" + "c" * 1000}, {"state": "?[2J", "error": "a?b" + "c" * 497}),
        ({"unknown": 1}, {}),
    ],
)
def test_what_the_uploader_says_of_itself(told: dict[str, Any], shown: dict[str, Any]) -> None:
    """inbox/ is hostile: what is shown of it has the kinds it should have, and steers no terminal."""
    assert progress_of(json.dumps(told).encode()) == shown


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"[" * 60_000, b"5", b'{"bytes_done":' + b"9" * 5000 + b"}"])
def test_what_is_no_progress(data: bytes) -> None:
    assert progress_of(data) == {}
