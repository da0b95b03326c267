"""The last leaf of a file in open/, which the identity key had not signed when the power went, or the card was read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.evidence.findings import Sure, What
from agent.formats import note, pack
from agent.formats.leaf import Kind
from agent.identity import FileSigner
from tests.builders import Camera, Segment, StoredEntry, agency
from tests.camera_kit import Desk, begin, report
from tests.evidence.kit import report_of
from tests.independent.kit import names_in, verdicts

SILENT, MISSING = What.IDENTITY_SILENT, What.MISSING_SEGMENT


def gone(signer: FileSigner, message: bytes) -> bytes:
    raise DeviceError("TPM: one call timed out", "")


def press(desk: Desk) -> None:
    desk.sealer.start_recording({"type": "record.start"})


def press_and_begin(desk: Desk) -> None:
    """The recording's first segment has its head, and no part yet."""
    desk.sealer.start_recording({"type": "record.start"})
    (event,) = desk.spool.open_dir.glob("e*.tar")
    header = pack.SegmentHeader(desk.log.origin, "cam-test", "r0000000001-00000000", 0, desk.log.frontier)
    name, chain = "r0000000001-00000000-0000", desk.log.session.chain_pem
    Segment(name, header, chain, b"init", sealed=False).write(event.parent)


def shut(desk: Desk) -> None:
    """Where the disk refuses to seal what is open."""
    desk.sealer.event(Kind.SHUTDOWN, {"type": "shutdown"})


def recover(desk: Desk) -> None:
    """What the next session says of the one that was cut, as its last leaf so far."""
    (found,) = desk.outcome.recovered
    desk.sealer.event(Kind.RECOVERY, {"type": "recovery"}, found.cut_recording, found.facts())


def restarted(desk: Desk) -> Desk:
    """After a cut, with the session's own leaf and no other."""
    begin(desk).record(2)
    desk.sealer.close()
    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    owed, again.outcome = again.outcome, replace(again.outcome, recovered=())
    begin(again).outcome = owed
    return again


@pytest.mark.parametrize(
    ("before", "last"),
    [(Desk.open, begin), (begin, press), (begin, press_and_begin), (begin, shut), (restarted, recover)],
    ids=["session", "start", "start and a head", "shutdown", "recovery"],
)
def test_of_an_honest_card_it_is_a_note(
    before: Callable[[Desk], Desk],
    last: Callable[[Desk], object],
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tiles and checkpoint are brought up to it while the hardware is silent, and once more when it answers again."""
    desk, silent = before(desk), tmp_path / "silent"
    with monkeypatch.context() as patch:
        patch.setattr(FileSigner, "sign", gone)
        last(desk)
        desk.sealer.flush_tiles()
        shutil.copytree(desk.root, silent)
    desk.sealer.flush_tiles()
    for place, sure in ((silent, Sure.OPEN), (desk.root, Sure.LIKELY)):
        found = report(desk, place)
        assert [f.line() for f in found.findings if f.fails] == []
        assert [(f.first, f.sure) for f in found.findings if f.what is SILENT] == [(desk.log.next_index - 1, sure)]
    assert set(verdicts(desk.agency.trust_root, silent, desk.root).values()) == {"verified"}


# -- attacks -------------------------------------------------------------------------------------------------------


def stopped() -> Camera:
    """Its last segment ends with the stop of a recording."""
    camera = Camera(agency(), seed=3).new_session()
    camera.start()
    camera.part()
    camera.part()
    camera.stop()
    return camera


def dropped(segment: Segment) -> None:
    del segment.entries[-1]


def torn(segment: Segment) -> None:
    last = segment.entries[-1]
    segment.entries[-1] = StoredEntry(last.index, last.sealed[:-1] + b"?", last.leaf, last.note)


def unsigned(segment: Segment) -> None:
    last, signed = segment.entries[-1], note.parse(segment.entries[-1].note)
    bare = note.Note(signed.text, signed.signatures[:1]).to_bytes()
    segment.entries[-1] = StoredEntry(last.index, last.sealed, last.leaf, bare)


def put_back(change: Callable[[Segment], None], place: Path, keep: Callable[[bytes], bytes]) -> Path:
    """The last sealed segment, changed, stands in open/; tiles and checkpoint are the camera's, the latter as `keep`
    leaves it.
    """
    camera = stopped()
    *sealed, last = camera.segments
    for segment in sealed:
        segment.write(place / "sealed")
    camera.write_log(place / "log" / "1")
    head = place / "log" / "1" / "checkpoint"
    head.write_bytes(keep(head.read_bytes()))
    change(last)
    last.sealed = False
    last.write(place / "open")
    return place


def whole(checkpoint: bytes) -> bytes:
    return checkpoint


def by_session_alone(checkpoint: bytes) -> bytes:
    signed = note.parse(checkpoint)
    return note.Note(signed.text, signed.signatures[:1]).to_bytes()


def test_who_drops_it_from_a_sealed_log_is_found(tmp_path: Path) -> None:
    ways = [(change, keep) for change in (dropped, torn) for keep in (whole, by_session_alone)]
    places = [put_back(change, tmp_path / f"{n}", keep) for n, (change, keep) in enumerate(ways)]
    for place in places:
        found = [(f.what, f.first, f.sure) for f in report_of(place).findings if f.fails]
        assert found == [(MISSING, 5, Sure.PROVEN)]
    said = verdicts(agency().write_trust(tmp_path)[0], *places)
    assert [names_in(said[place]) for place in places] == [{(MISSING.value, None)}] * len(ways)


def test_who_takes_its_signature_off_hides_nothing(tmp_path: Path) -> None:
    """The checkpoint beside the tiles, which the identity key signed too, says that it is the log's."""
    place = put_back(unsigned, tmp_path / "card", whole)
    found = report_of(place)
    assert [(f.first, f.sure) for f in found.findings if f.what is SILENT] == [(5, Sure.LIKELY)]
    (recording,) = found.logs[0].watch.recordings.values()
    assert (found.verified, recording.ended) == (True, "stop")
    assert verdicts(agency().write_trust(tmp_path)[0], place) == {place: "verified"}


@pytest.mark.parametrize("kind", [Kind.STOP, Kind.SHUTDOWN])
def test_who_has_the_sessions_key_alone_ends_nothing_with_it(kind: Kind, tmp_path: Path) -> None:
    """He signs the checkpoint beside the tiles as well."""
    place = tmp_path / "card"
    camera = Camera(agency(), seed=3).new_session()
    camera.start()
    camera.part()
    facts = {"parts": 1, "interrupted": False} if kind is Kind.STOP else {}
    camera.event(kind, facts=facts, recording=camera.recording if kind is Kind.STOP else None)
    assert camera.open is not None
    unsigned(camera.open)
    camera.open.sealed = False
    camera.write(place / "sealed")
    camera.open.write(place / "open")
    camera.write_log(place / "log" / "1")
    head = place / "log" / "1" / "checkpoint"
    head.write_bytes(by_session_alone(head.read_bytes()))
    found = report_of(place)
    assert [(f.first, f.sure) for f in found.findings if f.what is SILENT] == [(4, Sure.OPEN)]
    (recording,) = found.logs[0].watch.recordings.values()
    assert recording.ended is None
    assert [f.sure for f in found.findings if f.what is What.TAIL_UNPROVEN] == [Sure.OPEN]
    assert not found.logs[0].watch.shut
