"""The tamper table: a change, and the one finding that names it.

Four segments: e (leaves 0-1: session, start), r-0000 (2-5: seal, parts 0-2), r-0001 (6-10: seal, parts 3-5, stop),
e (11-12: seal, shutdown). The table works on r-0000 and r-0001 unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import age, certs, note, pack
from agent.formats import leaf as leaves
from tests.builders import Camera, Segment, agency, make_agency, simple_camera
from tests.evidence.kit import failures

Tamper = Callable[[Camera], None]
Row = tuple[str, Tamper, What, str, list[int] | None]


def flip(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


def media(camera: Camera) -> Segment:
    return camera.segments[1]


# -- one member ----------------------------------------------------------------------------------------------------


def payload_bit(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.sealed = flip(entry.sealed, -40)


def age_header_bit(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.sealed = flip(entry.sealed, 40)


def resealed(camera: Camera) -> None:
    """Other content, properly encrypted to the same recipients: no key of the camera is needed for that."""
    entry = media(camera).entries[2]
    entry.sealed = age.encrypt(b"another picture", camera.recipients).data


def leaf_bit(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.leaf = flip(entry.leaf, entry.leaf.index(b'"mono_ns":') + 11)


def leaf_rewritten(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.leaf = entry.leaf.replace(b'"utc":{"time":"2026-03-01', b'"utc":{"time":"2026-04-02')


def leaf_and_sealed_rewritten(camera: Camera) -> None:
    """All that can be made consistent without a key."""
    entry = media(camera).entries[2]
    sealed = age.encrypt(b"another picture", camera.recipients)
    old = leaves.parse(entry.leaf)
    common = replace(old.common, sealed=leaves.Sealed.of(sealed.data, sealed.header_size))
    entry.sealed, entry.leaf = sealed.data, leaves.to_bytes(replace(old, common=common))


def note_text(camera: Camera) -> None:
    entry = media(camera).entries[2]
    entry.note = entry.note.replace(b"bodycam.local", b"bodycam.lokal", 1)


def note_signature(camera: Camera) -> None:
    entry = media(camera).entries[2]
    signed = note.parse(entry.note)
    wrong = replace(signed.signatures[0], value=flip(signed.signatures[0].value, 5))
    entry.note = note.Note(signed.text, (wrong, *signed.signatures[1:])).to_bytes()


def note_by_another_key(camera: Camera) -> None:
    other = simple_camera(seed=9)
    entry = media(camera).entries[2]
    entry.note = other.sign(note.parse(entry.note).text)


def identity_signature_removed(camera: Camera) -> None:
    entry = camera.segments[0].entries[0]
    signed = note.parse(entry.note)
    entry.note = note.Note(signed.text, signed.signatures[:1]).to_bytes()


def identity_signature_wrong(camera: Camera) -> None:
    entry = camera.segments[0].entries[0]
    signed, other = note.parse(entry.note), note.parse(camera.segments[2].entries[-1].note)
    entry.note = note.Note(signed.text, (signed.signatures[0], other.signatures[1])).to_bytes()


def stray_signature(camera: Camera) -> None:
    entry = media(camera).entries[2]
    signed = note.parse(entry.note)
    stray = note.sign_ed25519(signed.text, "stranger", agency().receipt_key)
    entry.note = signed.with_signatures([stray]).to_bytes()


MEMBERS: list[Row] = [
    ("a bit in a payload", payload_bit, What.ALTERED_BYTES, "payload", [4, 1]),
    ("a bit in an age header", age_header_bit, What.ALTERED_BYTES, "age header", [4, 1]),
    ("sealed bytes replaced", resealed, What.ALTERED_BYTES, ".age has", [4, 1]),
    ("a bit in a leaf", leaf_bit, What.ALTERED_BYTES, "one bit of 0000000004.json", [4, 1]),
    ("a leaf rewritten", leaf_rewritten, What.ALTERED_BYTES, "not the leaf that was signed", [4, None]),
    ("leaf and content", leaf_and_sealed_rewritten, What.ALTERED_BYTES, "not the leaf that was signed", [4, None]),
    ("a checkpoint's text", note_text, What.ALTERED_BYTES, "checkpoint", [4, 1]),
    ("a checkpoint's signature", note_signature, What.BAD_SIGNATURE, "not valid", [4, 1]),
    ("a checkpoint by another key", note_by_another_key, What.BAD_SIGNATURE, "expected key", [4, 1]),
    ("the identity's signature gone", identity_signature_removed, What.MISSING_SIGNATURE, "session leaf", [0, None]),
    ("the identity's signature wrong", identity_signature_wrong, What.BAD_SIGNATURE, "ECDSA", [0, None]),
    ("a signature that does not belong", stray_signature, What.BAD_SIGNATURE, "do not belong", [4, 1]),
]  # fmt: skip


# -- entries -------------------------------------------------------------------------------------------------------


def dropped(camera: Camera) -> None:
    del media(camera).entries[2]


def first_dropped(camera: Camera) -> None:
    del media(camera).entries[0]


def last_dropped(camera: Camera) -> None:
    del media(camera).entries[-1]


def repeated(camera: Camera) -> None:
    entries = media(camera).entries
    entries.insert(3, entries[2])


def repeated_at_end(camera: Camera) -> None:
    media(camera).entries.append(media(camera).entries[1])


def swapped(camera: Camera) -> None:
    entries = media(camera).entries
    entries[1], entries[2] = entries[2], entries[1]


def swapped_under_their_names(camera: Camera) -> None:
    one, other = media(camera).entries[1:3]
    one.index, other.index = other.index, one.index


def swapped_contents(camera: Camera) -> None:
    one, other = media(camera).entries[1:3]
    one.sealed, other.sealed = other.sealed, one.sealed


def swapped_leaves(camera: Camera) -> None:
    one, other = media(camera).entries[1:3]
    one.leaf, other.leaf = other.leaf, one.leaf


def swapped_notes(camera: Camera) -> None:
    one, other = media(camera).entries[1:3]
    one.note, other.note = other.note, one.note


def content_copied(camera: Camera) -> None:
    """Part 1 shows part 0 again."""
    media(camera).entries[2].sealed = media(camera).entries[1].sealed


ENTRIES: list[Row] = [
    ("a part dropped", dropped, What.MISSING_PARTS, "1 entry is not", [4, 1]),
    ("the first entry dropped", first_dropped, What.MISSING_PARTS, "1 entry is not", [2, None]),
    ("the last entry dropped", last_dropped, What.MISSING_PARTS, "seal leaf", [5, None]),
    ("a part repeated", repeated, What.REPEATED_ENTRY, "byte for byte", [4, None]),
    ("a part repeated at the end", repeated_at_end, What.REPEATED_ENTRY, "byte for byte", [3, None]),
    ("two parts swapped", swapped, What.SWAPPED_ENTRIES, "another order", [3, None]),
    ("two parts swapped, names in order", swapped_under_their_names, What.SWAPPED_ENTRIES, "holds what", [3, None]),
    ("two parts' contents swapped", swapped_contents, What.SWAPPED_ENTRIES, "sealed bytes of leaf", [3, 0]),
    ("two leaves swapped", swapped_leaves, What.SWAPPED_ENTRIES, "holds what belongs", [3, None]),
    ("two checkpoints swapped", swapped_notes, What.SWAPPED_ENTRIES, "holds what belongs", [3, None]),
    ("a part showing another again", content_copied, What.SWAPPED_ENTRIES, "sealed bytes of leaf 3", [4, 1]),
]  # fmt: skip


# -- the head ------------------------------------------------------------------------------------------------------


def other_init(camera: Camera) -> None:
    media(camera).init = age.encrypt(b"another init", camera.recipients).data


def other_frontier(camera: Camera) -> None:
    segment = media(camera)
    wrong = replace(segment.header.frontier, hashes=(flip(segment.header.frontier.hashes[0], 3),))
    segment.header = replace(segment.header, frontier=wrong)


def other_sequence_number(camera: Camera) -> None:
    media(camera).header = replace(media(camera).header, seq=7)


def other_recording(camera: Camera) -> None:
    media(camera).header = replace(media(camera).header, recording="r0000000001-00000000")


def other_camera_named(camera: Camera) -> None:
    media(camera).header = replace(media(camera).header, camera="cam-0002")


def other_log_named(camera: Camera) -> None:
    media(camera).header = replace(media(camera).header, origin="bodycam.local/cam-0001/2")


def chain_reordered(camera: Camera) -> None:
    chain = certs.parse_pem(media(camera).chain)
    media(camera).chain = certs.pem([chain[0], chain[2], chain[1]])


def chain_of_another_session(camera: Camera) -> None:
    other = Camera(agency(), identity_key=camera.identity_key).new_session()
    media(camera).chain = other.chain


def init_dropped(camera: Camera) -> None:
    media(camera).init = None


HEADS: list[Row] = [
    ("another init", other_init, What.ALTERED_BYTES, "init.age is not the one", None),
    ("the init dropped", init_dropped, What.ALTERED_BYTES, "init.age is missing", None),
    ("another frontier", other_frontier, What.ALTERED_BYTES, "segment.json", None),
    ("another sequence number", other_sequence_number, What.ALTERED_BYTES, "numbers the segment 7", [2, None]),
    ("another recording in the head", other_recording, What.ALTERED_BYTES, "names the recording", None),
    ("another camera in the head", other_camera_named, What.ALTERED_BYTES, "names the camera", None),
    ("another log in the head", other_log_named, What.ALTERED_BYTES, "the log", None),
    ("certificates in another order", chain_reordered, What.ALTERED_BYTES, "chain.pem", None),
    ("another session's chain", chain_of_another_session, What.ALTERED_BYTES, "chain.pem", None),
]


@pytest.mark.parametrize("row", [*MEMBERS, *ENTRIES, *HEADS], ids=lambda row: row[0])
def test_a_change_has_its_name(row: Row, tmp_path: Path) -> None:
    _, tamper, what, text, place = row
    camera = simple_camera()
    tamper(camera)
    camera.write(tmp_path)
    found = failures(tmp_path)
    lines = [f.line() for f in found]
    # A swap is seen at both ends; everything else is one cause and one finding.
    assert {f.what for f in found} == {what}, lines
    assert len(found) == (2 if tamper is swapped_contents else 1), lines
    assert text in found[0].text, lines
    target = camera.segments[0 if tamper in (identity_signature_removed, identity_signature_wrong) else 1]
    assert found[0].segment == target.name, lines
    if place is not None:
        assert [found[0].first, found[0].part_first] == place, lines


@pytest.mark.parametrize("row", [*MEMBERS, *ENTRIES, *HEADS], ids=lambda row: row[0])
def test_the_rest_goes_on_being_checked(row: Row, tmp_path: Path) -> None:
    """The same change, and a flipped bit in a later segment: both are named."""
    camera = simple_camera()
    row[1](camera)
    last = camera.segments[2].entries[-1]
    last.sealed = flip(last.sealed, -1)
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert {f.segment for f in found} >= {camera.segments[2].name}
    assert {f.what for f in found if f.segment != camera.segments[2].name} == {row[2]}


@pytest.mark.parametrize("which", range(4))
def test_one_segment_verifies_alone(which: int, tmp_path: Path) -> None:
    camera = simple_camera()
    assert failures(camera.segments[which].write(tmp_path)) == []


def test_another_agency_is_not_trusted(tmp_path: Path) -> None:
    from agent.evidence.sources import collect
    from agent.evidence.verify import verify

    camera = simple_camera()
    camera.write(tmp_path)
    found = [f for f in verify(collect([tmp_path]), make_agency("another").root).findings if f.fails]
    assert {f.what for f in found} == {What.UNTRUSTED_CHAIN}
    assert {f.segment for f in found} == {s.name for s in camera.segments}


def test_all_signatures_by_a_forger_with_his_own_agency(tmp_path: Path) -> None:
    """Everything consistent, chain and all, but another root: the same names do not help."""
    forged = Camera(make_agency(agency().name)).new_session()
    forged.start()
    forged.part()
    forged.stop()
    forged.write(tmp_path)
    assert {f.what for f in failures(tmp_path)} == {What.UNTRUSTED_CHAIN}


def test_a_bit_in_leaf_and_sealed_bytes_are_two_findings(tmp_path: Path) -> None:
    camera = simple_camera()
    payload_bit(camera)
    leaf_bit(camera)
    camera.write(tmp_path)
    found = failures(tmp_path)
    assert [f.what for f in found] == [What.ALTERED_BYTES] * 2
    assert {f.offset for f in found} == {find_offset(camera, b".json", 4), find_offset(camera, b".age", 4)}


def find_offset(camera: Camera, suffix: bytes, index: int) -> int:
    """Where the finding must point: the data of the member, and within a mended leaf the very byte."""
    data = media(camera).to_bytes()
    start = data.index(b"%010d%s\0" % (index, suffix)) + pack.BLOCK
    entry = media(camera).entries[2]
    return start + (entry.leaf.index(b'"mono_ns":') + 11 if suffix == b".json" else 0)
