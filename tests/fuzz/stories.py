"""Lives in which what is rare comes together: what a station purged or a camera deleted, an identity key that does not
sign, holes in a recording, a counter in hardware. Mutators change them; chance alone would not lead such a life.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from agent import events
from agent.eventbody import Event
from agent.events import Actor, State
from agent.formats import merkle, note, receipt
from agent.formats.kepthead import KeptHead
from agent.formats.leaf import Kind
from agent.formats.tlogproof import Extension
from agent.model import NS
from tests.builders import Camera, Segment, frontier_of, replaced
from tests.fuzz.keys import RECEIPT_KEY, FixedCamera
from tests.fuzz.place import LINK, PIPE
from tests.fuzz.shapes import Member

HEAD = "head"


class Moody(FixedCamera):
    """Its identity key signs while it is `awake`; what a station is shown, it signs where `heads` says so."""

    awake = heads = True
    eager = False
    """Whether it signs each checkpoint."""

    def docked(self, size: int) -> bytes:
        return super().sign(note.Checkpoint(self.origin, size, self.roots[size]).text(), self.heads)

    def sign(self, text: str, by_identity: bool = False) -> bytes:
        return super().sign(text, (by_identity or self.eager) and self.awake)


def files(segments: list[Segment], folder: str = "") -> list[Member]:
    return [(f"{folder}{segment.name}.tar", segment.to_bytes()) for segment in segments]


def log_of(made: Camera, size: int, folder: str = "log/1/") -> list[Member]:
    """Tiles, checkpoint and chain of the log as it was."""
    tiles = [(f"{folder}{tile.path}", made._tile(tile)) for tile in merkle.tiles_of(size)]
    return [*tiles, (f"{folder}checkpoint", made.checkpoint(size, True)), (f"{folder}chain.pem", made.chain)]


def spans(segment: Segment) -> tuple[int, int]:
    """What a receipt's line says of its leaves."""
    return segment.header.first, len(segment.entries)


def kept_by(made: Camera, segments: list[Segment], **changes: Any) -> bytes:
    """A receipt that keeps these for their bytes alone; each line with an answer."""
    plain = receipt.parse(note.parse(made.receipt(segments)).text)
    lines = tuple(dataclasses.replace(line, answer="0f" * 16, **changes) for line in plain.stored)
    text = dataclasses.replace(plain, stored=(), kept=lines).text()
    return note.Note(text, (note.sign_ed25519(text, plain.station, RECEIPT_KEY),)).to_bytes()


def rambler(recordings: int = 3, seed: int = 11, rotate: bool = False) -> FixedCamera:
    """E0, A0, E1, B0, E2, C0, E3: recordings of two parts, in one segment each or in two."""
    made = FixedCamera(seed=seed).new_session()
    for _ in range(recordings):
        made.start()
        made.part(size=10)
        if rotate:
            made.rotate()
        made.part(size=10)
        made.stop()
    return made.shutdown()


# -- what is not here any more ---------------------------------------------------------------------------------------


def purged() -> list[Member]:
    """Of three recordings the first and the last are gone, with the leaves behind it; some notes explain nothing."""
    made = rambler()
    _, one, _, two, _, three, _ = made.segments
    upto = three.header.first + len(three.entries)
    notes = [made.purge([one]), made.purge([two]), made.purge([three]), made.purge([two], origin="x/cam-0001/7"),
             made.purge([two], purged_s=1)]  # fmt: skip
    gone = [s for s in made.segments[:5] if s is not one]
    return [*files(gone), *log_of(made, upto), *((f"purges/{n}.purge", data) for n, data in enumerate(notes))]


def promised() -> list[Member]:
    """Purged before the end that receipts of the same station name; and others by what is here."""
    made = rambler(2)
    _, one, _, two, _ = made.segments
    said = [("a.receipt", made.receipt([one])), ("b.receipt", kept_by(made, [two], until_s=1 << 40))]
    said += [("a.purge", made.purge([one])), ("b.purge", made.purge([two]))]
    return [*files([s for s in made.segments if s not in (one, two)]), *said]


def card() -> list[Member]:
    """A spool: a station has some of it, says which leaves others hold, and purged one; the camera deleted some."""
    made = rambler(3, 12)
    records = [s.record() for s in made.segments[:3]]
    deleted = [{"segment": r.segment, "sha256": r.sha256, "receipt": "ab" * 32} for r in records]
    made.new_session()
    made.event(Kind.DELETION, facts={"segments": deleted})
    made.shutdown()
    here = [s for n, s in enumerate(made.segments) if n not in (0, 1, 2, 3, 4, 5)]
    said = [
        ("receipts/a.receipt", made.receipt(made.segments[2:4], leaves_of=spans)),
        ("receipts/b.receipt", made.receipt(made.segments[4:5])),
        ("receipts/c.purge", made.purge(made.segments[5:6])),
        ("open/x", b""),
    ]
    return [*files(here, "delivered/"), ("sealed/x.tmp", b""), *log_of(made, made.frontier.size), *said]


