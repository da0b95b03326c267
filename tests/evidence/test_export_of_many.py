"""An export of several recordings: what is wrong with one keeps no other from being handed out."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.sources import collect
from agent.evidence.times import parse_time
from agent.evidence.verify import verify
from tests.builders import Camera, agency


@pytest.mark.parametrize(("lost", "said"), [(0, "the start of"), (1, "the parts cannot be proven")])
def test_a_recording_that_cannot_be_proven_keeps_no_other_from_being_handed_out(
    tmp_path: Path, lost: int, said: str
) -> None:
    """Of one camera everything, of another one its first segment or one in the middle is missing."""
    whole, holed = (Camera(agency(), name, seed).new_session() for seed, name in enumerate(("cam-0001", "cam-0002")))
    for camera in (whole, holed):
        camera.start()
        camera.part()
        camera.rotate()
        camera.part()
        camera.stop()
        camera.close_segment()
    whole.write(tmp_path / "seg")
    holed.write(tmp_path / "seg")[lost].unlink()
    times = {"begin": parse_time("2026-01-01T00:00:00Z", "--from"), "end": parse_time("2027-01-01T00:00:00Z", "--to")}
    options = ExportOptions(tmp_path / "out", even_if_damaged=True, **times)
    result = export(collect([tmp_path / "seg"]), agency().root, [agency().identity], options)
    proven, other = result.exports
    assert verify(collect([Path(proven.proof)]), agency().root).verified and not proven.problems
    assert (other.proof, other.mp4, other.parts) == ("", "", 0)
    assert said in other.problems[0] and not result.whole


@pytest.mark.parametrize("stopped", [False, True])
def test_what_is_exported_from_a_card_that_is_being_written_to_verifies(tmp_path: Path, stopped: bool) -> None:
    """In the midst of a recording, and after it, where the segment of events with its stop is open."""
    camera = Camera(agency()).new_session()
    recording = camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    if stopped:
        camera.stop()
        camera.event()
    *sealed, last = camera.segments
    last.sealed = False
    for segment in sealed:
        segment.write(tmp_path / "spool" / "sealed")
    last.write(tmp_path / "spool" / "open")
    sources = collect([tmp_path / "spool"])
    assert verify(sources, agency().root).verified
    (exported,) = export(sources, agency().root, [agency().identity], ExportOptions(tmp_path / "out")).exports
    report = verify(collect([Path(exported.proof)]), agency().root)
    assert report.verified and len(report.ranges) == 1
    assert Path(exported.proof).name.startswith(f"{recording}.parts-0-")
