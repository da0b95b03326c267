"""Whoever has a camera can write its log anew, with fewer leaves than a station saw. So of a revoked camera nothing
counts that leads to no head which a station saw, however it is handed out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.evidence.clip import ExportOptions
from agent.evidence.export import export
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.sources import collect
from tests.builders import Camera, agency
from tests.evidence.disk_kit import Disk
from tests.evidence.kit import report_of
from tests.evidence.range_kit import members, written
from tests.evidence.test_cosigned import exported
from tests.evidence.test_silence import forged_before_a_gap
from tests.film import film_camera
from tests.independent.kit import names_in, verdicts

REVOKED = {(What.REVOKED.value, None)}


def lost(camera: Camera, place: Path) -> Path:
    """The revocation, up to where the camera stands."""
    file = place / "cam-0001.revocation"
    file.write_bytes(camera.revocation(camera.frontier.size))
    return file


def seen(leaves: int, place: Path) -> Path:
    """The revocation of the true camera, of which a station saw so many leaves."""
    camera = Camera(agency(), seed=5).new_session()
    while camera.frontier.size < leaves:
        camera.event()
    return lost(camera, place)


def failing(file: Path, *given: Path) -> list[Finding]:
    return [f for f in report_of(*given, file).findings if f.fails]


def by_the_other(file: Path, given: Path) -> set[tuple[str, str | None]]:
    return names_in(verdicts(agency().write_trust(file.parent)[0], given, revoked=file)[given])


def whole(camera: Camera, place: Path, *receipts: bytes) -> Path:
    """The proof of its recording."""
    camera.write(place / "seg")
    for number, data in enumerate(receipts):
        (place / "seg" / f"{number}.receipt").write_bytes(data)
    options = ExportOptions(place / "out")
    (one,) = export(collect([place / "seg"]), agency().root, [agency().identity], options).exports
    return Path(one.proof)


def test_of_an_export_of_a_log_that_was_written_anew(tmp_path: Path) -> None:
    proof, file = whole(film_camera(seed=7), tmp_path), seen(60, tmp_path)
    assert report_of(proof).verified
    (found,) = failing(file, proof)
    assert (found.what, found.first, found.last) == (What.REVOKED, 0, 14)
    assert "no station has cosigned" in found.text
    assert by_the_other(file, proof) == REVOKED


@pytest.mark.parametrize(("many", "first", "last"), [(True, 0, 14), (False, 2, 6)])
def test_of_its_segments_picked_and_alone(many: bool, first: int, last: int, tmp_path: Path) -> None:
    camera, file = film_camera(seed=7), seen(60, tmp_path)
    files = camera.write(tmp_path / "seg")
    given = files if many else files[1:2]
    assert report_of(*given).verified
    assert [(f.what, f.first, f.last) for f in failing(file, *given)] == [(What.REVOKED, first, last)]
    for other in {*files} - {*given}:
        other.unlink()
    # It takes them for a directory's, of which more is missing.
    assert by_the_other(file, tmp_path / "seg") >= REVOKED


def test_what_stands_before_a_gap_leads_to_nothing_behind_it(tmp_path: Path) -> None:
    true, false = forged_before_a_gap(by_identity=True)
    file = lost(true, tmp_path)
    held = members(exported(true, tmp_path / "true", true.frontier.size))
    forged = {f"segments/{segment.name}.tar": segment.to_bytes() for segment in false.segments[1:3]}
    proof = written(tmp_path / "both.proof.tar", forged | held)
    first = false.segments[1].header.first
    found = failing(file, proof)
    assert [(f.what, f.first) for f in found] == [(What.REVOKED, first)]
    # It asks for what stands between exports, too.
    assert by_the_other(file, proof) >= REVOKED


@pytest.mark.parametrize("by", ["cosigned head", "head of a receipt", "named bytes", "revocation"])
def test_what_a_station_saw_counts(by: str, tmp_path: Path) -> None:
    """All of an export, whichever of these leads to it; and of what leads there a leaf less, once it is taken away."""
    camera = film_camera()
    end = camera.frontier.size
    saw = {"cosigned head": end, "head of a receipt": end, "named bytes": 1, "revocation": None}[by]
    stored = camera.segments if by == "named bytes" else []
    proof = whole(camera, tmp_path, *([] if saw is None else [camera.receipt(stored, saw)]))
    assert camera.frontier.size == end
    if by != "revocation":
        for _ in range(3):
            camera.event()
    file, held = lost(camera, tmp_path), members(proof)
    kept = "cosigned/" if by == "cosigned head" else "receipts/"
    without = {name: data for name, data in held.items() if not name.startswith(("cosigned/", "receipts/"))}
    for content in (without | {n: d for n, d in held.items() if n.startswith(kept)}, without):
        given = written(proof, content)
        good = by == "revocation" or content is not without
        found = [(f.what, f.first, f.last) for f in failing(file, given)]
        assert found == ([] if good else [(What.REVOKED, 0, end - 1)])
        assert by_the_other(file, given) == (set() if good else REVOKED)


def test_of_a_segment_beyond_what_was_seen_the_rest_counts_for_nothing(tmp_path: Path) -> None:
    camera = film_camera()
    proof, file = whole(camera, tmp_path, camera.receipt([], 8)), lost(camera.new_session(), tmp_path)
    assert [(f.what, f.first, f.last) for f in failing(file, proof)] == [(What.REVOKED, 8, 14)]
    assert by_the_other(file, proof) == REVOKED


def test_a_receipt_that_cannot_be_read_may_have_shown_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of leaves up to where the log counts; what lies beyond counts for nothing, whatever it says."""
    camera = film_camera()
    camera.write(tmp_path / "seg")
    end, receipt = camera.frontier.size, tmp_path / "seg" / "a.receipt"
    receipt.write_bytes(camera.receipt(camera.segments))
    file = lost(camera.new_session(), tmp_path)
    assert What.REVOKED not in {f.what for f in failing(file, tmp_path / "seg")}
    Disk(monkeypatch).lock(receipt)
    (found,) = (f for f in failing(file, tmp_path / "seg") if f.what is What.REVOKED)
    assert (found.first, found.last, found.sure) == (0, end - 1, Sure.OPEN) and "a.receipt cannot be read" in found.text
    file = seen(4, tmp_path)
    beyond = [f for f in failing(file, tmp_path / "seg") if f.what is What.REVOKED and f.sure is Sure.PROVEN]
    assert [(f.first, f.last) for f in beyond] == [(4, end - 1)]
