"""A camera's whole spool before each of the three verifiers: segments sealed and open, a file made ahead for the next
one, and receipts that answer challenges.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.evidence.findings import Finding, What
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import note, possession, receipt
from agent.formats.possession import Answering
from agent.model import NS
from tests.builders import Camera, agency, simple_camera
from tests.camera_kit import Desk, begin
from tests.evidence.matrix.case import flipped
from tests.evidence.range_kit import members
from tests.evidence.test_export import run as export_whole
from tests.evidence.test_verify_sh import run
from tests.film import film_camera
from tests.independent.kit import names_in, verdicts

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


class Said(NamedTuple):
    """What each says: the names that ours fails it by, the same of the other verifier, whether the script refuses
    (None where it was not asked, for it takes a second).
    """

    ours: set[str]
    theirs: set[str]
    refused: bool | None = None


def found_in(place: Path, root: Path) -> list[Finding]:
    return verify(collect([place]), load_root(root)).findings


def judged(place: Path, root: Path, script: bool = True) -> Said:
    theirs = {what for what, _ in names_in(verdicts(root, place)[place])}
    ours = {f.what.value for f in found_in(place, root) if f.fails}
    return Said(ours, theirs, _refused(place, root) if script else None)


def _refused(place: Path, root: Path) -> bool:
    script = run(*sorted(place.rglob("*.tar")), "--trust", root)
    assert script.returncode in (0, 1) and not script.stderr, script.stdout + script.stderr
    return script.returncode == 1


SOUND, ACCEPTED = Said(set(), set(), False), Said(set(), set())

# -- open/ ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def spool(desk: Desk) -> Path:
    """Nine parts of a segment of eight seconds, so that the next one's file is there; the recorder is at work."""
    desk.segment_ns = 8 * NS
    begin(desk.open()).record(9)
    blank, growing = sorted(desk.spool.open_dir.glob("*.tar"), key=lambda path: any(path.read_bytes()))
    assert not any(blank.read_bytes()) and blank.stat().st_size and any(growing.read_bytes())
    assert growing.stem.endswith("-0000") and list(desk.spool.sealed_dir.glob("e*.tar"))
    return desk.root


def growing(spool: Path) -> Path:
    return next(spool.glob("open/*-0000.tar"))


def test_a_whole_spool_with_a_file_made_ahead_is_sound(spool: Path, desk: Desk) -> None:
    assert judged(spool, desk.agency.trust_root) == SOUND
    assert What.OPEN_SEGMENT in {f.what for f in found_in(spool, desk.agency.trust_root)}


def tail_at(path: Path) -> int:
    """Where the preallocated zeros begin."""
    return len(path.read_bytes().rstrip(b"\0"))


@pytest.mark.parametrize("tear", [1, 600, 1_200, 4_000])
def test_an_open_segment_may_end_anywhere(tear: int, spool: Path, desk: Desk) -> None:
    path = growing(spool)
    data = path.read_bytes()
    kept = data[: tail_at(path) - tear]
    for tail in (b"", bytes(8_192)):
        path.write_bytes(kept + tail)
        assert judged(spool, desk.agency.trust_root, script=False) == ACCEPTED


def test_what_the_blocks_of_a_file_made_ahead_held_before_is_no_evidence(spool: Path, desk: Desk) -> None:
    (blank,) = (path for path in spool.glob("open/*.tar") if not any(path.read_bytes()))
    for held in (growing(spool).read_bytes()[3_584:9_000] + bytes(512), b""):
        blank.write_bytes(held)
        assert judged(spool, desk.agency.trust_root, script=False) == ACCEPTED


def test_what_is_whole_in_an_open_segment_is_held_to_its_signatures_by_those_who_look(spool: Path, desk: Desk) -> None:
    """The script says that it passes open/ over; both others find it."""
    path = growing(spool)
    at = path.read_bytes().index(b'"class":"media"') - 5
    path.write_bytes(flipped(path.read_bytes(), at))
    said = judged(spool, desk.agency.trust_root)
    assert (said.ours, said.theirs, said.refused) == ({"altered-bytes"}, {"altered-bytes"}, False)


def test_what_is_sealed_beside_it_is_still_held_to_all(spool: Path, desk: Desk) -> None:
    (path,) = spool.glob("sealed/e*.tar")
    path.write_bytes(flipped(path.read_bytes(), 5_000))
    said = judged(spool, desk.agency.trust_root)
    assert said.ours and said.theirs == said.ours and said.refused


def test_a_blank_file_is_no_segment_elsewhere(spool: Path, desk: Desk) -> None:
    (blank,) = (path for path in spool.glob("open/*.tar") if not any(path.read_bytes()))
    blank.rename(spool / "sealed" / blank.name)
    said = judged(spool, desk.agency.trust_root)
    assert said.ours and said.theirs and said.refused


