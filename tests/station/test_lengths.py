"""How long a recording is, as `find` tells it: what `verify` says, also where parts overlap."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import events
from agent.formats import leaf as leaves
from agent.model import NS, MediaPart
from agent.station.index import Index
from agent.station.summary import Summary
from tests.camera_kit import CAMERA, Desk, all_leaves, report
from tests.station.kit import Bench
from tests.station.test_knowledge import Held, keep, later, without_index

PARTS, EACH_NS, LONG_NS, START_NS = 24, NS // 2, NS * 2 // 3, NS // 10
"""Half-second parts whose last picture, of six in a second, lasts into the next."""
LENGTH_S = ((PARTS - 1) * EACH_NS + LONG_NS) / NS


class Slow(Held):
    """A camera that gives few pictures, so that parts overlap; one recording in several segments."""

    def _record(self, mark: str | None = None) -> str:
        desk = self.desk
        name = desk.sealer.start_recording(events.RecordStart("test", 0, 0).body())
        desk.begin_media(name)
        for number in range(PARTS):
            desk.clock.now_ns += EACH_NS
            start_ns = START_NS + number * EACH_NS
            desk.sealer.media(name, MediaPart(number, os.urandom(64), start_ns, LONG_NS, not number % 2, 3, 0))
            desk.sealer.settle()
        desk.sealer.stop_recording(name, events.RecordStop("test").body())
        return name


@pytest.fixture
def slow(station: Bench, desk: Desk) -> Slow:
    desk.segment_ns = 4 * NS
    held = Slow(station, desk.open())
    keep(held, "days = 1\n")
    held.send()
    return held


def lengths(held: Held) -> list[float]:
    return [one.media_s for one in held.knows().recordings()]


def verified(desk: Desk) -> list[float]:
    """By the verifier."""
    (log,) = report(desk).logs
    return [one.duration_s for one in log.watch.recordings.values()]


def test_a_recording_is_as_long_as_verify_says_where_parts_overlap(slow: Slow) -> None:
    assert slow.recording(slow.first).segments > 2
    assert lengths(slow) == verified(slow.desk) == [LENGTH_S] * 2


def test_what_a_camera_signs_beyond_any_number_is_indexed(slow: Slow, tmp_path: Path) -> None:
    media = next(leaf for leaf in all_leaves(slow.desk) if isinstance(leaf, leaves.MediaLeaf))
    told = Summary(media.recording)
    for _ in range(2):
        told.add(replace(media, start_ns=(1 << 63) - 1, duration_ns=(1 << 63) - 1))
    with closing(Index(tmp_path / "index")) as index:
        index.add(CAMERA, f"{media.recording}-0000", 1, "ab" * 32, 512, told, "", 5, 6)
        (segment,) = index.segments()
    assert (segment.parts, segment.start_ns, segment.end_ns) == (2, (1 << 63) - 1, (1 << 63) - 1)


def test_it_is_as_long_in_an_index_that_is_made_anew(
    slow: Slow, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    without_index(slow)
    slow.told(capsys, "index")
    assert [one["media_s"] for one in slow.told(capsys, "find")["recordings"]] == [LENGTH_S] * 2
    later(monkeypatch, 2)
    assert len(slow.told(capsys, "purge", "--yes")["purged"]) == 2
    # Now the access log alone knows.
    without_index(slow)
    slow.told(capsys, "index")
    found = slow.told(capsys, "find")["recordings"]
    assert [(one["media_s"], one["purged_s"] is not None) for one in found] == [(LENGTH_S, True)] * 2


def test_an_index_of_an_earlier_version_says_the_sum(slow: Slow) -> None:
    """It may be too much, and is not made less by what came later."""
    with closing(sqlite3.connect(slow.station.paths.index)) as db:
        db.execute("DELETE FROM timeline WHERE name LIKE '%-0001'")
        db.commit()
    assert lengths(slow) == [pytest.approx(PARTS * LONG_NS / NS)] * 2
