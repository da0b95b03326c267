"""Lives of which segments are gone, and what a station says of them: that it purged them, which leaves of theirs it
holds, that it keeps their bytes. And what somebody does to that word, at places that dice choose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from agent.evidence.findings import What
from agent.formats.leaf import Kind
from tests.builders import Camera, Segment, make_agency
from tests.evidence import receipts
from tests.evidence.matrix.case import flipped
from tests.evidence.matrix.dice import CHANGES, Spool, random_life, receipt_by_another, receipt_edited, segment_renamed

OTHERS = [c for c in CHANGES if c not in (receipt_edited, receipt_by_another, segment_renamed)]
"""What may happen to the segments that are left. How one was called may be known by a leaf that is gone."""
Say = Callable[[Camera, list[Segment]], bytes]


@dataclass
class Absent:
    """`gone` are explained by `word`, the file `called`, which `say` makes anew of any of them. `lacks` are those that
    nothing explains after a change, `refused` is what the verifier calls a word that does not hold.
    """

    spool: Spool
    speaker: Camera
    gone: list[Segment]
    called: str
    say: Say
    folder: str = ""
    beside: dict[str, bytes] = field(default_factory=dict)
    lacks: set[str] = field(default_factory=set)
    refused: What | None = None
    word: bytes | None = None

    def __post_init__(self) -> None:
        for segment in self.gone:
            del self.spool.segments[segment.name]
        self.word = self.say(self.speaker, self.gone)

    @property
    def bad(self) -> What:
        return What.BAD_PURGE if self.called.endswith(".purge") else What.BAD_RECEIPT

    def files(self) -> dict[str, bytes]:
        given = {self.folder + name: data for name, data in self.spool.files().items()} | self.beside
        return given if self.word is None else given | {self.called: self.word}


# -- lives -------------------------------------------------------------------------------------------------------------


def purged(dice: Random) -> Absent:
    """A recording of it was purged, with a note; what a receipt says of the others holds."""
    spool = random_life(dice)
    recording = dice.choice(sorted({n[:20] for n in spool.segments if n.startswith("r")}))
    gone = [s for s in spool.camera.segments if s.name.startswith(recording)]
    spool.receipts = {"a.receipt": spool.camera.receipt([s for s in spool.camera.segments if s not in gone])}
    return Absent(spool, spool.camera, gone, "purges/a.purge", Camera.purge)


def delivered(dice: Random) -> Absent:
    """A card: some of its segments in a row were taken, by a receipt that says which leaves they hold."""
    spool = random_life(dice)
    spool.receipts = {}
    first = dice.randrange(len(spool.camera.segments) - 1)
    gone = spool.camera.segments[first:-1][: dice.randint(1, 3)]
    # A head of it all: without one, nothing tells of the newest segment.
    beside = {"sealed/.x.tmp": b"", "receipts/z.receipt": spool.camera.receipt([])}
    return Absent(spool, spool.camera, gone, "receipts/a.receipt", _with_leaves, "delivered/", beside)


def left_over(dice: Random) -> Absent:
    """A card whose log began anew: what is left over of the old one is kept, by a receipt, for its bytes alone."""
    spool = random_life(dice)
    spool.receipts = {}
    after = spool.camera.next_epoch()
    segments = spool.camera.segments
    after.event(Kind.KEPT, facts={"segments": [receipts.left_over(segment) for segment in segments]})
    after.shutdown()
    first = dice.randrange(len(segments) - 1)
    gone = segments[first:-1][: dice.randint(1, 3)]
    beside = {f"delivered/{s.name}.tar": s.to_bytes() for s in after.segments} | {"sealed/.x.tmp": b""}
    return Absent(spool, after, gone, "receipts/a.receipt", receipts.kept_by, "delivered/", beside)


LIVES = (purged, delivered, left_over)


def _with_leaves(camera: Camera, segments: list[Segment]) -> bytes:
    return camera.receipt(segments, leaves_of=receipts.of)


# -- changes to the word -----------------------------------------------------------------------------------------------


def _explains(absent: Absent, word: bytes | None, some: list[Segment], refused: What | None = None) -> None:
    absent.word, absent.refused = word, refused
    absent.lacks = {segment.name for segment in absent.gone if segment not in some}


def taken_away(absent: Absent, dice: Random) -> None:
    _explains(absent, None, [])


def edited(absent: Absent, dice: Random) -> None:
    """One bit, anywhere."""
    word = absent.say(absent.speaker, absent.gone)
    _explains(absent, flipped(word, dice.randrange(len(word))), [], absent.bad)


def cut_short(absent: Absent, dice: Random) -> None:
    word = absent.say(absent.speaker, absent.gone)
    _explains(absent, word[: dice.randrange(len(word))], [], absent.bad)


def forged(absent: Absent, dice: Random) -> None:
    """By an agency of the same name."""
    _explains(absent, absent.say(_as(absent.speaker, forger=True), absent.gone), [], absent.bad)


def of_a_fellow(absent: Absent, dice: Random) -> None:
    """The station's own word, of another camera of the agency that has segments of these names."""
    _explains(absent, absent.say(_as(absent.speaker, forger=False), absent.gone), [])


def of_fewer(absent: Absent, dice: Random) -> None:
    """The station's own word, which does not name one of them."""
    left = dice.choice(absent.gone)
    some = [segment for segment in absent.gone if segment is not left]
    _explains(absent, absent.say(absent.speaker, some) if some else None, some)


def of_other_bytes(absent: Absent, dice: Random) -> None:
    """The station's own word, of other bytes of the last of them than those that the seal leaf behind it names."""
    last = absent.gone[-1]
    entries = [dataclasses.replace(entry, note=entry.note + b"\n") for entry in last.entries]
    other = [*absent.gone[:-1], dataclasses.replace(last, entries=entries)]
    _explains(absent, absent.say(absent.speaker, other), absent.gone[:-1])


WORDS = (taken_away, edited, cut_short, forged, of_a_fellow, of_fewer, of_other_bytes)


def _as(camera: Camera, forger: bool) -> Camera:
    """Who can be taken for the camera: one of the same name with another agency, or another one with the same."""
    name = camera.name if forger else "cam-0002"
    other = Camera(make_agency(camera.agency.name) if forger else camera.agency, name, seed=9)
    other.origin = camera.origin if forger else camera.origin.replace(camera.name, name)
    return other.new_session()
