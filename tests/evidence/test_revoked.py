"""What a revoked camera signed beyond where its logs count is named, and no revocation but the agency's is believed."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import pytest

from agent.errors import AgentError, EvidenceError, Exit
from agent.evidence.commands import main
from agent.evidence.findings import Finding, What
from agent.evidence.revoked import check_revocation
from agent.evidence.trust import Trust
from agent.formats import note, revocation
from tests.builders import Camera, agency, make_agency, simple_camera
from tests.evidence.kit import only, report_of
from tests.evidence.range_kit import indexes, members, range_of
from tests.film import film_camera
from tests.independent.kit import verdicts

LEAVES = 13


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    camera = simple_camera()
    camera.write(tmp_path / "seg")
    return camera


def failing(tmp_path: Path, data: bytes) -> list[Finding]:
    """With the revocation beside the segments; both verifiers say whether it verifies."""
    file = tmp_path / "cam-0001.revocation"
    file.write_bytes(data)
    found = [f for f in report_of(tmp_path / "seg", file).findings if f.fails]
    if shutil.which("node"):
        said = verdicts(agency().write_trust(tmp_path)[0], tmp_path / "seg", revoked=file)
        assert said[tmp_path / "seg"].startswith("FAIL" if found else "verified"), said
    return found


@pytest.mark.parametrize("size", [0, 1, 5, LEAVES - 1])
def test_what_lies_beyond_is_named(camera: Camera, tmp_path: Path, size: int) -> None:
    found = only(failing(tmp_path, camera.revocation(size)))
    assert (found.what, found.first, found.last) == (What.REVOKED, size, LEAVES - 1)
    assert "lost on 3 May" in found.text


def test_a_copy_of_it_says_nothing_more(camera: Camera, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.revocation").write_bytes(camera.revocation(3))
    report = report_of(tmp_path / "seg", tmp_path / "one.revocation", tmp_path / "two.revocation")
    assert only([f for f in report.findings if f.fails]).what is What.REVOKED


def test_what_lies_before_stays_good(camera: Camera, tmp_path: Path) -> None:
    assert failing(tmp_path, camera.revocation(LEAVES)) == []


def test_a_log_that_is_not_named_counts_for_nothing(camera: Camera, tmp_path: Path) -> None:
    """Like an epoch that begins after the camera was lost."""
    assert only(failing(tmp_path, camera.revocation(None))).first == 0


def test_another_camera_is_not_touched(camera: Camera, tmp_path: Path) -> None:
    assert failing(tmp_path, camera.revocation(None, camera="cam-0002")) == []


def test_another_history_up_to_there_is_a_fork(camera: Camera, tmp_path: Path) -> None:
    """The holder of the key wrote the log anew below the head that the station saw."""
    other = simple_camera(seed=9)
    other.write(tmp_path / "other")
    file = tmp_path / "cam-0001.revocation"
    file.write_bytes(camera.revocation(LEAVES))
    found = [f.what for f in report_of(tmp_path / "other", file).findings if f.fails]
    assert found == [What.FORK, What.REVOKED]


def test_what_is_missing_below_it_is_missing(camera: Camera, tmp_path: Path) -> None:
    last = camera.segments[-1]
    (tmp_path / "seg" / f"{last.name}.tar").unlink()
    found, end = failing(tmp_path, camera.revocation(LEAVES)), last.header.first
    assert [(f.what, f.first, f.last) for f in found] == [
        (What.MISSING_SEGMENT, end, LEAVES - 1),
        (What.REVOKED, 0, end - 1),
    ]


def test_it_is_found_beside_the_segments(camera: Camera, tmp_path: Path) -> None:
    (tmp_path / "seg" / "cam-0001.revocation").write_bytes(camera.revocation(5))
    assert [f.what for f in report_of(tmp_path / "seg").findings if f.fails] == [What.REVOKED]


def test_a_released_piece_is_held_against_it_too(tmp_path: Path) -> None:
    camera, file = film_camera(), tmp_path / "cam-0001.revocation"
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt([]))
    proof = range_of(tmp_path / "seg", tmp_path / "out")
    last = indexes(members(proof))[-1]
    for size in (last, last + 1):
        file.write_bytes(camera.revocation(size))
        found = [f for f in report_of(proof, file).findings if f.fails]
        assert [(f.what, f.first, f.last) for f in found] == ([(What.REVOKED, last, last)] if size == last else [])
        if shutil.which("node"):
            said = verdicts(agency().write_trust(tmp_path)[0], proof, revoked=file)
            assert said[proof].startswith("FAIL" if found else "verified"), said


def test_a_piece_of_a_log_that_whoever_has_the_camera_wrote_anew(tmp_path: Path) -> None:
    """Its leaves lie below what counts, its signatures are right, and no station has seen it."""
    camera, thief, file = film_camera(), film_camera(seed=7), tmp_path / "cam-0001.revocation"
    file.write_bytes(camera.revocation(camera.frontier.size))
    thief.write(tmp_path / "seg")
    proof = range_of(tmp_path / "seg", tmp_path / "out")
    assert report_of(proof).verified
    found = [f for f in report_of(proof, file).findings if f.fails]
    assert [(f.what, f.first) for f in found] == [(What.REVOKED, 0)]
    assert "no station has cosigned" in found[0].text
    if shutil.which("node"):
        assert verdicts(agency().write_trust(tmp_path)[0], proof, revoked=file)[proof].startswith("FAIL")


@pytest.mark.parametrize(("cosigned", "good"), [(None, 15), (8, 8), (15, 15)])
def test_of_a_piece_counts_what_a_station_has_seen(cosigned: int | None, good: int, tmp_path: Path) -> None:
    """Up to a cosigned head, or all of it where it stands on the very head that the revocation names."""
    camera, file = film_camera(), tmp_path / "cam-0001.revocation"
    assert camera.frontier.size == 15
    file.write_bytes(camera.revocation(15))
    camera.write(tmp_path / "seg")
    if cosigned:
        (tmp_path / "seg" / "a.receipt").write_bytes(camera.receipt([], cosigned))
    proof = range_of(tmp_path / "seg", tmp_path / "out", "07.1", "59")
    last = indexes(members(proof))[-1]
    if cosigned == 8:
        # The thief's own end behind it: a head that no revocation names.
        file.write_bytes(camera.revocation(14))
    found = [f for f in report_of(proof, file).findings if f.fails]
    assert [(f.what, f.first, f.last) for f in found] == ([(What.REVOKED, good, last)] if good <= last else [])
    if shutil.which("node"):
        said = verdicts(agency().write_trust(tmp_path)[0], proof, revoked=file)
        assert said[proof].startswith("FAIL" if found else "verified"), said


def test_what_lies_beyond_is_not_exported_as_sound(
    camera: Camera, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, key = agency().write_trust(tmp_path)
    file = tmp_path / "cam-0001.revocation"
    for size, status in ((5, Exit.EVIDENCE), (LEAVES, Exit.OK)):
        file.write_bytes(camera.revocation(size))
        words = [tmp_path / "seg", file, "--trust", root]
        assert main(["verify", *map(str, words)]) == status
        assert ("FAIL revoked" in capsys.readouterr().out) is (status is Exit.EVIDENCE)
    file.write_bytes(camera.revocation(5))
    assert main(["export", *map(str, words), "-i", str(key), "-o", str(tmp_path / "out")]) == Exit.EVIDENCE
    assert "nothing was exported" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*.mp4"))


# -- the note ------------------------------------------------------------------------------------------------------


def test_a_revocation_of_another_agency_is_a_finding_and_revokes_nothing(camera: Camera, tmp_path: Path) -> None:
    other = Camera(make_agency("another"))
    data = other.revocation(None, camera="cam-0001")
    file = tmp_path / "x.revocation"
    file.write_bytes(data)
    assert [f.what for f in report_of(tmp_path / "seg", file).findings if f.fails] == [What.BAD_REVOCATION]


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_flipped_bit_anywhere_is_refused() -> None:
    chosen, trust, data = random.Random(4), Trust(agency().root), simple_camera().revocation(5)
    assert check_revocation(data, trust).counts("bodycam.local/cam-0001/1") == 5
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1 << chosen.randrange(8)
        with pytest.raises(AgentError):
            check_revocation(bytes(changed), trust)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("station ", "station  "),
        ("issued ", "issued 0"),
        ("bodycam-revocation/v1", "bodycam-revocation/v2"),
        ("reason lost", "reason  lost"),
        ("reason lost on 3 May", "reason "),
        ("reason lost", "reason \x1b[31mlost"),
        ("reason lost", "reason " + "x" * 200),
        ("\nlog ", "\nLog "),
        (" 5 ", " 05 "),
        (" 5 ", " five "),
        ("\ncamera cam-0001", "\ncamera Cam-0001"),
        ("\ncamera cam-0001", ""),
        ("certificate ", "certificate A"),
    ],
)
def test_another_spelling_is_refused(old: str, new: str) -> None:
    text = note.parse(simple_camera().revocation(5)).text
    assert old in text
    with pytest.raises(EvidenceError):
        revocation.parse(text.replace(old, new, 1))


def test_no_more_logs_than_the_page_allows() -> None:
    told = revocation.parse(note.parse(simple_camera().revocation(5)).text)
    many = dataclasses.replace(told, logs=told.logs * (revocation.MAX_LOGS + 1))
    with pytest.raises(EvidenceError):
        revocation.parse(many.text())


@pytest.mark.parametrize("text", ["", "\n" * 10, f"{revocation.MAGIC}\n", "x" * 70_000, f"{revocation.MAGIC}\n" * 9])
def test_what_is_no_revocation_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        revocation.parse(text)