def second_halves() -> list[Member]:
    """A spool without the second segment of one recording and the first of the next; receipts name some of these."""
    made = rambler(3, 21, rotate=True)
    gone = [made.segments[n] for n in (2, 3, 5, 7, 8)]
    here = [s for s in made.segments if s not in gone]
    said = [("receipts/a.receipt", made.receipt([gone[0], gone[3]])), ("receipts/b.receipt", made.receipt(gone[4:5]))]
    return [*files(here, "delivered/"), ("sealed/x.tmp", b""), *said]


def left_over() -> list[Member]:
    """What the second epoch names of the first: here in the state it was damaged in, held by a station, and nowhere."""
    first = rambler(1, 13)
    after = first.next_epoch()
    named = [{"segment": s.name, "epoch": 1, "size": r.size, "sha256": r.sha256, "whole": whole}
             for s, whole in zip(first.segments, (False, True, True), strict=True) for r in [s.record()]]  # fmt: skip
    lost = {"segment": "r0000000009-00000000-0000", "epoch": 1, "size": 9, "sha256": "0" * 64, "whole": True}
    purge = {**named[1], "segment": "r0000000001-00000000-0001"}
    after.event(Kind.KEPT, facts={"segments": [*named, lost, purge]})
    after.shutdown()
    held = [("receipts/a.receipt", kept_by(after, first.segments[1:2]))]
    return [*files([first.segments[0], *after.segments], "sealed/"), ("delivered/x.tmp", b""), *held]


def emptied_card() -> list[Member]:
    """A spool with nothing of its second log but tiles and a receipt for some of it."""
    first = rambler(1, 25)
    after = first.next_epoch()
    after.start()
    after.part(size=10)
    after.stop()
    after.shutdown()
    logs = [*log_of(first, first.frontier.size), *log_of(after, after.frontier.size, "log/2/")]
    said = ("receipts/a.receipt", after.receipt(after.segments[:2], leaves_of=spans))
    return [*files(first.segments, "sealed/"), ("delivered/x.tmp", b""), *logs, said]


def emptied_station() -> list[Member]:
    """A station with a receipt for one camera and segments of another, and a receipt for a third that lies loose."""
    other, third = (FixedCamera(name=f"cam-000{n}", seed=25 + n).new_session().shutdown() for n in (2, 3))
    made = rambler(1, 26)
    said = [("receipts/cam-0001/a.receipt", made.receipt(made.segments)), ("b.receipt", third.receipt(third.segments))]
    return [*files(other.segments, "segments/cam-0002/"), *said]


# -- the identity key is silent ----------------------------------------------------------------------------------------


def healed() -> list[Member]:
    """Asleep as a recording ends, until a leaf of the next segment; and from the shutdown on, until another session."""
    made = Moody(seed=14)
    made.new_session()
    made.start()
    made.part(size=10)
    made.awake = False
    made.stop()
    made.awake = True
    made.start()
    made.stop()
    made.awake = False
    made.shutdown()
    made.awake = True
    made.new_session().close_segment()
    return files(made.segments)


def for_good(awake_head: bool = False) -> Moody:
    """It does not sign any more; a station was shown a head that it signed, or not."""
    made = Moody(seed=15)
    made.new_session()
    made.close_segment()
    made.start()
    made.part(size=10)
    made.awake = False
    made.stop()
    made.shutdown()
    made.heads = awake_head
    return made


def silent() -> list[Member]:
    """For good, in a spool with its last file still open."""
    made = for_good()
    last = made.segments[-1]
    last.sealed = False
    return [*files(made.segments[:-1], "sealed/"), *files([last], "open/"), ("delivered/x.tmp", b"")]


def vouched() -> list[Member]:
    """For good, but a head that reaches it is signed."""
    made = for_good(True)
    return [*files(made.segments), (HEAD, made.docked(made.frontier.size - 1))]


def kept_heads() -> list[Member]:
    """A purge kept the head that vouched for a start leaf; and heads that are altered, of another, and none."""
    made = Moody(seed=24)
    made.new_session()
    made.awake = False
    made.start()
    for number in range(3):
        made.awake = made.eager = number == 1
        made.part(size=10)
    made.awake = made.eager = False
    made.recording = None
    made.close_segment()
    made.event()
    made.close_segment()
    gone, old = made.segments[1], made.segments[1].header.first
    entry = next(e for e in gone.entries if len(note.parse(e.note).signatures) > 1)
    proof = merkle.consistency_proof(old, entry.index + 1, lambda a, b: frontier_of(made.hashes[a:b]).root())
    good = KeptHead(Extension(old, tuple(proof)), entry.note)
    heads = [good, dataclasses.replace(good, extension=Extension(old, tuple(proof[1:]))),
             dataclasses.replace(good, checkpoint=gone.entries[0].note), KeptHead(good.extension, b"x")]  # fmt: skip
    said = [(f"purges/{n}.vouched", head.to_bytes()) for n, head in enumerate(heads)]
    return [*files([s for s in made.segments if s is not gone]), ("a.purge", made.purge([gone])), *said]


