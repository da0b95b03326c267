"""Who has a session's key alone begins and ends no recording, in the form of a range either: a station's cosignature is
no word on it. What the identity key did sign is in the range, so that an honest one has nothing said of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.evidence.findings import Sure, What
from agent.evidence.rewrap import RewrapResult, rewrap
from agent.evidence.sources import collect
from agent.formats import certs, note, receipt
from tests.builders import Camera, agency
from tests.evidence.kit import report_of
from tests.evidence.range_kit import members, range_of, written
from tests.evidence.test_export import run as run_export
from tests.evidence.test_silence import Moody, begun
from tests.evidence.test_verify_sh import run
from tests.film import add, film
from tests.independent.kit import as_range, names_in, verdicts

SILENT, MISSING = What.IDENTITY_SILENT, What.MISSING_SIGNATURE
Said = list[tuple[What, int | None, int | None, Sure]]


def filmed(camera: Moody) -> Moody:
    """It begins to record: leaf 1, and parts 3 to 6 behind a seal."""
    init, parts = film()
    camera.start(init)
    for part in parts[:4]:
        add(camera, part)
    return camera


def said_of(proof: Path) -> Said:
    """By ours of the identity's word; the other two say whether it fails, and of what a note is."""
    found = [f for f in report_of(proof).findings if f.what in (SILENT, MISSING)]
    fails = {(f.what.value, f.segment) for f in report_of(proof).findings if f.fails}
    root, _ = agency().write_trust(proof.parent)
    assert names_in(verdicts(root, proof)[proof]) == fails
    done = run(proof, "--trust", root)
    assert done.returncode == bool(fails), done.stdout
    lines = done.stdout.splitlines()
    for f in found:
        many, one = f"note  leaves {f.first} to {f.last} are in no tree", f"note  leaf {f.first}: the identity"
        line = "FAIL  the identity vouches" if f.fails else many if f.last is not None else one
        assert [told for told in lines if told.startswith(line)], (line, done.stdout)
    return [(f.what, f.first, f.last, f.sure) for f in found]


def given(camera: Camera, place: Path, cosigned: int | None = None, running: bool = False) -> Path:
    """All parts of its recording, exported from its segments."""
    for segment in camera.segments:
        segment.write(place / "sealed")
    if running:
        assert camera.open is not None
        camera.open.sealed = False
        camera.open.write(place / "open")
    if cosigned is not None:
        (place / "sealed" / "a.receipt").write_bytes(camera.receipt([], cosigned))
    return range_of(place, place / "out", begin="00", end="59")


@pytest.mark.parametrize("cosigned", [False, True])
def test_what_takes_the_sessions_key_alone_does_not_verify(cosigned: bool, tmp_path: Path) -> None:
    camera = begun()
    camera.awake = False
    filmed(camera).stop()
    camera.shutdown()
    proof = as_range(camera, tmp_path / "r0000000001-00000000.proof.tar")
    if cosigned:
        proof = _cosigned(camera, proof)
    assert said_of(proof) == [(MISSING, index, None, Sure.OPEN) for index in (0, 1, 7, 9)]


def _cosigned(camera: Moody, proof: Path) -> Path:
    """Its head as in a receipt."""
    told = receipt.parse(note.parse(camera.receipt([])).text)
    content, old = members(proof), camera.docked(camera.frontier.size)
    content = {name: data.replace(old, told.checkpoint) for name, data in content.items()}
    content["station.pem"] = certs.pem([certs.parse_der(c) for c in told.certificates])
    return written(proof, content)


def test_where_the_station_saw_a_head_by_the_session_alone_the_identitys_own_is_there(tmp_path: Path) -> None:
    camera = filmed(begun())
    camera.stop()
    camera.shutdown()
    proof = given(camera, tmp_path, camera.frontier.size)
    assert said_of(proof) == []
    held = members(proof)
    bare = {name: data for name, data in held.items() if not name.startswith("identity/")}
    assert len(held) - len(bare) == 2 and "station.pem" in bare
    assert {what for what, *_ in said_of(written(proof, bare))} == {MISSING}


def test_where_another_session_vouches_that_is_said(tmp_path: Path) -> None:
    """As of its segments: its hardware may have hung, and a thief of the session's key can have written it."""
    camera = begun()
    camera.awake = False
    filmed(camera).stop()
    camera.close_segment()
    camera.awake = camera.heads = True
    camera.new_session().shutdown()
    assert said_of(given(camera, tmp_path)) == [(SILENT, index, None, Sure.OPEN) for index in (1, 7)]


def test_of_one_that_was_cut_each_session_has_its_own_head(tmp_path: Path) -> None:
    camera = filmed(begun())
    camera.crash()
    camera.shutdown()
    proof = given(camera, tmp_path)
    assert said_of(proof) == []
    assert any(b'"kind":"recovery"' in data for name, data in members(proof).items() if name.endswith(".json"))


def test_of_one_that_goes_on_the_last_parts_have_the_sessions_word_alone(tmp_path: Path) -> None:
    camera = filmed(begun())
    assert said_of(given(camera, tmp_path, running=True)) == [(SILENT, 3, 6, Sure.OPEN)]


def test_a_later_head_of_its_session_vouches_for_what_a_smaller_one_leads_to(tmp_path: Path) -> None:
    camera = begun()
    camera.awake = False
    filmed(camera).stop()
    camera.awake = True
    camera.shutdown()
    proof = given(camera, tmp_path, 8)
    assert said_of(proof) == []
    assert "identity/0000000010.checkpoint" in members(proof)


def rewrapped(proof: Path) -> RewrapResult:
    own = agency().identity
    return rewrap(collect([proof]), agency().root, [own], [own.recipient], proof.parent / "court")


def asleep(place: Path, *, until_next: bool) -> tuple[Moody, Path]:
    """The hardware slept for a whole recording and a segment more, and woke in its session or in the next."""
    camera = begun()
    camera.awake = False
    filmed(camera).stop()
    camera.close_segment()
    camera.event()
    camera.close_segment()
    camera.awake = camera.heads = True
    if until_next:
        camera.new_session()
    camera.shutdown()
    camera.write(place)
    (exported,) = run_export(place, place / "whole").exports
    assert not exported.problems
    return camera, Path(exported.proof)


def test_what_vouches_in_a_whole_export_goes_to_the_court_with_it(tmp_path: Path) -> None:
    _, proof = asleep(tmp_path, until_next=False)
    said = [(f.what, f.first, f.sure) for f in report_of(proof).findings if f.what in (SILENT, MISSING)]
    assert said == [(SILENT, index, Sure.LIKELY) for index in (1, 7)]
    assert any(name.endswith(".vouched") for name in members(proof))
    (court,) = rewrapped(proof).proofs
    assert said_of(Path(court)) == []


def test_where_nothing_that_vouches_can_go_with_it_it_is_not_rewrapped(tmp_path: Path) -> None:
    """The head that vouches for the whole export is of a session whose chain is not in it."""
    camera, proof = asleep(tmp_path, until_next=True)
    with pytest.raises(EvidenceError, match="leaf 7 lacks the identity key's signature") as caught:
        rewrapped(proof)
    assert not list((proof.parent / "court").iterdir())
    assert "--from" in caught.value.hint
    proof = given(camera, tmp_path / "times")
    (court,) = rewrapped(proof).proofs
    assert said_of(Path(court)) == [(SILENT, index, None, Sure.OPEN) for index in (1, 7)]
