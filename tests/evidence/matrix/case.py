"""A camera's life to tamper with, and what a row of the tamper matrix is.

Leaves: E0 0 session, 1 start; A0 2 seal, 3 to 5 parts 0 to 2; A1 6 seal, 7 to 9 parts 3 to 5, 10 stop; E1 11 seal, 12 a
mark, 13 start; B0 14 seal, 15 and 16 parts 0 and 1, 17 stop; E2 18 seal, 19 shutdown.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.evidence.findings import Finding, Sure, What
from agent.formats import leaf as leaves
from agent.formats import note
from tests.builders import Camera, Segment, StoredEntry, agency
from tests.evidence.kit import of_six_parts, report_of

KEYS = ("E0", "A0", "A1", "E1", "B0", "E2")
LEAVES = 20
ANY = "any"
"""Where a finding names a segment that is none of the life's own."""

# What the one who makes the change must have.
CARD = "the card alone"
PUBLIC = "the agency's public keys"
OPENED = "the agency's secret key"
SESSION = "the session's key"
IDENTITY = "the camera's identity key"
FELLOW = "another camera of the agency"
FORGER = "an agency of one's own"

Forge = Callable[[leaves.Leaf], leaves.Leaf]


@dataclass
class Case:
    """One life, taken apart; `write` puts down whatever it is by then. `raw` replaces a segment's bytes, `files` are
    written last.
    """

    camera: Camera
    gone: set[str] = field(default_factory=set)
    raw: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    head: bytes | None = None
    keys: tuple[str, ...] = KEYS

    def __post_init__(self) -> None:
        self._segments = dict(zip(self.keys, self.camera.segments, strict=True))
        self.names = {key: segment.name for key, segment in self._segments.items()}

    def segment(self, key: str) -> Segment:
        return self._segments[key]

    def entry(self, index: int) -> StoredEntry:
        """The entry of this leaf."""
        return next(e for s in self._segments.values() for e in s.entries if e.index == index)

    def bytes_of(self, key: str) -> bytes:
        return self.raw[key] if key in self.raw else self.segment(key).to_bytes()

    def given(self) -> dict[str, bytes]:
        """All files but the head, by name."""
        kept = {f"{s.name}.tar": self.bytes_of(key) for key, s in self._segments.items() if key not in self.gone}
        return kept | self.files

    def write(self, place: Path) -> Path | None:
        """Below `place`; the head to verify with, if there is one."""
        given = place / "given"
        given.mkdir(parents=True)
        for name, data in self.given().items():
            (given / name).parent.mkdir(parents=True, exist_ok=True)
            (given / name).write_bytes(data)
        if self.head is None:
            return None
        (place / "head").write_bytes(self.head)
        return place / "head"


def life(forge: Forge | None = None, seed: int = 1, name: str = "cam-0001") -> Case:
    """`forge` sees each leaf before the camera signs it. Without, it is lived once and copied."""
    if forge is None:
        return copied(_lived(seed, name))
    camera = Camera(agency(), name, seed)
    camera.forge = forge
    return Case(live(camera))


@cache
def _lived(seed: int, name: str) -> Camera:
    return live(Camera(agency(), name, seed))


def copied(camera: Camera) -> Case:
    """A case of its own: what is changed in it stays in it."""
    own = copy.copy(camera)
    own.segments = [replace(s, entries=[replace(e) for e in s.entries]) for s in camera.segments]
    return Case(own)


def live(camera: Camera) -> Camera:
    of_six_parts(camera)
    camera.stop()
    camera.event(body={"type": "mark", "text": "here"})
    camera.start()
    camera.part()
    camera.part()
    camera.stop()
    return camera.shutdown()


@dataclass(frozen=True)
class Expect:
    """One finding: its name, in which segment (a key of KEYS, or None), leaves, part, how sure, words of its text. That
    of a media segment names its recording, unless the content says that it is of another. Its time, and its parts where
    none is given, are held against the life itself (truth.py).
    """

    what: What
    at: str | None = "A0"
    first: int | None = None
    last: int | None = None
    part: int | None = None
    sure: Sure = Sure.PROVEN
    text: str = ""
    of_recording: bool = True

    def meets(self, finding: Finding, names: dict[str, str]) -> bool:
        segment = finding.segment if self.at == ANY else names.get(self.at or "")
        recording = names[f"{self.at[0]}0"][:20] if self.of_recording and self.at and self.at[0] in "AB" else None
        return (
            (finding.what, finding.segment, finding.sure) == (self.what, segment, self.sure)
            and (recording is None or finding.recording == recording)
            and finding.first == self.first
            and self.part in (None, finding.part_first)
            and self.last in (None, finding.last)
            and self.text in finding.text
        )


@dataclass(frozen=True)
class Row:
    """A kind of change to a kind of object, and all that the verifier says against it. Without any failure in `finds`
    the evidence verifies, and the notes named there say what is not proven.
    """

    thing: str
    change: str
    takes: str
    apply: Callable[[Case], None]
    finds: tuple[Expect, ...]
    born: Callable[[], Case] = life

    @property
    def id(self) -> str:
        return f"{self.thing}: {self.change}"

    def made(self) -> Case:
        """A life of its own, with the change made."""
        case = self.born()
        self.apply(case)
        return case


def nothing(case: Case) -> None:
    """The life itself was lived otherwise."""


def found_in(case: Case, place: Path) -> list[Finding]:
    """Every finding, notes too."""
    head = case.write(place)
    return report_of(place / "given", head=head).findings


@cache
def made_of(row: Row) -> Case:
    """The row's life with its change, made once: to be looked at only."""
    return row.made()


@cache
def findings_of(row: Row) -> tuple[Finding, ...]:
    """Every finding after the row's change, notes too; worked out once."""
    with TemporaryDirectory() as place:
        return tuple(found_in(made_of(row), Path(place)))


def flipped(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1
    return bytes(changed)


def resigned(entry: StoredEntry, *signatures: note.Signature) -> bytes:
    """The entry's checkpoint with these signatures."""
    return note.Note(note.parse(entry.note).text, signatures).to_bytes()
