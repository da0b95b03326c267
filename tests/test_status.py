"""What the recorder shows: its own numbers, and of others' words only what is what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.model import SegmentState
from agent.station.layout import AgencyPaths
from agent.status import progress_of
from tests.recorder_desk import Camera


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


def test_what_was_sealed_since_a_visit_is_not_shown_as_delivered(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uploader may have died; its last word stays in inbox/."""
    camera = Camera(agency, tmp_path, monkeypatch).start()
    spool = camera.vault.spool
    (spool.inbox_dir / "progress.json").write_text('{"state": "delivered", "segments_done": 3}')
    for state, shown in ((SegmentState.DELIVERED, "delivered"), (SegmentState.SEALED, "waiting")):
        if state is SegmentState.SEALED:
            camera.vault.sealer.seal_open()
        assert bool(spool.segments(SegmentState.SEALED)) == (state is SegmentState.SEALED)
        assert camera.recorder.status()["upload"]["state"] == shown
    camera.recorder.close()
