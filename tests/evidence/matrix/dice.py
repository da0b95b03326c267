"""The kinds of change of the matrix, each at a place that dice choose, on lives that dice lead."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from agent.formats import age, certs, note
from tests.builders import Camera, Segment, StoredEntry, agency
from tests.evidence.kit import with_field
from tests.evidence.matrix.case import flipped, life
from tests.evidence.test_tamper_members import FIELDS as HEADER_FIELDS
from tests.evidence.test_tamper_members import members_of


@dataclass
class Spool:
    """What is given to the verifier, by file name; and which segments were touched by a change."""

    camera: Camera
    segments: dict[str, Segment]
    raw: dict[str, bytes] = field(default_factory=dict)
    receipts: dict[str, bytes] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)
    moved: bool = False

    def whole(self) -> list[str]:
        """Names of segments that still stand as pieces."""
        return sorted(name for name in self.segments if name not in self.raw)

    def files(self) -> dict[str, bytes]:
        tars = {f"{n}.tar": self.raw[n] if n in self.raw else s.to_bytes() for n, s in self.segments.items()}
        extra = {f"{n}.tar": data for n, data in self.raw.items() if n not in self.segments}
        return tars | extra | self.receipts


def random_life(dice: Random) -> Spool:
    """One to three recordings in one to three segments each, events between them, restarts, a receipt of it all."""
    camera = Camera(agency(), seed=dice.randrange(1 << 30)).new_session()
    for _ in range(dice.randint(1, 3)):
        for _ in range(dice.randint(0, 2)):
            camera.event(body={"type": "mark", "text": "here"})
        camera.start()
        for number in range(dice.randint(2, 6)):
            if number and dice.random() < 0.3:
                camera.rotate()
            camera.part(size=dice.randint(1, 600))
        match dice.randrange(4):
            case 0:
                camera.crash()
            case 1:
                camera.stop()
                camera.new_session(same_boot=True)
            case _:
                camera.stop()
    camera.shutdown()
    told = camera.receipt(camera.segments)
    return Spool(camera, {s.name: s for s in camera.segments}, receipts={"a.receipt": told, "z.receipt": told})


Change = Callable[[Spool, Random], None]


def _pick(spool: Spool, dice: Random, media: bool | None = None) -> Segment:
    fits = [n for n in spool.whole() if media is None or n.startswith("r") == media]
    name = dice.choice(fits)
    spool.touched.add(name)
    return spool.segments[name]


def _entry(spool: Spool, dice: Random) -> StoredEntry:
    return dice.choice(_pick(spool, dice).entries)


def _two(spool: Spool, dice: Random) -> tuple[StoredEntry, StoredEntry]:
    with_two = [n for n in spool.whole() if len(spool.segments[n].entries) > 1]
    name = dice.choice(with_two)
    spool.touched.add(name)
    one, other = dice.sample(spool.segments[name].entries, 2)
    return one, other


# -- sealed --------------------------------------------------------------------------------------------------------


def seal_bit(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    entry.sealed = flipped(entry.sealed, dice.randrange(len(entry.sealed)))


def seal_again(spool: Spool, dice: Random) -> None:
    _entry(spool, dice).sealed = age.encrypt(dice.randbytes(99), spool.camera.recipients).data


def seal_for_another(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    key = age.file_key(entry.sealed, [agency().identity])
    stranger = age.X25519Identity.generate().recipient
    entry.sealed = age.rewrap(entry.sealed, key, [stranger]) + entry.sealed[age.split_header(entry.sealed) :]


def seal_of_another(spool: Spool, dice: Random) -> None:
    one, other = _two(spool, dice)
    one.sealed = other.sealed


def seal_of_another_camera(spool: Spool, dice: Random) -> None:
    _entry(spool, dice).sealed = life(name="cam-0002", seed=2).entry(dice.randrange(20)).sealed


def init_again(spool: Spool, dice: Random) -> None:
    _pick(spool, dice, media=True).init = age.encrypt(dice.randbytes(60), spool.camera.recipients).data


# -- leaves and notes ----------------------------------------------------------------------------------------------


def leaf_bit(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    entry.leaf = flipped(entry.leaf, dice.randrange(len(entry.leaf)))


def leaf_field(spool: Spool, dice: Random) -> None:
    """One value, wherever it stands, by another of its kind."""
    entry = _entry(spool, dice)
    leaf = json.loads(entry.leaf)
    place: dict[str, Any] = leaf
    while True:
        key = dice.choice(sorted(place))
        if not isinstance(place[key], dict) or not place[key]:
            break
        place = place[key]
    old = place[key]
    if isinstance(old, bool) or old is None or isinstance(old, dict):
        place[key] = not old
    else:
        place[key] = old + 1 if isinstance(old, int) else old[:-1] + ("0" if old[-1:] != "0" else "1")
    entry.leaf = json.dumps(leaf, separators=(",", ":")).encode("ascii") + b"\n"


def leaf_spelled(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    entry.leaf = json.dumps(json.loads(entry.leaf), indent=1).encode("ascii") + b"\n"


def leaves_swapped(spool: Spool, dice: Random) -> None:
    one, other = _two(spool, dice)
    one.leaf, other.leaf = other.leaf, one.leaf


def note_bit(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    entry.note = flipped(entry.note, dice.randrange(len(entry.note)))


def note_of_another(spool: Spool, dice: Random) -> None:
    one, other = _two(spool, dice)
    one.note = other.note


def note_by_another(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    stranger = Camera(agency(), "cam-0002", seed=9).new_session()
    stranger.origin = spool.camera.origin
    entry.note = stranger.sign(note.parse(entry.note).text, by_identity=dice.random() < 0.5)


def note_signed_twice(spool: Spool, dice: Random) -> None:
    entry = _entry(spool, dice)
    parsed = note.parse(entry.note)
    entry.note = note.Note(parsed.text, (*parsed.signatures, parsed.signatures[0])).to_bytes()


# -- heads and certificates ----------------------------------------------------------------------------------------


def certificate(spool: Spool, dice: Random) -> None:
    segment, at = _pick(spool, dice), dice.randrange(2)
    chain = certs.parse_pem(segment.chain)
    chain[at] = certs.parse_pem(Camera(agency(), "cam-0002", seed=9).new_session().chain)[at]
    segment.chain = certs.pem(chain)


def chain_of_another(spool: Spool, dice: Random) -> None:
    _pick(spool, dice).chain = Camera(agency(), seed=9, identity_key=spool.camera.identity_key).new_session().chain


def head(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice, media=True)
    changes: list[dict[str, Any]] = [
        {"camera": "cam-0002"},
        {"origin": "bodycam.local/cam-0001/2"},
        {"recording": "r0000000001-00c0ffee"},
        {"seq": segment.header.seq + 7},
    ]
    segment.header = replace(segment.header, **dice.choice(changes))


# -- entries, archives ---------------------------------------------------------------------------------------------


def entry_removed(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    del segment.entries[dice.randrange(len(segment.entries))]


def entry_repeated(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    segment.entries.insert(dice.randint(0, len(segment.entries)), dice.choice(segment.entries))


def entries_swapped(spool: Spool, dice: Random) -> None:
    name = dice.choice([n for n in spool.whole() if len(spool.segments[n].entries) > 1])
    spool.touched.add(name)
    entries = spool.segments[name].entries
    one, other = dice.sample(range(len(entries)), 2)
    entries[one], entries[other] = entries[other], entries[one]


def member_header(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    members = [data for _, data in members_of(segment)]
    at = dice.randrange(len(members))
    members[at] = with_field(members[at], *HEADER_FIELDS[dice.choice(sorted(HEADER_FIELDS))])
    spool.raw[segment.name] = b"".join(members) + bytes(1024)


def any_bit(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    data = segment.to_bytes()
    spool.raw[segment.name] = flipped(data, dice.randrange(len(data)))


def cut(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    data = segment.to_bytes()
    spool.raw[segment.name] = data[: dice.randrange(1, len(data))]


def grown(spool: Spool, dice: Random) -> None:
    segment = _pick(spool, dice)
    spool.raw[segment.name] = segment.to_bytes() + dice.choice([b"x", bytes(512), dice.randbytes(700)])


# -- segments, receipts --------------------------------------------------------------------------------------------


def segment_removed(spool: Spool, dice: Random) -> None:
    del spool.segments[_pick(spool, dice).name]
    spool.moved = True


def recording_removed(spool: Spool, dice: Random) -> None:
    recording = dice.choice(sorted({n[:20] for n in spool.whole() if n.startswith("r")}))
    for name in [n for n in spool.whole() if n.startswith(recording)]:
        spool.touched.add(name)
        del spool.segments[name]
    spool.moved = True


def segments_swapped(spool: Spool, dice: Random) -> None:
    one, other = dice.sample(spool.whole(), 2)
    spool.touched |= {one, other}
    spool.raw[one], spool.raw[other] = spool.segments[other].to_bytes(), spool.segments[one].to_bytes()
    spool.moved = True


def segment_renamed(spool: Spool, dice: Random) -> None:
    """What an event segment is called only the seal leaf after it says."""
    newest = spool.camera.segments[-1].name
    segment = spool.segments[dice.choice([name for name in spool.whole() if name != newest])]
    spool.touched.add(segment.name)
    del spool.segments[segment.name]
    new = segment.name[:-3] + f"{dice.randrange(100, 1000)}"
    new = new if new != segment.name else segment.name[:-3] + "099"
    spool.raw[new], spool.renamed[segment.name] = segment.to_bytes(), new
    spool.moved = True


def segment_of_another_camera(spool: Spool, dice: Random) -> None:
    other = life(name="cam-0002", seed=2)
    spool.raw[_pick(spool, dice).name] = other.segment(dice.choice(sorted(other.names))).to_bytes()
    spool.moved = True


def receipt_edited(spool: Spool, dice: Random) -> None:
    data = spool.receipts["a.receipt"]
    spool.receipts["a.receipt"] = flipped(data, dice.randrange(len(data)))


def receipt_by_another(spool: Spool, dice: Random) -> None:
    stranger = Camera(agency(), seed=9)
    stranger.agency = replace(agency(), receipt_cert=agency().issuing)
    spool.receipts["a.receipt"] = stranger.new_session().receipt([])


CHANGES: tuple[Change, ...] = (
    *(seal_bit, seal_again, seal_for_another, seal_of_another, seal_of_another_camera, init_again),
    *(leaf_bit, leaf_field, leaf_spelled, leaves_swapped),
    *(note_bit, note_of_another, note_by_another, note_signed_twice),
    *(certificate, chain_of_another, head),
    *(entry_removed, entry_repeated, entries_swapped, member_header, any_bit, cut, grown),
    *(segment_removed, recording_removed, segments_swapped, segment_renamed, segment_of_another_camera),
    *(receipt_edited, receipt_by_another),
)  # fmt: skip
