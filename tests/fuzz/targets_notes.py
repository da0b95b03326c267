"""Targets: what is signed: notes, certificates, receipts, purge notes."""

from __future__ import annotations

import base64
import contextlib
import random

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from agent.errors import EvidenceError, KeyTrustError
from agent.evidence.heads import check_receipt
from agent.evidence.revoked import check_revocation, revoked_heads
from agent.evidence.trust import Trust
from agent.formats import certs, note, purge, receipt, revocation
from tests.builders import Camera
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import CAMERA, CAMERA_KEY, ORIGIN, RECEIPT_KEY, fixed_agency, p256, session_key, sign, whole_camera
from tests.fuzz.mutate import havoc, number
from tests.fuzz.shapes import change_der, parse_der


def run_note(data: bytes) -> None:
    """One spelling for each note and checkpoint; each kind of signature is valid, invalid or not there."""
    try:
        parsed = note.parse(data)
    except EvidenceError:
        return
    demand(parsed.to_bytes() == data, "a note has two spellings")
    name = parsed.signatures[0].name
    ours = [(name, key.public_key()) for key in (session_key(1), session_key(0), RECEIPT_KEY)]
    demand(note.signer(parsed, ours) in ours, "another key than ours is said to have signed")
    for key in (session_key(0), RECEIPT_KEY):
        with contextlib.suppress(EvidenceError):
            note.verify_ed25519(parsed, name, key.public_key())
        with contextlib.suppress(EvidenceError):
            demand(note.verify_cosignature(parsed, name, key.public_key()) >= 0, "a time before 1970")
    with contextlib.suppress(EvidenceError):
        note.verify_ecdsa(parsed, name, CAMERA_KEY.public_key())
    with contextlib.suppress(EvidenceError):
        demand(note.parse_checkpoint(parsed.text).text() == parsed.text, "a checkpoint has two spellings")
    with contextlib.suppress(KeyTrustError):
        ((told, public),) = note.parse_vkeys("", parsed.text)
        spelled = note.vkey(told, note.ED25519, public)
        demand(spelled == parsed.text.strip(), "a verifier key has two spellings")
        demand(note.hash_of(parsed.text) == note.hash_of(spelled), "a verifier key has two hashes")


