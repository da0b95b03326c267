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
from agent.formats import certs, note, receipt
from tests.builders import Camera, agency, simple_camera
from tests.evidence.kit import report_of
from tests.evidence.range_kit import members, written
from tests.evidence.test_purged import fails, noted, of, stored, told
from tests.evidence.test_spools import lived
from tests.evidence.test_verify_sh import run as verify_sh
from tests.independent.kit import names_in, verdicts


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


# -- beside a cosigned head, and beside one another ----------------------------------------------------------------


def told_alike(root: Path, place: Path) -> set[tuple[str, str | None]]:
    """What both verifiers say is wrong with it."""
    found = {(f.what.value, f.segment) for f in fails(place)}
    assert names_in(verdicts(root, place)[place]) == found
    return found


def cosigned(camera: Camera, size: int) -> dict[str, bytes]:
    """What an export has of a head of this size, led to by all leaves below it."""
    a, told = agency(), receipt.parse(note.parse(camera.receipt([], size)).text)
    return {
        "cosigned/checkpoint": told.checkpoint,
        "cosigned/consistency": b"old %d\n" % size,
        "cosigned/station.pem": certs.pem([a.receipt_cert, a.issuing]),
        "cosigned/chain.pem": camera.chain,
    }


@pytest.mark.parametrize("back", [0, 1, 5])
def test_a_cosigned_head_asks_for_nothing_that_was_purged(back: int, tmp_path: Path) -> None:
    """Of a recording its second segment is gone: a head of its last leaf, of one within, and of the last one here."""
    camera, (root, _) = simple_camera(), agency().write_trust(tmp_path)
    gone = camera.segments[2]
    place = noted(stored(camera, tmp_path / "station", "2"), camera.purge([gone]))
    (one,) = exported(place, tmp_path / "out", camera.segments[1].name[:20]).exports
    content = members(Path(one.proof)) | cosigned(camera, gone.entries[-1].index + 1 - back)
    assert len(gone.entries) == 5
    proof = written(tmp_path / Path(one.proof).name, content)
    assert told_alike(root, proof) == set() and fails(place, proof) == []
    assert len(told(proof)) == 1
    compared = [f for f in report_of(proof).findings if f.what is What.UNCHECKED]
    assert ["gone with what was purged" in f.text for f in compared] == ([True] if back == 1 else [])
    done = verify_sh(proof, "--trust", root)
    assert done.returncode == 0, done.stdout

    bare = {name: data for name, data in content.items() if not name.startswith("purges/")}
    (tmp_path / "bare").mkdir()
    bare_proof = written(tmp_path / "bare" / proof.name, bare)
    assert What.MISSING_SEGMENT in {f.what for f in fails(bare_proof)}
    assert "missing-segment" in verdicts(root, bare_proof)[bare_proof]
    assert verify_sh(bare_proof, "--trust", root).returncode == 1


def test_between_exports_no_leaf_behind_a_purged_end_is_asked_for(tmp_path: Path) -> None:
    """The first of two recordings lost its end to a purge; events between them are in no export."""
    camera, (root, _) = Camera(agency(), seed=5).new_session(), agency().write_trust(tmp_path)
    camera.start()
    camera.part()
    camera.rotate()
    camera.part()
    camera.rotate()
    camera.part()
    camera.stop()
    for _ in range(3):
        camera.event()
        camera.close_segment()
    camera.start()
    camera.part()
    camera.stop()
    camera.shutdown()
    segments = camera.segments
    for gone in ("3", "23"):
        purged = camera.purge([segments[int(at)] for at in gone])
        place = noted(stored(camera, tmp_path / gone, gone), purged)
        proofs = exports(place, tmp_path / gone / "out")
        assert [proof.name[:20] for proof in proofs] == [segments[1].name[:20], segments[-2].name[:20]]
        between = [(f.first, f.last) for f in report_of(*proofs).findings if f.what is What.OUTSIDE and f.first]
        assert between == [(segments[5].entries[0].index, segments[6].entries[-1].index)]
        assert fails(*proofs) == [] and told_alike(root, unpacked(tmp_path / gone / "unpacked", proofs)) == set()
        assert verify_sh(*proofs, "--trust", root).returncode == 0
        # What is exported from exports has all that these have.
        again = exports(proofs, tmp_path / gone / "again")
        assert [held(proof) for proof in again] == [held(proof) for proof in proofs]
    # What no note names lacks, before and behind what one names.
    proofs = exports(tmp_path / "3", tmp_path / "3" / "out")
    for number, name in enumerate((segments[2].name, segments[3].name)):
        lost = {n: d for n, d in members(proofs[0]).items() if name not in n and (number == 0 or "purges/" not in n)}
        (tmp_path / f"{number}").mkdir()
        cut = written(tmp_path / f"{number}" / proofs[0].name, lost)
        place = unpacked(tmp_path / f"{number}" / "unpacked", [cut, proofs[1]])
        assert ("missing-segment", name) in told_alike(root, place)
        assert verify_sh(cut, proofs[1], "--trust", root).returncode == 1


def exports(given: Path | list[Path], out: Path) -> list[Path]:
    paths = given if isinstance(given, list) else [given]
    return [
        Path(one.proof)
        for one in export(collect(paths), agency().root, [agency().identity], ExportOptions(out)).exports
    ]


def held(proof: Path) -> list[str]:
    return [name for name in members(proof) if name.startswith(("segments/", "purges/"))]


def unpacked(place: Path, proofs: list[Path]) -> Path:
    for at, proof in enumerate(proofs):
        (place / f"{at}").mkdir(parents=True)
        subprocess.run(["tar", "-xf", proof, "-C", place / f"{at}"], check=True)
    return place
