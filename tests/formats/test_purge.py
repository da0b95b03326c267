"""The purge note: one spelling, bounded, bound to the station that signs it, and nothing that cannot be so."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from agent.errors import AgentError, EvidenceError
from agent.evidence.trust import load_root
from agent.formats import note, purge
from tests.builders import Camera, agency, make_agency, simple_camera

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module")
def camera() -> Camera:
    return simple_camera()


@pytest.fixture(scope="module")
def data(camera: Camera) -> bytes:
    return camera.purge(camera.segments[1:3])


def test_a_purge_note_round_trips(data: bytes) -> None:
    text = note.parse(data).text
    told = purge.parse(text)
    assert told.text() == text
    assert (told.station, told.camera, len(told.gone)) == (agency().station, "cam-0001", 2)
    assert told.purged_s - told.until_s == 86_400


def test_the_example_of_the_page_holds() -> None:
    (file,) = (VECTORS / "purge").glob("*.purge")
    told = purge.check(file.read_bytes(), load_root(VECTORS / "evidence" / "root.pem"))
    assert (file.stem, told.gone[0].first, told.gone[0].entries) == (f"{told.recording}-1", 2, 3)


def test_it_is_checked_up_to_the_root(data: bytes) -> None:
    assert purge.check(data, agency().root) == purge.parse(note.parse(data).text)
    with pytest.raises(AgentError):
        purge.check(data, make_agency("another").root)


def test_a_flipped_bit_anywhere_is_refused(data: bytes) -> None:
    chosen = random.Random(4)
    for offset in range(0, len(data), 3):
        changed = bytearray(data)
        changed[offset] ^= 1 << chosen.randrange(8)
        with pytest.raises(AgentError):
            purge.check(bytes(changed), agency().root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("station station.test", "station  station.test"),
        ("bodycam-purge/v1", "bodycam-purge/v2"),
        ("\norigin ", "\nOrigin "),
        ("cam-0001/1\n", "cam-0002/1\n"),
        ("cam-0001/1\n", "cam-0001/01\n"),
        ("cam-0001/1\n", "cam-0001\n"),
        ("\ncamera cam-0001", ""),
        ("\ncamera cam-0001", "\ncamera Cam-0001"),
        ("\nrecording r", "\nrecording e"),
        ("\nuntil ", "\nuntil 0"),
        ("\nuntil 1", "\nuntil 9"),
        ("\nsegment ", "\nsegment 00"),
        ("\nsegment ", "\nkept "),
        ("-0000 ", "-0002 "),
        ("-0000 2 ", "-0000 1 "),
        ("-0000 2 4", "-0000 2 0"),
        ("-0000 2 4", "-0000 2 5"),
        ("-0000 2 4", "-0000 2 99"),
        ("-0000 2 4", "-0000 2 4 5"),
        ("certificate ", "certificate A"),
    ],
)
def test_another_spelling_or_what_cannot_be_is_refused(data: bytes, old: str, new: str) -> None:
    text = note.parse(data).text
    assert old in text
    with pytest.raises(EvidenceError):
        purge.parse(text.replace(old, new, 1))


def test_it_names_some_segments_and_no_more_than_256(data: bytes) -> None:
    told = purge.parse(note.parse(data).text)
    one = told.gone[0]
    many = [dataclasses.replace(one, segment=f"{told.recording}-{n:04d}", first=2 + 4 * n) for n in range(257)]
    assert len(purge.parse(dataclasses.replace(told, gone=tuple(many[:256])).text()).gone) == 256
    for wrong in ((), tuple(many), (many[1], many[0]), (many[0], many[0])):
        with pytest.raises(EvidenceError):
            purge.parse(dataclasses.replace(told, gone=wrong).text())


@pytest.mark.parametrize("until_s", [0, 1_780_000_001])
def test_none_was_purged_before_its_own_end(camera: Camera, until_s: int) -> None:
    with pytest.raises(EvidenceError, match="before the end"):
        purge.check(camera.purge(camera.segments[1:2], until_s=until_s, purged_s=1_780_000_000), agency().root)


def test_an_event_segment_is_never_named(camera: Camera) -> None:
    text = note.parse(camera.purge(camera.segments[1:2])).text
    event = camera.segments[0].record()
    line = f"segment {event.sha256} {event.size} {event.segment} 0 2\n"
    with pytest.raises(EvidenceError):
        purge.parse(text.replace("segment ", f"{line}segment ", 1))