def test_the_script_does_not_call_verified_what_it_passed_over(spool: Path, desk: Desk) -> None:
    done = run(*spool.glob("open/*.tar"), "--trust", desk.agency.trust_root)
    assert done.returncode == 1 and "FAIL  nothing else was given" in done.stdout
    assert done.stdout.count("not looked at") == 2


# -- receipts that answer ------------------------------------------------------------------------------------------


def answered(camera: Camera, change: Callable[[str], str] = str, edit: Callable[[str], str] = str) -> bytes:
    """The station's receipt for all segments with the answers to fresh challenges; `change` alters each answer,
    `edit` the whole text, before the station signs it.
    """
    plain = receipt.parse(note.parse(camera.receipt(camera.segments)).text)
    lines = []
    for stored, segment in zip(plain.stored, camera.segments, strict=True):
        answering = Answering(possession.challenge())
        lines.append(replace(stored, answer=change(answering.with_end(segment.to_bytes()))))
    text = edit(replace(plain, stored=tuple(lines)).text())
    a = camera.agency
    return note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()


@pytest.fixture
def answering(tmp_path: Path) -> tuple[Camera, Path, Path]:
    """A camera, its directory, and the root."""
    camera = simple_camera()
    camera.write(tmp_path / "spool")
    return camera, tmp_path / "spool", agency().write_trust(tmp_path)[0]


def test_receipts_that_answer_are_taken_and_vouch_for_the_end(answering: tuple[Camera, Path, Path]) -> None:
    camera, place, root = answering
    (place / "a.receipt").write_bytes(answered(camera))
    assert judged(place, root) == SOUND
    assert What.TAIL_UNPROVEN not in {f.what for f in found_in(place, root)}
    (place / f"{camera.segments[-1].name}.tar").unlink()
    assert judged(place, root, script=False) == Said({"missing-segment"}, {"missing-segment"})


def test_no_verifier_judges_an_answer(answering: tuple[Camera, Path, Path]) -> None:
    """The challenge is in no leaf: an answer to another is as good."""
    camera, place, root = answering
    (place / "a.receipt").write_bytes(answered(camera, lambda _: "0" * 32))
    assert judged(place, root, script=False) == ACCEPTED


def edited(old: str, new: str, count: int = -1) -> Callable[[Camera], bytes]:
    return lambda camera: answered(camera, edit=lambda text: text.replace(old, new, count))


REFUSED: dict[str, Callable[[Camera], bytes]] = {
    "upper case": lambda camera: answered(camera, str.upper),
    "a digit less": lambda camera: answered(camera, lambda answer: answer[:-1]),
    "a digit more": lambda camera: answered(camera, lambda answer: answer + "0"),
    "all of the digest": lambda camera: answered(camera, lambda answer: answer * 2),
    "two answers": lambda camera: answered(camera, lambda answer: f"{answer} {answer}"),
    "no hex": lambda camera: answered(camera, lambda answer: "x" * 32),
    "a space and none": lambda camera: answered(camera, lambda _: "", lambda text: text.replace(" 0\n", " 0 \n")),
    "beside the line": edited("\ncheckpoint", "\nanswer x\ncheckpoint"),
    "a kept line before a segment's": edited("\nsegment ", "\nkept ", 1),
    "changed when signed": lambda camera: answered(camera).replace(b" disk:e0000000000", b" disk:e0000000001", 1),
}  # fmt: skip


@pytest.mark.wide
@pytest.mark.parametrize("spelling", REFUSED)
def test_an_answer_in_another_form_makes_no_receipt(spelling: str, answering: tuple[Camera, Path, Path]) -> None:
    """Signed by the station as it stands, but for the last. The script reads no receipts, as its head says."""
    camera, place, root = answering
    (place / "a.receipt").write_bytes(REFUSED[spelling](camera))
    assert judged(place, root, script=False) == Said({"bad-receipt"}, {"bad-receipt"})
    assert What.TAIL_UNPROVEN in {f.what for f in found_in(place, root)}


def test_an_export_with_such_a_receipt_verifies_by_each(tmp_path: Path) -> None:
    camera, root = film_camera(), agency().write_trust(tmp_path)[0]
    camera.write(tmp_path / "seg")
    (tmp_path / "seg" / "a.receipt").write_bytes(answered(camera))
    proof = Path(export_whole(tmp_path / "seg", tmp_path / "out").exports[0].proof)
    (held,) = (data for name, data in members(proof).items() if name.startswith("receipts/"))
    assert [line.count(b" ") for line in held.splitlines() if line.startswith(b"segment ")] == [6] * len(
        camera.segments
    )
    assert verdicts(root, proof) == {proof: "verified"} and not any(f.fails for f in found_in(proof, root))
    assert run(proof, "--trust", root).returncode == 0
