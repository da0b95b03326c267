"""The waits that `python -m tests.waits` tells are those that the parts had, and the parts are where it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import Exit
from agent.model import NS, MediaPart, SegmentState
from agent.station.layout import AgencyPaths
from tests import waits
from tests.camera_kit import Desk, begin
from tests.waits import Phase

PART_NS = NS // 2
LATE_NS = NS // 4


def recorded(desk: Desk, parts: int, ring: int, late: dict[int, int]) -> str:
    """`ring` parts from before the press; each is durable a quarter of a second after its end, or this much later."""
    pressed = desk.clock.now_ns
    name = desk.sealer.start_recording({"type": "record.start"})
    zero = pressed - ring * PART_NS
    desk.sealer.begin_media(name, b"ftyp-and-moov", zero)
    for number in range(parts):
        end = zero + (number + 1) * PART_NS
        desk.clock.now_ns = max(pressed, end) + LATE_NS + late.get(number, 0)
        part = MediaPart(number, os.urandom(400), number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000)
        desk.sealer.media(name, part)
        desk.sealer.settle()
    return name


def test_each_part_by_where_it_stands_and_how_long_it_waited(agency: AgencyPaths, tmp_path: Path) -> None:
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=12 * NS).open())
    late = {5: NS // 10, 20: NS // 5, 30: NS // 20}
    name = recorded(desk, 34, 4, late)
    found = waits.waits(waits.stored_in([desk.spool.root]))
    assert [w.part for w in found] == list(range(34))
    phases = [w.phase for w in found]
    # The second segment begins at the IDR ten seconds on.
    assert phases[:10] == [Phase.RING] * 4 + [Phase.START] * 6
    assert phases[10:] == [Phase.ELSE] * 10 + [Phase.ROTATION] * 6 + [Phase.ELSE] * 8
    for wait in found[4:]:
        # Its leaf is stamped by the same clock, which goes on a little at each look.
        assert wait.wait_ns == pytest.approx(LATE_NS + late.get(wait.part, 0), abs=NS // 1_000)
        assert wait.oldest_ns == wait.wait_ns + PART_NS
        assert wait.hole_ns == 0
    assert found[20].gap_ns == pytest.approx(PART_NS + NS // 5, abs=NS // 1_000)
    told = {line[23:40].strip(): line.split() for line in waits.lines(found) if line.startswith(name)}
    assert [told[p.value][-3] for p in (Phase.START, Phase.ROTATION, Phase.ELSE)] == ["5", "20", "30"]


def test_of_what_a_cut_left(agency: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = begin(Desk(agency, tmp_path / "spool").open())
    name = recorded(desk, 6, 0, {})
    path = desk.spool.segment(SegmentState.OPEN, f"{name}-0000")
    os.truncate(path, path.read_bytes().rindex(b"0000000008.json") + 700)
    assert waits.main([str(desk.spool.root), "--each"]) == Exit.OK
    told = capsys.readouterr().out
    assert f"{name} part 4: after the start, waited 250 ms, 500 ms after the leaf before" in told
    assert "part 5" not in told