def mutate_note(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """The text changed and signed again; a signature changed within its base64."""
    text, _, tail = data.decode("utf-8", "replace").rpartition("\n\n")
    if rng.random() < 0.3 or not text:
        return havoc(data, rng, other)
    lines = tail.split("\n")
    if rng.random() < 0.5:
        at = rng.randrange(len(lines))
        lines[at] = _change_signature(lines[at], rng)
        return (text + "\n\n" + "\n".join(lines)).encode()
    changed = havoc(text.encode(), rng).decode("utf-8", "replace") + "\n"
    return resigned(changed, rng)


def _change_signature(line: str, rng: random.Random) -> str:
    mark, _, coded = line.rpartition(" ")
    try:
        value = base64.b64decode(coded, validate=True)
    except ValueError:
        return line
    with contextlib.suppress(ValueError):
        r, s = decode_dss_signature(value[4:])
        other = encode_dss_signature(r, rng.choice((note.P256_ORDER - s, note.P256_ORDER - s, note.P256_ORDER + s, 0)))
        return f"{mark} {note.b64(value[:4] + other)}"
    return f"{mark} {note.b64(value[:4] + havoc(value[4:], rng) if rng.random() < 0.7 else havoc(value, rng))}"


def resigned(text: str, rng: random.Random) -> bytes:
    """The text under signatures that fit, by some of the keys we hold."""
    origin = text.split("\n", 1)[0]
    name = rng.choice((origin, ORIGIN, "station.test")) or "x"
    der = CAMERA_KEY.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    made = [
        note.sign_ed25519(text, name, session_key(0)),
        note.ecdsa_signature(name, CAMERA_KEY.public_key(), der),
        note.cosign(text, name, RECEIPT_KEY, abs(number(rng)) % (1 << 64)),
        note.sign_ed25519(text, name, RECEIPT_KEY),
    ]
    chosen = rng.choice((made[:1], made[:2], made, made[2:], [rng.choice(made)] * rng.choice((1, 2, 17))))
    return note.Note(text, tuple(chosen)).to_bytes()


def seeds_note() -> dict[str, bytes]:
    made = whole_camera()
    text = note.Checkpoint(ORIGIN, 3, bytes(32)).text()
    cosigned = note.parse(made.checkpoint(3)).with_signatures([note.cosign(text, "station.test", RECEIPT_KEY, 5)])
    vkey = note.vkey("station.test", note.ED25519, RECEIPT_KEY.public_key()) + "\n"
    return {
        "checkpoint": sign(text, session_key(0)),
        "strong": sign(text, session_key(0), by_identity=True),
        "cosigned": cosigned.to_bytes(),
        "vkey": sign(vkey, session_key(0)),
    }


# -- certificates --------------------------------------------------------------------------------------------------


def run_certs(data: bytes) -> None:
    """A chain as a segment holds it, a receipt's certificates, a single DER one: KeyTrustError or a key for a role."""
    root = fixed_agency().root
    with contextlib.suppress(KeyTrustError):
        chain = certs.parse_pem(data)
        with contextlib.suppress(KeyTrustError):
            certs.read_session(chain)
        with contextlib.suppress(KeyTrustError):
            certs.check_receipt_key(chain, root)
        for role in (certs.IDENTITY, certs.CAMERA_TLS):
            with contextlib.suppress(KeyTrustError):
                certs.check_camera(chain, root, role)
        for found in chain[:1]:
            with contextlib.suppress(KeyTrustError):
                certs.check_root(found)
            demand(certs.der(certs.parse_der(certs.der(found))) == certs.der(found), "a certificate has two spellings")
        session = certs.check_session(chain, root)
        demand(certs.check_session(certs.parse_pem(certs.pem(chain)), root) == session, "a chain reads otherwise")
    with contextlib.suppress(KeyTrustError):
        certs.parse_der(data)
    with contextlib.suppress(KeyTrustError):
        for asked in certs.read_requests(data):
            demand(len(certs.fingerprint(asked.public)) == 64, "a request without a key")


def _issuer_keys() -> list[ec.EllipticCurvePrivateKey]:
    return [CAMERA_KEY, p256("agency issuing"), p256("agency root")]


def mutate_certs(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """One certificate changed inside, with right lengths, mostly signed again by the key that belongs there."""
    if BEGIN_REQUEST in data:
        return _change_request(data, rng)
    blocks = pem_blocks(data)
    if rng.random() < 0.15 or not blocks:
        return havoc(data, rng, other)
    match rng.randrange(8):
        case 0:
            rng.shuffle(blocks)
        case 1:
            blocks = (blocks + pem_blocks(other))[: rng.randrange(12)]
        case _:
            at = rng.randrange(len(blocks))
            blocks[at] = change_certificate(blocks[at], rng, pem_blocks(other), _issuer_keys()[min(at, 2)])
    return as_pem(blocks)


BEGIN_REQUEST, END_REQUEST = b"-----BEGIN CERTIFICATE REQUEST-----\n", b"-----END CERTIFICATE REQUEST-----\n"


def _change_request(data: bytes, rng: random.Random) -> bytes:
    try:
        der = base64.b64decode(data.split(BEGIN_REQUEST)[1].split(END_REQUEST)[0])
    except ValueError:
        return havoc(data, rng)
    changed = change_certificate(der, rng, [], CAMERA_KEY)
    made = BEGIN_REQUEST + base64.encodebytes(changed) + END_REQUEST
    return made * rng.choice((1, 1, 1, 2, 9)) if rng.random() < 0.9 else havoc(made, rng)


def change_certificate(
    der: bytes, rng: random.Random, others: list[bytes], issuer: ec.EllipticCurvePrivateKey
) -> bytes:
    top = parse_der(der)
    if not top or not top[0].inner or len(top[0].inner) != 3:
        return havoc(der, rng)
    tbs, algorithm, signature = top[0].inner
    taken = parse_der(rng.choice(others)) if others and rng.random() < 0.3 else None
    for _ in range(rng.choice((1, 1, 2))):
        change_der(tbs if rng.random() < 0.9 else top[0], rng, taken[0] if taken else None)
    if rng.random() < 0.8:
        signature.inner, signature.tag = None, 0x03
        signature.content = b"\0" + issuer.sign(tbs.to_bytes(), ec.ECDSA(hashes.SHA256()))
        top[0].inner = [tbs, algorithm, signature]
    return top[0].to_bytes()


def pem_blocks(data: bytes) -> list[bytes]:
    found = []
    for block in data.split(b"-----BEGIN CERTIFICATE-----\n")[1:20]:
        with contextlib.suppress(ValueError):
            found.append(base64.b64decode(block.split(b"-----END")[0]))
    return found


def as_pem(blocks: list[bytes]) -> bytes:
    return b"".join(
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(b) + b"-----END CERTIFICATE-----\n" for b in blocks
    )


def seeds_certs() -> dict[str, bytes]:
    a = fixed_agency()
    rsa_like = certs.pem([a.root, a.root, a.root])
    return {
        "chain": whole_camera().chain,
        "receipt": certs.pem([a.receipt_cert, a.issuing]),
        "camera": certs.pem([whole_camera().identity_cert, a.issuing]),
        "request": certs.request(CAMERA, certs.IDENTITY, CAMERA_KEY),
        "root": rsa_like,
        "root-alone": certs.pem([a.root]),
        "der": certs.der(a.issuing),
    }


# -- receipt -------------------------------------------------------------------------------------------------------


def run_receipt(data: bytes) -> None:
    """Signature, certificates, cosignature and form: refused, or in its one spelling."""
    run_revocation(data)
    run_purge(data)
    with contextlib.suppress(EvidenceError):
        text = note.parse(data).text
        found = receipt.parse(text)
        demand(found.text() == text, "a receipt has two spellings")
        demand(receipt.parse(found.text()) == found, "a receipt reads otherwise when written again")
    with contextlib.suppress(EvidenceError, KeyTrustError):
        checked = check_receipt(data, Trust(fixed_agency().root), "x.receipt")
        demand(note.parse(data).to_bytes() == data, "a signed receipt has two spellings")
        demand(checked.head.told.isprintable(), "what is told of a receipt can steer a terminal")


def run_revocation(data: bytes) -> None:
    with contextlib.suppress(EvidenceError):
        text = note.parse(data).text
        demand(revocation.parse(text).text() == text, "a revocation has two spellings")
    with contextlib.suppress(EvidenceError, KeyTrustError):
        found = check_revocation(data, Trust(fixed_agency().root))
        demand(found.reason.isprintable(), "the reason of a revocation can steer a terminal")
        revoked_heads([found])


def run_purge(data: bytes) -> None:
    with contextlib.suppress(EvidenceError):
        text = note.parse(data).text
        demand(purge.parse(text).text() == text, "a purge note has two spellings")
    with contextlib.suppress(EvidenceError, KeyTrustError):
        found = purge.check(data, fixed_agency().root)
        demand(0 < found.until_s <= found.purged_s, "a recording was purged before its end")


def mutate_receipt(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Lines, the checkpoint in its base64, the certificates in theirs; mostly signed again by the station."""
    if rng.random() < 0.2:
        return havoc(data, rng, other)
    text = data.decode("utf-8", "replace").rpartition("\n\n")[0] + "\n"
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    word, _, coded = lines[at].rpartition(" ")
    if word in ("checkpoint", "certificate"):
        lines[at] = f"{word} {_change_inside(word, coded, rng)}"
    elif word.startswith("segment ") and rng.random() < 0.2:
        lines[at:at] = [lines[at]] * rng.choice((1, 10, 255, 256))
    elif lines[at] and rng.random() < 0.6:
        lines[at] = _change_word(lines[at], rng, rng.choice(lines))
    else:
        lines = havoc("\n".join(lines).encode(), rng).decode("utf-8", "replace").split("\n")
    text = "\n".join(lines)
    if rng.random() < 0.15:
        return mutate_note(
            note.Note(text, (note.sign_ed25519(text, "station.test", RECEIPT_KEY),)).to_bytes(), rng, b""
        )
    return note.Note(text, (note.sign_ed25519(text, "station.test", RECEIPT_KEY),)).to_bytes()


def _change_word(line: str, rng: random.Random, other: str) -> str:
    """One word another, gone, or more: a line of a segment may say which leaves it holds, and answer a challenge."""
    words = line.split(" ")
    at = rng.randrange(len(words))
    match rng.randrange(6):
        case 0:
            words[at] = rng.choice(other.split(" "))
        case 1:
            words[at] = str(abs(number(rng, int(words[at]) if words[at].isdecimal() else 0)))
        case 2:
            words[at] = havoc(words[at].encode(), rng).decode("utf-8", "replace")
        case 3:
            words += rng.choice((["0f" * 16], ["0", "1"], ["1", str(abs(number(rng)))], ["0f" * 16, "2", "3"]))
        case 4:
            del words[at]
        case _:
            words[0] = rng.choice(("segment", "kept", "purged", "until", "log", "reason"))
    return " ".join(words)


def _change_inside(word: str, coded: str, rng: random.Random) -> str:
    try:
        inside = base64.b64decode(coded)
    except ValueError:
        return coded
    if word == "checkpoint":
        changed = mutate_note(inside, rng, b"") if rng.random() < 0.4 else _cosigned_again(inside, rng)
        return note.b64(changed)
    return note.b64(change_certificate(inside, rng, [], p256("agency issuing")))


def _cosigned_again(inside: bytes, rng: random.Random) -> bytes:
    text = (
        havoc(inside.decode("utf-8", "replace").rpartition("\n\n")[0].encode(), rng).decode("utf-8", "replace") + "\n"
    )
    text = rng.choice((text, note.Checkpoint(ORIGIN, abs(number(rng)), bytes(32)).text()))
    unix_s = rng.choice((0, 1, 1 << 31, 253402300800, (1 << 63) - 1, (1 << 64) - 1, abs(number(rng)) % (1 << 64)))
    origin = text.split("\n", 1)[0] or "x"
    signatures = (
        note.sign_ed25519(text, origin, session_key(0)),
        note.cosign(text, "station.test", RECEIPT_KEY, unix_s),
    )
    return note.Note(text, signatures).to_bytes()


def revocation_of(made: Camera, size: int = 2) -> bytes:
    """The station trusts the first leaves of this log alone."""
    agency = fixed_agency()
    logs = (revocation.Counted(made.origin, size, made.roots[size]),)
    chain = (certs.der(agency.receipt_cert), certs.der(agency.issuing))
    text = revocation.Revocation("station.test", made.name, 1_772_000_000, "it was stolen", logs, chain).text()
    return note.Note(text, (note.sign_ed25519(text, "station.test", RECEIPT_KEY),)).to_bytes()


def purge_of(made: Camera, count: int = 2) -> bytes:
    """The station deleted the first segments of the recording."""
    agency, until_s = fixed_agency(), 1_780_000_000
    records = [segment.record() for segment in made.segments if segment.name.startswith("r")][:count]
    gone = tuple(purge.Gone(r.sha256, r.size, r.segment, r.first, r.entries) for r in records)
    chain = (certs.der(agency.receipt_cert), certs.der(agency.issuing))
    names = "station.test", made.origin, made.name, records[0].segment[:20]
    text = purge.Purge(*names, until_s, until_s + 5, gone, chain).text()
    return note.Note(text, (note.sign_ed25519(text, "station.test", RECEIPT_KEY),)).to_bytes()


def seeds_receipt() -> dict[str, bytes]:
    made = whole_camera()
    return {"none": made.receipt([]), "all": made.receipt(made.segments), "short": made.receipt([], size=2),
            "revocation": revocation_of(made), "purge": purge_of(made)}  # fmt: skip


TARGETS = (
    Target("note", run_note, mutate_note, seeds_note, share=140),
    Target("certs", run_certs, mutate_certs, seeds_certs, share=120),
    Target("receipt", run_receipt, mutate_receipt, seeds_receipt, share=100),
)
