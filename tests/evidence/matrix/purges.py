"""Rows: what a station purged, and what somebody calls purged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from agent.evidence.findings import What
from agent.formats import note, receipt
from tests.builders import Camera, agency, make_agency
from tests.evidence.matrix.case import CARD, FORGER, Case, Expect, Row, flipped
from tests.evidence.matrix.outside import STATION

GONE, BAD, PURGED = What.MISSING_SEGMENT, What.BAD_PURGE, What.PURGED
DAY_S = 86_400


def purged(make: Callable[[Case], bytes], *gone: str) -> Callable[[Case], None]:
    """These segments are gone, and a note lies beside what is left."""

    def change(case: Case) -> None:
        case.files["purges/a.purge"] = make(case)
        case.gone.update(gone or ("B0",))

    return change


def of(*keys: str, **changes: Any) -> Callable[[Case], bytes]:
    return lambda case: case.camera.purge([case.segment(key) for key in keys], **changes)


def by_a_forger(case: Case) -> bytes:
    other = Camera(make_agency(case.camera.agency.name), case.camera.name)
    other.origin = case.camera.origin
    return other.purge([case.segment("B0")])


def of_a_fellow(case: Case) -> bytes:
    """What the station signed of another camera, with as many leaves at the same places."""
    other = Camera(agency(), "cam-0002")
    return other.purge([case.segment("B0")])


def to_its_end(case: Case) -> int:
    told = note.parse(case.camera.purge([case.segment("B0")])).text
    return int(told.partition("\nuntil ")[2].partition("\n")[0])


def too_early(case: Case) -> bytes:
    until_s = to_its_end(case)
    return case.camera.purge([case.segment("B0")], until_s=until_s, purged_s=until_s - 1)


def promised_longer(lines: Literal["stored", "kept"]) -> Callable[[Case], bytes]:
    """Its own receipt says to which end it keeps them: as evidence, or for their bytes alone."""

    def make(case: Case) -> bytes:
        plain = receipt.parse(note.parse(case.camera.receipt([case.segment("B0")])).text)
        longer = tuple(dataclasses.replace(line, until_s=to_its_end(case) + 2 * DAY_S) for line in plain.stored)
        stored, kept = (longer, ()) if lines == "stored" else ((), longer)
        text, station = dataclasses.replace(plain, stored=stored, kept=kept).text(), case.camera.agency
        signature = note.sign_ed25519(text, station.station, station.receipt_key)
        case.files["a.receipt"] = note.Note(text, (signature,)).to_bytes()
        return case.camera.purge([case.segment("B0")])

    return make


def of_other_bytes(case: Case) -> bytes:
    segment = case.segment("B0")
    entries = [dataclasses.replace(entry, note=entry.note + b"\n") for entry in segment.entries]
    return case.camera.purge([dataclasses.replace(segment, entries=entries)])


def _purge(
    change: str, takes: str, make: Callable[[Case], bytes], *finds: Expect, gone: tuple[str, ...] = ("B0",)
) -> Row:
    return Row("purge note", change, takes, purged(make, *gone), finds)


B0 = Expect(GONE, "B0", 14, 17)

ROWS = [
    _purge("of a recording whose days were over, which is gone", STATION, of("B0"),
           Expect(PURGED, "B0", 14, 17, text="deleted by station station.test")),
    _purge("of a recording of two segments, which are gone", STATION, of("A0", "A1"),
           Expect(PURGED, None, 2, 10, text="2 segments"), gone=("A0", "A1")),
    _purge("of a recording that is here", CARD, of("B0"),
           Expect(PURGED, "B0", 14, 17, text="are here"), Expect(GONE, "E1", 11, 13), gone=("E1",)),
    _purge("forged by an agency of the same name", FORGER, by_a_forger, Expect(BAD, None), B0),
    _purge("edited", CARD, lambda case: flipped(of("B0")(case), 90), Expect(BAD, None), B0),
    _purge("that of another camera's log", STATION, of_a_fellow, B0),
    _purge("that of another epoch of this camera", STATION, of("B0", origin="bodycam.local/cam-0001/2"), B0),
    _purge("signed before the end that it names", STATION, too_early, Expect(BAD, None), B0),
    _purge("signed before the end that a receipt names", STATION, promised_longer("stored"),
           Expect(BAD, None, text="before the end that a receipt of it names"), B0),
    _purge("signed before the end to which a receipt keeps its bytes alone", STATION, promised_longer("kept"),
           Expect(BAD, None, text="before the end that a receipt of it names"), B0),
    _purge("that of another recording", CARD, of("A0", "A1"),
           Expect(PURGED, None, 2, 10, text="of them 2 are here"), B0),
    _purge("that of one of two segments, both of which are gone", CARD, of("A0"),
           Expect(PURGED, "A0", 2, 5), Expect(GONE, "A1", 6, 10), gone=("A0", "A1")),
    _purge("of other bytes than those that were sealed", STATION, of_other_bytes,
           Expect(PURGED, "B0", 14, 17, text="or are others by what is here"), B0),
    _purge("of a recording, with the events before it gone too", CARD, of("B0"),
           Expect(PURGED, "B0", 14, 17), Expect(GONE, None, 11, 13), gone=("E1", "B0")),
]  # fmt: skip
