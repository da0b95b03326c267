"""Rows: more than one log. Epochs, the hardware's counter, a camera that was revoked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.evidence.findings import Sure, What
from agent.formats import leaf as leaves
from agent.formats import note
from agent.formats.epoch import Why
from tests.builders import Camera, agency, make_agency, replaced
from tests.evidence.matrix.case import ANY, CARD, FORGER, IDENTITY, LEAVES, SESSION, Case, Expect, Row, flipped, nothing
from tests.evidence.matrix.outside import STATION
from tests.evidence.test_counter import lives

GONE, FORK, EPOCH = What.MISSING_SEGMENT, What.FORK, What.BAD_EPOCH


# -- epochs --------------------------------------------------------------------------------------------------------


def add(case: Case, camera: Camera, key: str = "N", beside: str = "second") -> None:
    """Its segments are given too: N0, N1, ..."""
    for number, segment in enumerate(camera.segments):
        case.names[f"{key}{number}"] = segment.name
        case.files[f"{beside}/{segment.name}.tar"] = segment.to_bytes()


def second(case: Case, **changes: Any) -> Camera:
    """The epoch after the life, with a recording of its own."""
    camera = case.camera.next_epoch(**changes)
    camera.start()
    camera.part()
    camera.stop()
    return camera.shutdown()


def followed(*gone: str, **changes: Callable[[Case], Any]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        add(case, second(case, **{name: make(case) for name, make in changes.items()}))
        case.gone.update(gone)

    return change


def removed_whole(of_card: bool) -> Callable[[Case], None]:
    """A second epoch of which no segment is left, but its tiles on the card, or its receipt at the station."""

    def change(case: Case) -> None:
        camera, own = second(case), ("sealed", "delivered") if of_card else ("segments",)
        case.files |= {f"of/{name}/.a.tmp": b"" for name in own}
        if not of_card:
            case.files["of/receipts/b.receipt"] = camera.receipt(camera.segments)
            return
        with TemporaryDirectory() as place:
            camera.write_log(Path(place))
            files = [path for path in Path(place).rglob("*") if path.is_file()]
            case.files |= {f"of/log/2/{path.relative_to(place)}": path.read_bytes() for path in files}

    return change


def with_facts(forge: Callable[[dict[str, Any]], object]) -> Callable[[Case], None]:
    """The session leaf of the second epoch says otherwise what it follows, signed by the camera."""

    def change(case: Case) -> None:
        def spoil(leaf: leaves.Leaf) -> leaves.Leaf:
            if leaf.common.index or not isinstance(leaf, leaves.EventLeaf):
                return leaf
            facts = json.loads(json.dumps(dict(leaf.facts)))
            forge(facts)
            return replaced(leaf, facts=facts)

        named = second(case)
        camera = Camera(case.camera.agency, case.camera.name, 9, case.camera.identity_key)
        camera.origin, camera.link, camera.boot, camera.forge = named.origin, named.link, 1, spoil
        add(case, camera.new_session().shutdown())

    return change


def edited_on_the_card(case: Case) -> None:
    camera = second(case)
    entry = camera.segments[0].entries[0]
    entry.leaf = entry.leaf.replace(b'"reason":"damaged"', b'"reason":"behind"')
    add(case, camera)


def by_a_forger(case: Case) -> None:
    camera = Camera(make_agency(case.camera.agency.name), case.camera.name)
    camera.origin, camera.boot = case.camera.origin, 0
    camera.new_session()
    add(case, camera.next_epoch(follows=case.camera.head()).shutdown())


def two_of_one_number(case: Case) -> None:
    add(case, second(case))
    add(case, second(case, why=Why.BEHIND), "M", "other")


def against_a_receipt(case: Case) -> None:
    """The whole old log is gone, and its receipt says otherwise."""
    case.files["first.receipt"] = case.camera.receipt([])
    add(case, second(case, follows=note.Checkpoint(case.camera.origin, LEAVES, bytes(32))))
    case.gone.update(case.names.keys() - {"N0", "N1", "N2"})


def _link(change: str, forge: Callable[[dict[str, Any]], object]) -> Row:
    return Row("epoch", change, IDENTITY, with_facts(forge), (Expect(EPOCH, "N0", 0),))


EPOCHS = [
    Row("epoch", "a second one after the whole first", CARD, followed(), (Expect(What.EPOCH, "N0", 0),)),
    Row("epoch", "the end of the log before it removed", CARD, followed("E2"),
        (Expect(GONE, None, 18, 19, text="the first leaf of epoch 2"),)),
    Row("epoch", "all of the log before it removed", CARD, followed("E0", "A0", "A1", "E1", "B0", "E2"),
        (Expect(GONE, None, 0, 19),)),
    Row("epoch", "all of it removed from a card, and its log/ kept", CARD, removed_whole(of_card=True),
        (Expect(GONE, None, 0, 6, text="of which no segment is given"),)),
    Row("epoch", "all of it removed from a station, and its receipt kept", CARD, removed_whole(of_card=False),
        (Expect(GONE, None, 0, 6, text="of which no segment is given"),)),
    Row("epoch", "one that names fewer leaves than were signed", IDENTITY,
        followed(follows=lambda case: case.camera.head(4)), (Expect(FORK, None, 4, 19),)),
    Row("epoch", "one that names another history", IDENTITY,
        followed(follows=lambda case: replace(case.camera.head(), root=bytes(32))), (Expect(FORK, None, 19),)),
    Row("epoch", "one that contradicts what was cosigned", IDENTITY, against_a_receipt,
        (Expect(EPOCH, None, 0, text="it names a head"), Expect(GONE, None, 0, 19))),
    Row("epoch", "a second one of the same number", IDENTITY, two_of_one_number,
        (Expect(FORK, ANY, 0, 1), Expect(FORK, ANY, 2, 4), Expect(FORK, ANY, 5, 6))),
    Row("epoch", "one by an agency of the same name", FORGER, by_a_forger, (Expect(What.UNTRUSTED_CHAIN, "N0"),)),
    Row("epoch", "what it follows edited", CARD, edited_on_the_card, (Expect(What.ALTERED_BYTES, "N0", 0),)),
    _link("signed without what it follows", lambda facts: facts.pop("epoch")),
    _link("signed with another reason", lambda facts: facts["epoch"].update(reason="because")),
    _link("signed as following another camera",
          lambda facts: facts["epoch"]["follows"].update(origin="bodycam.local/cam-0002/1")),
    _link("signed as following itself",
          lambda facts: facts["epoch"]["follows"].update(origin="bodycam.local/cam-0001/2")),
]  # fmt: skip

# -- the counter ---------------------------------------------------------------------------------------------------


def counted(*said: tuple[object, ...]) -> Callable[[], Case]:
    """A life of so many sessions, whose leaves say so of the hardware's counter."""

    def born() -> Case:
        camera = lives(*said)
        return Case(camera, keys=tuple(f"S{n}" for n in range(len(camera.segments))))

    return born


