"""Rows: checkpoints and certificates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.evidence.findings import Sure, What
from agent.formats import certs, note
from tests.builders import BOOTS, T0, Camera, agency, make_agency
from tests.evidence.matrix.case import (
    CARD,
    FELLOW,
    FORGER,
    IDENTITY,
    LEAVES,
    SESSION,
    Case,
    Expect,
    Row,
    flipped,
    life,
    live,
    nothing,
    resigned,
)

LEAF, PART = 4, 1
BYTES, BAD = What.ALTERED_BYTES, What.BAD_SIGNATURE


# -- checkpoints ---------------------------------------------------------------------------------------------------


def replaced_by(make: Callable[[Case], bytes], index: int = LEAF) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        data = make(case)
        assert data != case.entry(index).note
        case.entry(index).note = data

    return change


def text_of(case: Case, size: int = LEAF + 1) -> str:
    return note.Checkpoint(case.camera.origin, size, case.camera.roots[size]).text()


def text_with(old: bytes, new: bytes) -> Callable[[Case], bytes]:
    return lambda case: case.entry(LEAF).note.replace(old, new, 1)


def bent(case: Case) -> bytes:
    (signature,) = note.parse(case.entry(LEAF).note).signatures
    wrong = note.Signature(signature.name, signature.key_id, flipped(signature.value, 5))
    return resigned(case.entry(LEAF), wrong)


def by_another_session(case: Case) -> bytes:
    return Camera(agency(), seed=9, identity_key=case.camera.identity_key).new_session().sign(text_of(case))


def by_another_camera(case: Case) -> bytes:
    other = Camera(agency(), "cam-0002", seed=9).new_session()
    other.origin = case.camera.origin
    return other.sign(text_of(case))


def of_another_log(case: Case) -> bytes:
    return life(name="cam-0002", seed=2).entry(LEAF).note


def with_stranger(case: Case) -> bytes:
    parsed = note.parse(case.entry(LEAF).note)
    return parsed.with_signatures([note.sign_ed25519(parsed.text, "stranger", Ed25519PrivateKey.generate())]).to_bytes()


def without_identity(*indexes: int) -> Callable[[Case], None]:
    """These leaves are as the session's key alone signs them."""

    def change(case: Case) -> None:
        for entry in map(case.entry, indexes):
            own, _ = note.parse(entry.note).signatures
            entry.note = resigned(entry, own)

    return change


def identity_of_another_leaf(case: Case) -> bytes:
    return resigned(
        case.entry(1), note.parse(case.entry(1).note).signatures[0], note.parse(case.entry(10).note).signatures[1]
    )


def identity_of_another_camera(case: Case) -> bytes:
    text = note.parse(case.entry(1).note).text
    key = ec.generate_private_key(ec.SECP256R1())
    signature = note.ecdsa_signature(
        case.camera.origin, key.public_key(), key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    )
    return resigned(case.entry(1), note.parse(case.entry(1).note).signatures[0], signature)


def other_root_signed(case: Case) -> bytes:
    return case.camera.sign(note.Checkpoint(case.camera.origin, LEAF + 1, bytes(32)).text())


def _note(change: str, takes: str, make: Callable[[Case], bytes], what: What, text: str) -> Row:
    return Row("checkpoint", change, takes, replaced_by(make), (Expect(what, "A0", LEAF, part=PART, text=text),))


def _strong(change: str, takes: str, make: Callable[[Case], bytes], what: What, text: str) -> Row:
    return Row("checkpoint", change, takes, replaced_by(make, 1), (Expect(what, "E0", 1, text=text),))


NOTES = [
    _note("its text edited", CARD, text_with(b"bodycam", b"bodycan"), BYTES, "checkpoint"),
    _note("its size edited", CARD, text_with(b"\n5\n", b"\n6\n"), BYTES, "checkpoint"),
    _note("its signature bent", CARD, bent, BAD, "not valid"),
    Row("checkpoint", "that of an older leaf", CARD, replaced_by(lambda c: c.entry(3).note),
        (Expect(What.REPEATED_ENTRY, "A0", 3, text="0000000004.note"),
         Expect(What.MISSING_PARTS, "A0", LEAF, part=PART, text="its checkpoint (.note) is not"))),
    _note("that of a later leaf", CARD, lambda c: c.entry(9).note, What.BAD_ROOT, "of 10 leaves"),
    _note("that of another camera's log", FELLOW, of_another_log, BAD, "expected key"),
    _note("signed by another session of the camera", IDENTITY, by_another_session, BAD, "expected key"),
    _note("signed by another camera", FELLOW, by_another_camera, BAD, "expected key"),
    Row("checkpoint", "another root, signed", SESSION, replaced_by(other_root_signed),
        (Expect(BYTES, "A0", LEAF, text="is not the leaf that was signed"),)),
    _note("a signature more", CARD, with_stranger, BAD, "do not belong"),
    _note("nothing left of it", CARD, lambda _: b"", BYTES, ""),
    _note("spelled in another way", CARD, lambda c: c.entry(LEAF).note + b"\n", BYTES, ""),
    Row("checkpoint", "the identity's signature taken off", CARD, without_identity(1),
        (Expect(What.SEAL_MISMATCH, "E0", 0, 1, text="seal leaf 2"),
         Expect(What.IDENTITY_SILENT, "E0", 1, sure=Sure.LIKELY, text="start leaf"))),
    Row("checkpoint", "the identity's signature taken off the last leaf", CARD, without_identity(LEAVES - 1),
        (Expect(What.MISSING_SIGNATURE, "E2", LEAVES - 1, sure=Sure.OPEN, text="shutdown leaf"),)),
    Row("checkpoint", "those from a recording on signed by the session alone", SESSION, without_identity(13, 17, 19),
        (Expect(What.MISSING_SIGNATURE, "E1", 13, sure=Sure.OPEN, text="start leaf"),
         Expect(What.MISSING_SIGNATURE, "B0", 17, sure=Sure.OPEN, text="stop leaf"),
         Expect(What.MISSING_SIGNATURE, "E2", 19, sure=Sure.OPEN, text="shutdown leaf"))),
    _strong("the identity's signature of another leaf", CARD, identity_of_another_leaf, BAD, "ECDSA"),
    _strong("the identity's signature by another key", CARD, identity_of_another_camera, BAD, ""),
]  # fmt: skip


