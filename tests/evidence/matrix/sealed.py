"""Rows: what is sealed. Picture, sound and times inside a part, its age header, whole files of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from agent.evidence.findings import What
from agent.formats import age
from agent.formats import leaf as leaves
from tests.builders import Camera, agency
from tests.evidence.matrix.case import CARD, FELLOW, OPENED, PUBLIC, Case, Expect, Row, copied, flipped, life
from tests.film import add, film
from tests.mp4_kit import moved, muted, other_picture

PART, LEAF = 1, 4
"""The part that is changed, and its leaf."""
BYTES = What.ALTERED_BYTES
BOTH = "in its age header and in its payload"


@cache
def film_parts() -> tuple[bytes, list[bytes]]:
    """(init, parts) with picture and sound in every part."""
    init, parts = film()
    return init, [part.data for part in parts]


def film_life() -> Case:
    """As `life`, of real media."""
    return copied(_filmed())


@cache
def _filmed() -> Camera:
    camera = Camera(agency(), seed=1).new_session()
    init, parts = film()
    camera.start(init)
    for number in range(6):
        if number == 3:
            camera.rotate()
        add(camera, parts[number])
    camera.stop()
    camera.event(body={"type": "mark", "text": "here"})
    camera.start(init)
    add(camera, parts[0])
    add(camera, parts[1])
    camera.stop()
    return camera.shutdown()


def opened(edit: Callable[[bytes, bytes], bytes], and_leaf: bool = False) -> Callable[[Case], None]:
    """Decrypt a part, edit it (init, part), encrypt it again to the same recipients; its leaf is written to fit, if
    asked.
    """

    def change(case: Case) -> None:
        entry = case.entry(LEAF)
        part = age.decrypt(entry.sealed, [agency().identity])
        edited = edit(film_parts()[0], part)
        assert edited != part and len(edited) == len(part)
        sealed = age.encrypt(edited, case.camera.recipients)
        entry.sealed = sealed.data
        if and_leaf:
            leaf = leaves.parse(entry.leaf)
            common = replace(leaf.common, sealed=leaves.Sealed.of(sealed.data, sealed.header_size))
            entry.leaf = leaves.to_bytes(replace(leaf, common=common))

    return change


def sealed(edit: Callable[[bytes], bytes]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.entry(LEAF).sealed = edit(case.entry(LEAF).sealed)

    return change


def rewrapped(data: bytes) -> bytes:
    """The same payload under a header for somebody else."""
    stranger = age.X25519Identity.generate().recipient
    key = age.file_key(data, [agency().identity])
    return age.rewrap(data, key, [stranger]) + data[age.split_header(data) :]


def greased(data: bytes) -> bytes:
    """A second stanza, which opens nothing, before the MAC."""
    mac = data.index(b"--- ")
    return data[:mac] + b"-> grease\n\n" + data[mac:]


def of_another_camera(case: Case) -> None:
    case.entry(LEAF).sealed = life(name="cam-0002", seed=2).entry(LEAF).sealed


def of_another_part(case: Case) -> None:
    case.entry(LEAF).sealed = case.entry(3).sealed


def swapped(case: Case) -> None:
    one, other = case.entry(3), case.entry(4)
    one.sealed, other.sealed = other.sealed, one.sealed


def other_init(case: Case) -> None:
    case.segment("A0").init = age.encrypt(b"another init", case.camera.recipients).data


def init_of_another_recording(case: Case) -> None:
    case.segment("A0").init = case.segment("B0").init


def event_body(case: Case) -> None:
    case.entry(12).sealed = age.encrypt(bytes(32) + b'{"type":"nothing"}', case.camera.recipients).data


def _row(change: str, takes: str, apply: Callable[[Case], None], text: str, born: Callable[[], Case] = life) -> Row:
    return Row("sealed part", change, takes, apply, (Expect(BYTES, "A0", LEAF, part=PART, text=text),), born)


ROWS = [
    _row("sound swapped for silence, sealed again", OPENED, opened(muted), BOTH, born=film_life),
    _row("picture swapped for another part's, sealed again", OPENED,
         opened(lambda init, part: other_picture(init, part, film_parts()[1][3])), BOTH, born=film_life),
    _row("timestamps moved by a second, sealed again", OPENED, opened(moved), BOTH, born=film_life),
    Row("sealed part", "sound swapped, sealed again, its leaf written to fit", OPENED, opened(muted, True),
        (Expect(BYTES, "A0", LEAF, text="not the leaf that was signed"),), film_life),
    Row("sealed part", "timestamps moved, sealed again, its leaf written to fit", OPENED, opened(moved, True),
        (Expect(BYTES, "A0", LEAF, text="not the leaf that was signed"),), film_life),
    _row("replaced by other bytes for the same recipients", PUBLIC,
         lambda case: sealed(lambda _: age.encrypt(b"forged", case.camera.recipients).data)(case), ".age has"),
    _row("age header wrapped for another recipient", OPENED, sealed(rewrapped), "age header"),
    _row("age header with one stanza more", CARD, sealed(greased), ".age has"),
    _row("a bit of the age header", CARD, sealed(lambda data: flipped(data, 40)), "altered in its age header"),
    _row("a bit of the payload", CARD, sealed(lambda data: flipped(data, -40)), "altered in its payload"),
    _row("the last byte cut off", CARD, sealed(lambda data: data[:-1]), ".age has"),
    _row("a byte more", CARD, sealed(lambda data: data + b"\0"), ".age has"),
    _row("nothing left of it", CARD, sealed(lambda _: b""), ".age has 0 bytes"),
    _row("that of another camera", FELLOW, of_another_camera, BOTH),
    Row("sealed part", "that of the part before it", CARD, of_another_part,
        (Expect(What.SWAPPED_ENTRIES, "A0", LEAF, part=PART, text="sealed bytes of leaf 3"),)),
    Row("sealed part", "swapped with that of the part before it", CARD, swapped,
        (Expect(What.SWAPPED_ENTRIES, "A0", 3, part=0, text="sealed bytes of leaf 4"),
         Expect(What.SWAPPED_ENTRIES, "A0", 4, part=1, text="sealed bytes of leaf 3"))),
    Row("sealed init", "replaced by other bytes for the same recipients", PUBLIC, other_init,
        (Expect(BYTES, "A0", text="init.age is not the one"),)),
    Row("sealed init", "that of another recording", CARD, init_of_another_recording,
        (Expect(BYTES, "A0", text="init.age is not the one"),)),
    Row("sealed event", "replaced by another body for the same recipients", PUBLIC, event_body,
        (Expect(BYTES, "E1", 12, text=".age has"),)),
]  # fmt: skip
