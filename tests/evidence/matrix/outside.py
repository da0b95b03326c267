"""Rows: what others say of a log. Receipts and later heads; and leaves that speak of segments they should not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.evidence.findings import Sure, What
from agent.formats import certs, note, receipt
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from tests.builders import T0, Agency, Camera, agency, make_agency, replaced
from tests.evidence.matrix.case import (
    CARD,
    FELLOW,
    FORGER,
    LEAVES,
    SESSION,
    Case,
    Expect,
    Row,
    life,
)
from tests.evidence.matrix.places import GONE, other_history

STATION = "the station's key"
NAME = "a.receipt"
BAD_RECEIPT, BAD_HEAD = What.BAD_RECEIPT, What.BAD_HEAD


def receipted(case: Case, size: int = LEAVES) -> bytes:
    """The station's receipt of all that the log of `size` leaves holds."""
    return case.camera.receipt([s for s in case.camera.segments if s.header.first < size], size)


def beside(make: Callable[[Case], bytes]) -> Callable[[Case], None]:
    """A receipt in the directory."""
    return lambda case: case.files.update({NAME: make(case)})


def asked(make: Callable[[Case], bytes], *gone: str) -> Callable[[Case], None]:
    """A head that is named."""

    def change(case: Case) -> None:
        case.head = make(case)
        case.gone.update(gone)

    return change


def posing_as_spool(*gone: str) -> Callable[[Case], None]:
    """A card's spool may lack what a receipt names; this is none, for nothing lies in its directories."""

    def change(case: Case) -> None:
        case.files |= {NAME: receipted(case), "sealed/.a.tmp": b"", "delivered/.a.tmp": b""}
        case.gone.update(gone)

    return change


def edited(old: bytes, new: bytes) -> Callable[[Case], bytes]:
    def make(case: Case) -> bytes:
        data = receipted(case)
        assert old in data
        return data.replace(old, new, 1)

    return make


def by(station: Callable[[Agency], Agency]) -> Callable[[Case], bytes]:
    """All of it again, by what this makes of the agency."""

    def make(case: Case) -> bytes:
        kept = case.camera.agency
        case.camera.agency = station(kept)
        try:
            return receipted(case)
        finally:
            case.camera.agency = kept

    return make


def uncertified(kept: Agency) -> Agency:
    return replace(kept, receipt_key=Ed25519PrivateKey.generate())


def of_another_role(kept: Agency) -> Agency:
    key = Ed25519PrivateKey.generate()
    cert = certs.issue(
        name=kept.station, role=certs.STATION_TLS, public=key.public_key(), issuer=kept.issuing,
        issuer_key=kept.issuing_key, not_before=T0,
    )  # fmt: skip
    return replace(kept, receipt_key=key, receipt_cert=cert)


def of_another_agency(kept: Agency) -> Agency:
    return make_agency(kept.name)


def as_another_station(kept: Agency) -> Agency:
    return replace(kept, station="station.else")


def of_another_camera(case: Case) -> bytes:
    return receipted(life(name="cam-0002", seed=2))


def uncosigned(case: Case) -> bytes:
    """Signed anew by the station's key, over a checkpoint that it never cosigned."""
    a = case.camera.agency
    told = receipt.parse(note.parse(receipted(case)).text)
    bare = replace(told, checkpoint=case.camera.checkpoint(LEAVES)).text()
    return note.Note(bare, (note.sign_ed25519(bare, a.station, a.receipt_key),)).to_bytes()


def head_of_other_history(case: Case) -> bytes:
    """A head that the camera signed for a log with another A1."""
    return other_history(case).entries[-1].note


def head_by_another_camera(case: Case) -> bytes:
    other = Camera(agency(), "cam-0002", seed=3).new_session()
    return other.sign(note.Checkpoint(case.camera.origin, LEAVES, case.camera.roots[LEAVES]).text())


