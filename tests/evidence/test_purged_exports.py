"""Exports from what a purge left: whole where it may be, and with the note where that explains a gap."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.evidence.clip import ExportOptions
from agent.evidence.export import ExportResult, export
from agent.evidence.findings import What
from agent.evidence.sources import collect
from tests.builders import agency, simple_camera
from tests.evidence.range_kit import members, written
from tests.evidence.test_purged import fails, noted, of, stored, told
from tests.evidence.test_spools import lived
from tests.independent.kit import verdicts


def exported(place: Path, out: Path, recording: str) -> ExportResult:
    options = ExportOptions(out, recording)
    return export(collect([place]), agency().root, [agency().identity], options)


def test_beside_a_purged_recording_another_is_exported_whole(tmp_path: Path) -> None:
    camera = lived()
    place = noted(stored(camera, tmp_path / "station", "1"), of(camera, 1))
    result = exported(place, tmp_path / "out", camera.segments[3].name[:20])
    (one,) = result.exports
    assert result.whole and fails(Path(one.proof)) == []
    assert not [name for name in members(Path(one.proof)) if name.startswith("purges/")]


def test_a_recording_that_was_purged_is_said_to_be(tmp_path: Path) -> None:
    camera = lived()
    place = noted(stored(camera, tmp_path / "station", "1"), of(camera, 1))
    with pytest.raises(UsageError) as said:
        exported(place, tmp_path / "out", camera.segments[1].name[:20])
    assert "was purged: 1 segment deleted by station station.test at 2026-05-31" in said.value.message


def test_the_export_of_what_a_cut_purge_left_has_the_note_and_verifies_by_it(tmp_path: Path) -> None:
    camera = simple_camera()
    # Of parts behind the last segment that is left nothing tells how many there were.
    for number, gap in ((1, [0, 1, 2]), (2, [])):
        place = stored(camera, tmp_path / f"{number}", str(number))
        noted(place, camera.purge(camera.segments[1:3]))
        result = exported(place, tmp_path / f"out{number}", camera.segments[1].name[:20])
        (one,) = result.exports
        assert not result.whole and "2 segments deleted by station" in one.problems[0]
        assert one.gaps == gap
        proof = Path(one.proof)
        assert fails(proof) == [] and len(told(proof)) == 1
        unpacked = tmp_path / f"unpacked{number}"
        unpacked.mkdir()
        subprocess.run(["tar", "-xf", proof, "-C", unpacked], check=True)
        assert fails(unpacked) == [] and len(told(unpacked)) == 1
        held = {name: data for name, data in members(proof).items() if not name.startswith("purges/")}
        (tmp_path / f"bare{number}").mkdir()
        bare = written(tmp_path / f"bare{number}" / proof.name, held)
        assert [f.what for f in fails(bare)] == [What.MISSING_SEGMENT]
        if shutil.which("node"):
            said = verdicts(agency().write_trust(tmp_path)[0], proof, bare)
            assert [said[path].startswith("FAIL missing-segment") for path in (proof, bare)] == [False, True]