# -- holes and troubles ------------------------------------------------------------------------------------------------


class Reporter(FixedCamera):
    """Tells events as the recorder does."""

    def tell(self, event: Event, kind: Kind = Kind.EVENT, **late: Any) -> None:
        self.event(kind, {**event.body(), **late}, recording=self.recording)

    def wait(self, seconds: float) -> None:
        """Without media, where a recording runs."""
        self.mono_ns += round(seconds * NS)

    def film(self) -> None:
        """Half a second that ended just now."""
        self.start_ns = self.mono_ns - self.zero_ns
        self.part(size=10)

    def end(self, lost: int | None = None, then: State | None = State.READY, ended: bool = True) -> None:
        at = self.mono_ns if ended else None
        told = events.RecordStop("press", lost, Actor.OFFICER, then, at, at and at + NS)
        self.event(Kind.STOP, told.body(), {"parts": self.parts, "interrupted": False}, self.recording)
        self.recording = None
        self.close_segment()


def holes() -> list[Member]:
    """Seconds without media: explained by a fault, a lens, what failed once, pieces that were lost, and by nothing."""
    made = Reporter(seed=16)
    made.new_session()
    made.start()
    now = made.mono_ns
    made.film()
    for trouble in (events.Fault("storage", "it stalls", 1, now), events.CameraLost("unplugged", now)):
        made.tell(trouble)
    made.wait(5)
    made.tell(events.CameraBack("there", made.mono_ns))
    made.tell(events.Cleared("storage"))
    made.film()
    made.wait(7)
    made.film()
    made.tell(events.SinkFailed("it is gone", made.mono_ns))
    made.tell(events.Mute("asked for", Actor.OFFICER, made.mono_ns))
    made.wait(4)
    made.film()
    made.end()
    made.start()
    made.film()
    made.wait(3)
    made.film()
    made.end(lost=9)
    made.tell(events.Mute("asked", Actor.OFFICER, 7 * NS), late=True, boottime_ns=8 * NS)
    made.start()
    made.film()
    made.wait(4)
    made.end(ended=False)
    made.tell(events.Fault("storage", "it stalls", 1, made.mono_ns))
    made.start()
    made.film()
    made.wait(9)
    made.tell(events.Fault("media", "x", 1, None))
    made.new_session(same_boot=True)
    return [*files(made.segments), *files([made.open] if made.open else [])]


# -- the log ---------------------------------------------------------------------------------------------------------


def counted() -> list[Member]:
    """Sessions by a counter that goes on, jumps, goes back, falls silent and is no number."""
    made = FixedCamera(seed=17)
    for value in (1, 2, 7, 3, None, 4, "x"):
        made.new_session(counter=value)
    return files([*made.shutdown().segments])


def strange() -> list[Member]:
    """Leaves by whoever holds the keys: an epoch's link where none belongs, another index, recording, header."""
    made = FixedCamera(seed=18).new_session()
    made.event(facts={"epoch": {}})
    made.forge = lambda leaf: replaced(leaf, index=leaf.common.index + 7)
    made.event()
    made.forge = lambda leaf: leaf
    made.start()
    made.part(size=10)
    name, made.recording = made.recording, "r0000000001-00000000"
    made.part(size=10)
    made.recording = name
    made.part(size=10)
    made.forge = lambda leaf: replaced(
        leaf, sealed=dataclasses.replace(leaf.common.sealed, header_size=leaf.common.sealed.header_size - 1)
    )
    made.part(size=10)
    made.forge = lambda leaf: leaf
    made.event(Kind.SESSION, facts={"epoch": {"v": 1}, "session_cert": made.cert_sha256, "resumes": None})
    made.stop()
    return files(made.shutdown().segments)


# -- beside segments -------------------------------------------------------------------------------------------------


def station() -> list[Member]:
    """A station's own directory, of which a segment lacks; with a link, a pipe, and what lies too deep beside it."""
    made = rambler(1, 19)
    said = [("receipts/cam-0001/a.receipt", made.receipt(made.segments)), ("a/link", LINK), ("a/pipe", PIPE)]
    return [*files(made.segments[1:], "segments/"), *said]


def deep() -> list[Member]:
    return [*files(rambler(0).segments), ("a/" * 18 + "x.tar", b"x")]


def sides() -> tuple[Camera, list[str]]:
    """Three recordings, to be exported side by side: of the first the end was cut off, the next has two segments."""
    made = FixedCamera(seed=20).new_session()
    made.start()
    made.part(size=10)
    made.crash()
    made.start()
    made.part(size=10)
    made.rotate()
    made.part(size=10)
    made.stop()
    made.start()
    made.part(size=10)
    made.stop()
    return made.shutdown(), [s.name[:20] for s in made.segments if s.name.endswith("-0000") and s.name[0] == "r"]