def _counted(change: str, takes: str, born: Callable[[], Case], *finds: Expect) -> Row:
    return Row("hardware counter", change, takes, nothing, finds, born)


COUNTERS = [
    _counted("starts that this log does not have", CARD, counted((7,), (9,)),
             Expect(What.COUNTER_JUMP, "S3", 7, sure=Sure.LIKELY, text="from 7 in leaf 0 to 9")),
    _counted("a recording that this log does not have", CARD, counted((7, 8), (10, 11)),
             Expect(What.COUNTER_JUMP, "S3", 7, sure=Sure.LIKELY)),
    _counted("one that goes back", SESSION, counted((7,), (6,)),
             Expect(What.COUNTER_BACK, "S3", 7, sure=Sure.LIKELY)),
    _counted("one that is not said any more", SESSION, counted((7,), (None,)), Expect(What.COUNTER_SILENT, "S3", 7)),
    _counted("one that is no number", SESSION, counted((7,), ("8",)), Expect(What.BAD_LEAF, "S3", 7)),
]  # fmt: skip

# -- a recording that was cut --------------------------------------------------------------------------------------


def silent() -> Case:
    """Power gone in mid-recording; the next session says nothing of it."""
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    camera.recording = None
    camera.new_session()
    camera.event()
    camera.shutdown()
    return Case(camera, keys=tuple(f"S{n}" for n in range(len(camera.segments))))


CUTS = [
    Row("leaf", "signed by a next session that is silent about a recording that was cut", SESSION, nothing,
        (Expect(What.NO_END, None, 3, text="does not say that it was cut"),), silent),
]  # fmt: skip

# -- a revoked camera ----------------------------------------------------------------------------------------------


def revoked(make: Callable[[Case], bytes], *gone: str) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.files["cam-0001.revocation"] = make(case)
        case.gone.update(gone)

    return change


def of_a_longer_log(case: Case) -> bytes:
    """That of the true camera: whoever has it wrote all of this anew."""
    camera = Camera(case.camera.agency, seed=3).new_session()
    while camera.frontier.size < 30:
        camera.event()
    return camera.revocation(30)


REVOCATIONS = [
    Row("revocation", "leaves signed after the camera was lost", IDENTITY,
        revoked(lambda case: case.camera.revocation(11)), (Expect(What.REVOKED, None, 11, 19),)),
    Row("revocation", "a log that it does not name", IDENTITY, revoked(lambda case: case.camera.revocation(None)),
        (Expect(What.REVOKED, None, 0, 19),)),
    Row("revocation", "leaves removed that it counts", CARD, revoked(lambda case: case.camera.revocation(20), "E2"),
        (Expect(GONE, None, 18, 19), Expect(What.REVOKED, None, 0, 17, text="no station has cosigned"))),
    Row("revocation", "all of the log written anew, with fewer leaves than it counts", IDENTITY,
        revoked(of_a_longer_log), (Expect(GONE, None, 20, 29), Expect(What.REVOKED, None, 0, 19))),
    Row("revocation", "edited", CARD, revoked(lambda case: flipped(case.camera.revocation(11), 90)),
        (Expect(What.BAD_REVOCATION, None),)),
    Row("revocation", "that of another camera", STATION,
        revoked(lambda case: case.camera.revocation(None, camera="cam-0002")), ()),
]  # fmt: skip

ROWS = [*EPOCHS, *COUNTERS, *CUTS, *REVOCATIONS]