def head_by_a_stranger(case: Case) -> bytes:
    other = Camera(make_agency(agency().name), seed=3).new_session()
    return other.sign(note.Checkpoint(case.camera.origin, LEAVES, case.camera.roots[LEAVES]).text())


def _receipt(change: str, takes: str, make: Callable[[Case], bytes], text: str = "") -> Row:
    return Row("receipt", change, takes, beside(make), (Expect(BAD_RECEIPT, None, text=text), TAIL))


TAIL = Expect(What.TAIL_UNPROVEN, None, 0, LEAVES - 1, sure=Sure.OPEN)

RECEIPTS = [
    _receipt("its time edited", CARD, edited(b"issued ", b"issued 9")),
    _receipt("the name of a segment edited", CARD, edited(b" disk:e0000000000", b" disk:e0000000009")),
    _receipt("its certificate left out", CARD, edited(b"certificate ", b"certificatf ")),
    _receipt("by a key that nobody certified", CARD, by(uncertified)),
    _receipt("by a key of another role", STATION, by(of_another_role)),
    _receipt("by the station of another agency", FORGER, by(of_another_agency)),
    _receipt("in the name of another station", STATION, by(as_another_station), "its certificate of station.test"),
    _receipt("of a checkpoint that is not cosigned", STATION, uncosigned),
    Row("receipt", "an older one in the place of the newest", CARD, asked(lambda case: receipted(case, 11)),
        (Expect(What.TAIL_UNPROVEN, None, 11, LEAVES - 1, sure=Sure.OPEN),)),
    Row("receipt", "an older one in the place of the newest, and all that came after it removed", CARD,
        asked(lambda case: receipted(case, 11), "E1", "B0", "E2"), ()),
    Row("receipt", "that of another camera", FELLOW, asked(of_another_camera), (Expect(BAD_HEAD, None), TAIL)),
    Row("receipt", "the newest kept, a segment removed that it names", CARD, asked(receipted, "E2"),
        (Expect(GONE, "E2", 18, 19),)),
    Row("receipt", "beside a segment that was removed, and the directories of a spool put there", CARD,
        posing_as_spool("A0"), (Expect(GONE, "A0", 2, 5, text="this segment is missing"),)),
    Row("later head", "of another history of the camera", SESSION, asked(head_of_other_history),
        (Expect(What.FORK, None, 10, text="another history"), TAIL)),
    Row("later head", "signed by another camera", FELLOW, asked(head_by_another_camera),
        (Expect(BAD_HEAD, None, text="not signed by the camera"), TAIL)),
    Row("later head", "signed by an agency of the same name", FORGER, asked(head_by_a_stranger),
        (Expect(BAD_HEAD, None, text="not signed by the camera"), TAIL)),
    Row("later head", "of the log of another camera", FELLOW,
        asked(lambda case: life(name="cam-0002", seed=2).camera.checkpoint(LEAVES)), (Expect(BAD_HEAD, None), TAIL)),
]  # fmt: skip


def deletion_told(case_name: str) -> Callable[[], Case]:
    """The mark is a deletion leaf instead, of a segment that no receipt covers."""

    def born() -> Case:
        names = life().names

        def forge(leaf: leaves.Leaf) -> leaves.Leaf:
            if not isinstance(leaf, leaves.EventLeaf) or leaf.common.index != 12:
                return leaf
            told = {
                "segments": [{"segment": names[case_name], "sha256": "ab" * 32, "receipt": "cd" * 32}],
                "reason": "age",
            }
            return replaced(leaf, kind=Kind.DELETION, facts=told)

        return life(forge)

    return born


def removed(key: str) -> Callable[[Case], None]:
    return lambda case: case.gone.add(key)


DELETIONS = [
    Row("leaf", "signed as a deletion, for which there is no receipt, and the segment removed", SESSION, removed("A0"),
        (Expect(GONE, "A0", 2, 5, text="this segment is missing"),), deletion_told("A0")),
]  # fmt: skip

ROWS = [*RECEIPTS, *DELETIONS]