# -- certificates --------------------------------------------------------------------------------------------------

SESSION_AT, IDENTITY_AT, ISSUING_AT = range(3)
NAMES = {SESSION_AT: "session", IDENTITY_AT: "identity", ISSUING_AT: "issuing"}


def chain_with(at: int, make: Callable[[Case], x509.Certificate]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        chain = certs.parse_pem(case.segment("A0").chain)
        chain[at] = make(case)
        case.segment("A0").chain = certs.pem(chain)

    return change


def from_chain(at: int, camera: Callable[[Case], Camera]) -> Callable[[Case], None]:
    return chain_with(at, lambda case: certs.parse_pem(camera(case).chain)[at])


def later_session(case: Case) -> Camera:
    return Camera(agency(), seed=9, identity_key=case.camera.identity_key).new_session()


def fellow(_: Case) -> Camera:
    return Camera(agency(), "cam-0002", seed=9).new_session()


def stranger(_: Case) -> Camera:
    return Camera(make_agency(agency().name), seed=9).new_session()


def expired(case: Case) -> x509.Certificate:
    """The session's certificate again, by its issuer, over since yesterday."""
    chain = certs.parse_pem(case.segment("A0").chain)
    old = chain[0]
    builder = x509.CertificateBuilder(
        chain[1].subject, old.subject, old.public_key(), old.serial_number, T0, T0 + timedelta(days=1), []
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(case.camera.identity_key, hashes.SHA256())


def of_role(case: Case, role: str) -> x509.Certificate:
    return certs.issue(
        name=f"cam-0001 {BOOTS[0]}", role=role, public=case.camera.session_key.public_key(),
        issuer=case.camera.identity_cert, issuer_key=case.camera.identity_key, not_before=T0,
    )  # fmt: skip


def reordered(case: Case) -> None:
    chain = certs.parse_pem(case.segment("A0").chain)
    case.segment("A0").chain = certs.pem([chain[0], chain[2], chain[1]])


def chain_of(camera: Callable[[Case], Camera]) -> Callable[[Case], None]:
    def change(case: Case) -> None:
        case.segment("A0").chain = camera(case).chain

    return change


class WrongRole(Camera):
    """Certifies its sessions under another role, and names that chain in its leaves."""

    def new_session(self, same_boot: bool = False, counter: object = None) -> Camera:
        issue = certs.issue

        def other_role(**given: object) -> x509.Certificate:
            given["role"] = certs.CAMERA_TLS
            return issue(**given)

        certs.issue = other_role
        try:
            return super().new_session(same_boot, counter)
        finally:
            certs.issue = issue


def all_by(make: Callable[[], Camera]) -> Callable[[], Case]:
    return lambda: Case(live(make()))


def _forgers() -> Camera:
    return Camera(make_agency(agency().name))


def _wrong_role() -> Camera:
    return WrongRole(agency())


def _fellow_in_its_name() -> Camera:
    """cam-0002 writes a whole log under the name of cam-0001."""
    camera = Camera(agency(), "cam-0002", seed=2)
    camera.origin = "bodycam.local/cam-0001/1"
    return camera


def _chain(change: str, takes: str, apply: Callable[[Case], None]) -> Row:
    return Row("certificate", change, takes, apply, (Expect(BYTES, "A0", text="chain.pem"),))


UNTRUSTED = tuple(Expect(What.UNTRUSTED_CHAIN, key) for key in ("E0", "A0", "A1", "E1", "B0", "E2"))

CERTIFICATES = [
    *(_chain(f"the {NAMES[at]} certificate of another session" if at == SESSION_AT else
             f"the {NAMES[at]} certificate of another camera", FELLOW,
             from_chain(at, later_session if at == SESSION_AT else fellow)) for at in (SESSION_AT, IDENTITY_AT)),
    *(_chain(f"the {NAMES[at]} certificate of another agency", FORGER, from_chain(at, stranger)) for at in NAMES),
    _chain("the session certificate replaced by one that is over", IDENTITY, chain_with(SESSION_AT, expired)),
    _chain("the session certificate replaced by one of another role", IDENTITY,
           chain_with(SESSION_AT, lambda case: of_role(case, certs.CAMERA_TLS))),
    _chain("the session certificate replaced by a receipt key's", IDENTITY,
           chain_with(SESSION_AT, lambda case: case.camera.agency.receipt_cert)),
    _chain("the chain of another session", IDENTITY, chain_of(later_session)),
    _chain("the chain of another camera", FELLOW, chain_of(fellow)),
    _chain("the chain of another agency", FORGER, chain_of(stranger)),
    _chain("certificates in another order", CARD, reordered),
    Row("certificate", "everything by an agency of the same name", FORGER, nothing, UNTRUSTED, all_by(_forgers)),
    Row("certificate", "sessions of another role", IDENTITY, nothing, UNTRUSTED, all_by(_wrong_role)),
]  # fmt: skip

ROWS = [*NOTES, *CERTIFICATES]
