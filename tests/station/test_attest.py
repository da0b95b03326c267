"""A receipt says only what was read back and found to be evidence; and stock tools can check it."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.evidence.findings import What
from agent.formats import certs, note, receipt
from agent.formats.leaf import Kind
from agent.model import NS, SegmentState
from agent.spool import inbox
from agent.station import attest
from tests.camera_kit import CAMERA, ORIGIN, Desk, begin, read, report
from tests.station.kit import Bench, digest


def told(station: Bench, names: list[str]) -> tuple[bytes, dict[str, dict[str, object]]]:
    answer = station.attest(names)
    assert answer.status == 200, answer
    value = json.loads(answer.body)
    return value["receipt"].encode(), value["refused"]


def test_the_recorder_accepts_the_receipt(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    signed, refused = told(station, names)
    assert refused == {}
    name, key = note.parse_vkey(station.paths.receipt_vkey.read_text())
    trust = inbox.Trust([(name, key)], ORIGIN, CAMERA, lambda size: full.log.frontier.root())
    proven = inbox.check_receipt(signed, trust, full.spool.records(SegmentState.SEALED))
    assert [r.segment for r in proven] == names
    assert len(names) == 3


def test_the_receipt_carries_its_own_trust(station: Bench, full: Desk) -> None:
    station.send_log(full)
    signed, _ = told(station, station.send_segments(full))
    root = certs.parse_pem(station.paths.trust_root.read_bytes())[0]
    said = receipt.parse(note.parse(signed).text)
    name, key = certs.check_receipt_key([certs.parse_der(c) for c in said.certificates], root)
    assert name == said.station
    note.verify_ed25519(note.parse(signed), name, key)
    cosigned = note.parse(said.checkpoint)
    assert note.verify_cosignature(cosigned, name, key) > 0
    note.verify_ed25519(cosigned, ORIGIN, full.log.session.key.public_key())
    for stored in said.stored:
        held = (station.paths.station / stored.place).read_bytes()
        assert (digest(held), len(held)) == (stored.sha256, stored.size)


def test_openssl_verifies_the_receipt(station: Bench, full: Desk, tmp_path: Path) -> None:
    station.send_log(full)
    signed, _ = told(station, station.send_segments(full))
    text, _, line = signed.decode().rpartition("\n\n")
    (tmp_path / "text").write_bytes(text.encode() + b"\n")
    (tmp_path / "signature").write_bytes(note.unb64(line.split()[2])[4:])
    chain = str(station.paths.receipt_chain)

    def openssl(*words: str) -> str:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path)
        return done.stdout

    openssl("verify", "-no_check_time", "-CAfile", str(station.paths.trust_root), "-untrusted", chain, chain)
    (tmp_path / "key.pem").write_text(openssl("x509", "-in", chain, "-noout", "-pubkey"))
    words = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in", "text"]
    assert "Verified Successfully" in openssl(*words)
    (tmp_path / "text").write_bytes(text.replace("segments/", "Segments/", 1).encode() + b"\n")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(*words)


def test_asking_again_gives_the_same_receipt(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    first, _ = told(station, names)
    assert told(station, names[::-1])[0] == first
    assert station.ask("GET", "/receipts/newest").body == first
    second, _ = told(station, names[:1])
    assert second != first
    assert station.ask("GET", "/receipts/newest").body == second
    assert len(list(station.paths.station.glob("receipts/*/*.receipt"))) == 2


def test_it_reads_the_disk_again(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    told(station, names)
    path = station.segment(names[1])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    signed, refused = told(station, names)
    assert list(refused) == [names[1]]
    assert [s.segment for s in receipt.parse(note.parse(signed).text).stored] == [names[0], names[2]]


@pytest.mark.wide
@pytest.mark.parametrize("seed", range(40))
def test_any_flipped_bit_is_refused(station: Bench, full: Desk, seed: int) -> None:
    """The bytes are what the uploader announced, so the upload itself succeeds: only the evidence check can tell."""
    station.send_log(full)
    record = full.spool.records(SegmentState.SEALED)[1]
    data = bytearray(full.spool.segment(SegmentState.SEALED, record.segment).read_bytes())
    at = random.Random(seed).randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    assert station.upload(bytes(data), record.segment).status == 204
    _, refused = told(station, [record.segment])
    assert refused[record.segment]["permanent"] is True


@pytest.mark.parametrize("which", [0, 1])
def test_a_checkpoint_that_the_camera_did_not_sign_is_refused(station: Bench, full: Desk, which: int) -> None:
    """Leaves, roots and spelling all hold; only the session's signature (0), or the identity's (1), is not theirs."""
    station.send_log(full)
    record = full.spool.records(SegmentState.SEALED)[0]
    path = full.spool.segment(SegmentState.SEALED, record.segment)
    (entry, _), *_ = read(path)[2]
    signed = note.parse(entry.note)
    bent = list(signed.signatures)
    value = bytearray(bent[which].value)
    value[-1] ^= 1
    bent[which] = note.Signature(bent[which].name, bent[which].key_id, bytes(value))
    forged = path.read_bytes().replace(entry.note, note.Note(signed.text, tuple(bent)).to_bytes())
    station.upload(forged, record.segment)
    _, refused = told(station, [record.segment])
    assert refused[record.segment]["permanent"] is True
    assert "signature" in str(refused[record.segment]["reason"])


@pytest.mark.parametrize("kind", [Kind.SESSION, Kind.START, Kind.STOP, Kind.RECOVERY, Kind.SHUTDOWN])
def test_a_leaf_that_needs_the_identity_key_is_stored_without_it_and_filed(
    station: Bench, desk: Desk, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    """A TPM that did not answer up to the end: what was recorded can leave the camera, and a person looks at it. What
    it proves a verifier says: nothing began, ended or explained by the session's key alone verifies.
    """
    begin(desk)
    monkeypatch.setattr(desk.log.session.signer, "sign", silent)
    desk.sealer.event(kind, {"type": "x"})
    desk.sealer.seal_open()
    station.send_log(desk)
    (name,) = station.send_segments(desk)
    signed, refused = told(station, [name])
    assert refused == {}
    (stored,) = receipt.parse(note.parse(signed).text).stored
    (filed,) = station.conflicts()
    where = {"camera": CAMERA, "origin": ORIGIN, "segment": name, "sha256": stored.sha256, "leaf": 1}
    assert filed == {"v": 1, "kind": "identity-silent", **where}
    told(station, [name])
    assert len(station.conflicts()) == 1
    key_name, key = note.parse_vkey(station.paths.receipt_vkey.read_text())
    trust = inbox.Trust([(key_name, key)], ORIGIN, CAMERA, lambda size: desk.log.frontier.root())
    proven = inbox.check_receipt(signed, trust, desk.spool.records(SegmentState.SEALED))
    assert [record.segment for record in proven] == [name], "the camera may let it go"
    assert What.MISSING_SIGNATURE in {f.what for f in report(desk).findings}


def silent(message: bytes) -> bytes:
    raise DeviceError("TPM: one call timed out", "")


def test_a_silence_that_the_same_session_ended_is_nothing_to_look_at(
    station: Bench, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(desk)
    name = desk.record(3)
    with monkeypatch.context() as patch:
        patch.setattr(desk.log.session.signer, "sign", silent)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
        desk.sealer.seal_open()
    desk.clock.now_ns += 60 * NS
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    station.send_log(desk)
    silent_one, *_ = names = station.send_segments(desk)[1:]
    assert told(station, names)[1] == {}
    assert station.conflicts() == []
    lacking = [len(note.parse(e.note).signatures) for e, leaf in read(station.segment(silent_one))[2][-1:]]
    assert lacking == [1], "its last leaf is the stop"
    assert {f.what for f in report(desk).findings if f.fails} == set()


@pytest.mark.parametrize("cut", [1, 512, 1024, 5000])
def test_a_truncated_segment_is_refused(station: Bench, full: Desk, cut: int) -> None:
    station.send_log(full)
    record = full.spool.records(SegmentState.SEALED)[1]
    data = full.spool.segment(SegmentState.SEALED, record.segment).read_bytes()[:-cut]
    station.upload(data, record.segment)
    assert record.segment in told(station, [record.segment])[1]


def test_a_segment_under_another_name_is_refused(station: Bench, full: Desk) -> None:
    station.send_log(full)
    first, second, _ = full.spool.records(SegmentState.SEALED)
    data = full.spool.segment(SegmentState.SEALED, second.segment).read_bytes()
    station.upload(data, first.segment)
    assert told(station, [first.segment])[1][first.segment]["permanent"] is True


def test_a_parked_name_does_not_keep_the_genuine_segment_out(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = [r.segment for r in full.spool.records(SegmentState.SEALED)]
    station.upload(b"junk that came first", names[0])
    station.send_segments(full)
    signed, refused = told(station, names)
    assert refused == {}
    stored = receipt.parse(note.parse(signed).text).stored[0]
    assert stored.place.startswith("conflicts/")
    assert [c["kind"] for c in station.conflicts()] == ["two-contents"]


def test_what_is_not_there_can_be_asked_for_again(station: Bench, full: Desk) -> None:
    station.send_log(full)
    names = [r.segment for r in full.spool.records(SegmentState.SEALED)]
    _, refused = told(station, names)
    assert [refused[n]["permanent"] for n in names] == [False] * 3
    station.send_segments(full)
    assert told(station, names)[1] == {}


def test_a_segment_beyond_the_cosigned_log_waits(station: Bench, full: Desk) -> None:
    station.send_log(full)
    full.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    full.sealer.seal_open()
    names = station.send_segments(full)
    _, refused = told(station, names)
    assert list(refused) == [names[-1]]
    assert refused[names[-1]]["permanent"] is False


def test_a_segment_of_another_history_is_refused(station: Bench, full: Desk, tmp_path: Path) -> None:
    """A card swapped for one with another log of the same camera, signed by the same identity."""
    station.send_log(full)
    other = Desk(full.agency, tmp_path / "other").open()
    for _ in range(2):
        other.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    other.sealer.seal_open()
    (name,) = station.send_segments(other)
    _, refused = told(station, [name])
    assert refused[name]["permanent"] is True
    assert "extension" in str(refused[name]["reason"])


def test_no_log_no_receipt(station: Bench, full: Desk) -> None:
    names = station.send_segments(full)
    assert station.attest(names).status == 409


def test_no_tiles_no_receipt(station: Bench, full: Desk) -> None:
    names = station.send_segments(full)
    station.send_chain(full.log.session.chain_pem)
    signed = (full.spool.log_dir(1) / "checkpoint").read_bytes()
    assert station.add_checkpoint(0, [], signed).status == 200
    assert station.attest(names).status == 409


def test_the_largest_receipt_fits_the_inbox(station: Bench, full: Desk) -> None:
    station.send_log(full)
    signed, _ = told(station, station.send_segments(full))
    said = receipt.parse(note.parse(signed).text)
    media = said.stored[1]
    many = receipt.Receipt(
        said.station, said.origin, "x" * 32, said.issued_s, said.checkpoint, (media,) * receipt.MAX_SEGMENTS,
        said.certificates,
    )  # fmt: skip
    assert len(many.text()) + 32 * 256 + 300 < inbox.MAX_MESSAGE


def test_of_two_contents_the_one_that_was_asked_for_is_attested(station: Bench, full: Desk) -> None:
    """A card that was put back holds a shorter segment of the same name: both are evidence, each of its own bytes."""
    station.send_log(full)
    record = full.spool.records(SegmentState.SEALED)[0]
    path = full.spool.segment(SegmentState.SEALED, record.segment)
    whole = path.read_bytes()
    _, _, entries = read(path)
    shorter = whole[: entries[-1][0].offset] + bytes(1024)
    for data in (whole, shorter):
        assert station.upload(data, record.segment).status == 204
    for data in (whole, shorter):
        body = {"epoch": 1, "segments": [[record.segment, digest(data)]]}
        value = json.loads(station.ask("POST", "/attest", json.dumps(body).encode()).body)
        assert value["refused"] == {}
        (found,) = receipt.parse(note.parse(value["receipt"].encode()).text).stored
        assert found.sha256 == digest(data)


def test_left_overs_are_attested_by_their_bytes_alone(station: Bench, full: Desk) -> None:
    station.send_log(full)
    name, data = "r0000000009-5f2c09ab-0000", b"what a damaged card held" * 100
    assert station.upload(data, name).status == 204

    def ask(sha256: str) -> tuple[receipt.Receipt, dict[str, dict[str, object]]]:
        body = json.dumps({"epoch": 1, "segments": [], "kept": [[name, sha256]]}).encode()
        value = json.loads(station.ask("POST", "/attest", body).body)
        return receipt.parse(note.parse(value["receipt"].encode()).text), value["refused"]

    said, refused = ask(digest(data))
    assert (refused, said.stored) == ({}, ())
    assert [(s.segment, s.sha256, s.size) for s in said.kept] == [(name, digest(data), len(data))]
    said, refused = ask(digest(b"other"))
    assert said.kept == ()
    assert refused[name]["permanent"] is False


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"epoch": 1, "segments": [["e0000000000-91b3c4d7", "zz"]]}',
        b'{"epoch": 1, "segments": [["e0000000000-91b3c4d7", 7]]}',
        b'{"epoch": 1, "segments": [], "kept": ["e0000000000-91b3c4d7"]}',
        b'{"epoch": 1, "segments": [], "kept": {}}',
        b'{"epoch": 1, "segments": [], "kept": [["../x", null]]}',
        b'{"epoch": 0, "segments": []}',
        b'{"epoch": true, "segments": []}',
        b'{"epoch": 1, "segments": ["../x"]}',
        b'{"epoch": 1, "segments": [1]}',
        b'{"epoch": 1, "segments": "e0000000000-91b3c4d7"}',
        json.dumps({"epoch": 1, "segments": ["e0000000000-91b3c4d7"] * 257}).encode(),
    ],
)
def test_malformed_requests(station: Bench, body: bytes) -> None:
    assert station.ask("POST", "/attest", body).status == 400


def test_no_receipt_yet(station: Bench) -> None:
    assert station.ask("GET", "/receipts/newest").status == 404


def test_who_waits_too_long_for_the_receipts_of_others_is_told_when_to_come_back(
    station: Bench, full: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.send_log(full)
    names = station.send_segments(full)
    monkeypatch.setattr(attest, "TURN_S", 0.05)
    with station.app._attestor._turn():
        answer = station.attest(names)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert told(station, names)[1] == {}
