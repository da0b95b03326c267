"""docs/evidence-example.md: every value on it is worked out here from the files beside this one, with hashes and
ciphers alone, step by step as docs/evidence-format.md says; where a stored byte is another, this fails.

python -m tests.vectors.evidence.page > docs/evidence-example.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

PLACE = Path(__file__).parent
ORIGIN = "bodycam.local/cam-0001/1"
SEGMENTS = sorted(PLACE.glob("*.tar"), key=lambda path: path.name[1:])
KEYS = json.loads((PLACE / "keys.json").read_text("ascii"))
SECRETS = {name: bytes.fromhex(value) for name, value in KEYS["secrets"].items()}
RAW, PUBLIC, DER = serialization.Encoding.Raw, serialization.PublicFormat.Raw, serialization.Encoding.DER


def sha(*pieces: bytes) -> bytes:
    return hashlib.sha256(b"".join(pieces)).digest()


def b64(data: bytes, padded: bool = True) -> str:
    text = base64.b64encode(data).decode("ascii")
    return text if padded else text.rstrip("=")


def node(left: bytes, right: bytes) -> bytes:
    return sha(b"\x01", left, right)


def root(leaf_hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    split = 1 << (len(leaf_hashes) - 1).bit_length() - 1
    return node(root(leaf_hashes[:split]), root(leaf_hashes[split:]))


def hkdf(secret: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def members(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """(name, offset of the header, data)."""
    data, at = path.read_bytes(), 0
    while data[at : at + 512] != bytes(512):
        size = int(data[at + 124 : at + 135], 8)
        yield data[at : at + 100].rstrip(b"\0").decode("ascii"), at, data[at + 512 : at + 512 + size]
        at += 512 + size + -size % 512
    assert data[at:] == bytes(1024)


FILES = {name: data for path in SEGMENTS[::-1] for name, _, data in members(path)}
LEAVES = [FILES[f"{n:010d}.json"] for n in range(7)]
HASHES = [sha(b"\x00", leaf) for leaf in LEAVES]


def dump(data: bytes, start: int = 0) -> str:
    """Offset, sixteen bytes in hex, and as text."""
    lines = []
    for at in range(0, len(data), 16):
        piece = data[at : at + 16]
        text = "".join(chr(b) if 0x20 <= b < 0x7F else "." for b in piece)
        lines.append(f"{start + at:06x}  {piece.hex(' '):<47}  {text}".rstrip())
    return "\n".join(lines)


def block(text: str) -> str:
    return f"```\n{text.rstrip(chr(10))}\n```\n"


def keys() -> str:
    session = Ed25519PrivateKey.from_private_bytes(SECRETS["session key"]).public_key()
    receipt = Ed25519PrivateKey.from_private_bytes(SECRETS["receipt key"]).public_key()
    age = X25519PrivateKey.from_private_bytes(SECRETS["age identity"]).public_key()
    rows = [
        ("session key (Ed25519)", SECRETS["session key"], session.public_bytes(RAW, PUBLIC)),
        ("receipt key (Ed25519)", SECRETS["receipt key"], receipt.public_bytes(RAW, PUBLIC)),
        ("age identity (X25519)", SECRETS["age identity"], age.public_bytes(RAW, PUBLIC)),
    ]
    return "".join(f"| {name} | `{secret.hex()}` | `{public.hex()}` |\n" for name, secret, public in rows)


def layout() -> str:
    rows = [
        f"{path.name}\n" + "".join(f"  {at:6d}  {len(data):5d}  {name}\n" for name, at, data in members(path))
        for path in SEGMENTS
    ]
    return block("".join(rows))


def body() -> tuple[str, bytes]:
    """The start event, opened: what was said, and the age file step by step."""
    sealed, leaf = FILES["0000000001.age"], json.loads(LEAVES[1])
    told = KEYS["sealed files"][1]
    file_key, ephemeral, nonce = (
        bytes.fromhex(told[name]) for name in ("file key", "ephemeral secret", "payload nonce")
    )
    secret = X25519PrivateKey.from_private_bytes(ephemeral)
    recipient = X25519PrivateKey.from_private_bytes(SECRETS["age identity"]).public_key().public_bytes(RAW, PUBLIC)
    share = secret.public_key().public_bytes(RAW, PUBLIC)
    shared = secret.exchange(X25519PublicKey.from_public_bytes(recipient))
    wrap = hkdf(shared, share + recipient, b"age-encryption.org/v1/X25519")
    stanza = ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None)
    head = f"age-encryption.org/v1\n-> X25519 {b64(share, False)}\n{b64(stanza, False)}\n---".encode("ascii")
    mac_key = hkdf(file_key, None, b"header")
    mac = hmac.digest(mac_key, head, "sha256")
    header = head + b" " + b64(mac, False).encode("ascii") + b"\n"
    payload_key = hkdf(file_key, nonce, b"payload")
    last = bytes(11) + b"\x01"
    plain = ChaCha20Poly1305(payload_key).decrypt(last, sealed[len(header) + 16 :], None)
    assert sealed == header + nonce + ChaCha20Poly1305(payload_key).encrypt(last, plain, None)
    assert leaf["sealed"] == {
        "sha256": sha(sealed).hex(),
        "header": {"size": len(header), "sha256": sha(header).hex()},
        "payload": {"size": len(sealed) - len(header), "sha256": sha(sealed[len(header) :]).hex()},
    }
    assert leaf["body"] == sha(plain).hex() and len(plain) % 256 == 0
    steps = [
        ("file key (16 random bytes)", file_key), ("ephemeral secret (32 random bytes)", ephemeral),
        ("recipient", recipient), ("share = X25519(ephemeral, 9)", share),
        ("shared = X25519(ephemeral, recipient)", shared),
        ('wrap key = HKDF(shared, salt share || recipient, "age-encryption.org/v1/X25519")', wrap),
        ("stanza body = ChaCha20-Poly1305(wrap key, nonce 0, file key)", stanza),
        ('MAC key = HKDF(file key, no salt, "header")', mac_key),
        ("MAC = HMAC-SHA-256(MAC key, the header up to and with ---)", mac),
        ("payload nonce (16 random bytes)", nonce),
        ('payload key = HKDF(file key, salt payload nonce, "payload")', payload_key),
        ("nonce of the one chunk: counter 0, and 1 for the last", last),
    ]  # fmt: skip
    text = "".join(f"{name}\n    {value.hex()}\n" for name, value in steps)
    parts = [
        "The salt, then the JSON, then spaces up to a multiple of 256 bytes:\n\n", block(dump(plain)),
        f"\nIts SHA-256 is `body` in leaf 1: `{sha(plain).hex()}`.\n\n",
        "The age header, and how each value in it comes about:\n\n", block(header.decode("ascii")), "\n", block(text),
        f"\nThe payload: nonce, then the one chunk with its tag ({len(sealed) - len(header)} bytes):\n\n",
        block(dump(sealed[len(header) :], len(header))),
    ]  # fmt: skip
    return "".join(parts), header


def tree() -> str:
    lines = [f"leaf hash {n} = SHA-256(00 || leaf {n}) = {value.hex()}" for n, value in enumerate(HASHES)]
    h01, h23, h45 = (node(HASHES[n], HASHES[n + 1]) for n in (0, 2, 4))
    h0123 = node(h01, h23)
    lines += [
        f"node 01   = SHA-256(01 || hash 0 || hash 1)   = {h01.hex()}",
        f"node 23   = SHA-256(01 || hash 2 || hash 3)   = {h23.hex()}",
        f"node 0123 = SHA-256(01 || node 01 || node 23) = {h0123.hex()}",
        f"node 45   = SHA-256(01 || hash 4 || hash 5)   = {h45.hex()}",
    ]
    roots = {2: h01, 4: h0123, 5: node(h0123, HASHES[4]), 7: node(h0123, node(h45, HASHES[6]))}
    for size, value in roots.items():
        assert value == root(HASHES[:size])
    lines += [f"root of {size} leaves = {value.hex()}" for size, value in roots.items()]
    for path in SEGMENTS:
        frontier = json.loads(next(data for name, _, data in members(path) if name == "segment.json"))
        if frontier["first"]:
            ends = {2: [h01], 5: [h0123, HASHES[4]]}[frontier["first"]]
            assert frontier["frontier"] == [b64(value) for value in ends]
            lines.append(f"frontier of {path.stem}: " + " ".join(frontier["frontier"]))
    return block("\n".join(lines))


def note_of(index: int) -> tuple[str, list[tuple[str, bytes]]]:
    text, _, tail = FILES[f"{index:010d}.note"].decode("utf-8").partition("\n\n")
    lines = [line.split(" ") for line in tail.splitlines()]
    return text + "\n", [(name, base64.b64decode(value)) for _, name, value in lines]


def checkpoint() -> str:
    text, ((name, session), (_, identity)) = note_of(1)
    assert text == f"{ORIGIN}\n2\n{b64(root(HASHES[:2]))}\n" and name == ORIGIN
    key = Ed25519PrivateKey.from_private_bytes(SECRETS["session key"])
    public = key.public_key().public_bytes(RAW, PUBLIC)
    key_id = sha(ORIGIN.encode("ascii"), b"\n\x01", public)[:4]
    assert session == key_id + key.sign(text.encode("ascii"))
    chain = x509.load_pem_x509_certificates(FILES["chain.pem"])
    owner = chain[1].public_key()
    assert isinstance(owner, ec.EllipticCurvePublicKey)
    der = owner.public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert identity[:4] == sha(der)[:4]
    owner.verify(identity[4:], text.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    told = (
        f"session:  key id = SHA-256(origin || 0a 01 || key)[:4] = {key_id.hex()}\n"
        f"          Ed25519 signature over the text = {session[4:].hex()}\n"
        f"identity: key id = SHA-256(SubjectPublicKeyInfo)[:4] = {identity[:4].hex()}\n"
        f"          ECDSA signature (DER) over SHA-256 of the text = {identity[4:].hex()}\n"
    )
    return block(FILES["0000000001.note"].decode("utf-8")) + "\n" + block(told)


def certificates() -> str:
    chain = x509.load_pem_x509_certificates(FILES["chain.pem"])
    top = x509.load_pem_x509_certificate((PLACE / "root.pem").read_bytes())
    for cert, issuer in zip(chain, [*chain[1:], top], strict=True):
        cert.verify_directly_issued_by(issuer)
    assert json.loads(LEAVES[0])["facts"]["session_cert"] == sha(chain[0].public_bytes(DER)).hex()
    assert all(json.loads(leaf)["chain"] == sha(FILES["chain.pem"]).hex() for leaf in LEAVES)
    rows = "".join(f"{cert.subject.rfc4514_string()}\n" for cert in [*chain, top])
    return (
        block(rows)
        + f"\nSHA-256 of `chain.pem`, `chain` in every leaf: `{sha(FILES['chain.pem']).hex()}`. SHA-256 of the session "
        f"certificate's DER, `session_cert` in leaf 0:\n`{sha(chain[0].public_bytes(DER)).hex()}`.\n"
    )


def possession() -> str:
    """Each segment's answer, and the line of the receipt that gives it."""
    told = json.loads((PLACE.parent / "possession" / "vectors.json").read_text("ascii"))
    prefix, by_file = bytes.fromhex(told["prefix"]), {t["file"]: t for t in told["tests"] if "file" in t}
    assert prefix == b"bodycam-possession/v1\n" and len(prefix) == 22
    text, _, tail = (PLACE / "answered.receipt").read_text("utf-8").partition("\n\n")
    plain = (PLACE / "example.receipt").read_text("utf-8").partition("\n\n")[0]
    rows, lines = [], {line.split(" ")[3]: line for line in text.splitlines() if line.startswith("segment ")}
    for path in SEGMENTS:
        test = by_file[f"../evidence/{path.name}"]
        whole = sha(prefix, bytes.fromhex(test["challenge"]), path.read_bytes())
        assert whole[:16].hex() == test["answer"] and lines[path.stem].endswith(f" 0 {test['answer']}")
        text = text.replace(f" 0 {test['answer']}\n", " 0\n")
        rows.append(
            f"{path.stem}\n    challenge = {test['challenge']}\n    SHA-256   = {whole.hex()}\n"
            f"    answer    = {test['answer']}\n"
        )
    assert text == plain and len(rows) == len(lines) == len(by_file)
    answered = (PLACE / "answered.receipt").read_bytes().partition(b"\n\n")[0] + b"\n"
    key = Ed25519PrivateKey.from_private_bytes(SECRETS["receipt key"])
    assert base64.b64decode(tail.split(" ")[2])[4:] == key.sign(answered)
    return block("".join(rows)) + "\nThe first segment's line in that receipt:\n\n" + block(lines[SEGMENTS[0].stem])


def receipt() -> str:
    text, _, tail = (PLACE / "example.receipt").read_text("utf-8").rpartition("\n\n")
    text += "\n"
    lines = text.splitlines()
    for path, line in zip(SEGMENTS, [line for line in lines if line.startswith("segment ")], strict=True):
        data = path.read_bytes()
        assert line.split(" ")[1:4] == [sha(data).hex(), str(len(data)), path.stem]
    head = base64.b64decode(next(line for line in lines if line.startswith("checkpoint ")).split(" ")[1]).decode(
        "utf-8"
    )
    cosigned = base64.b64decode(head.splitlines()[-1].split(" ")[2])
    key = Ed25519PrivateKey.from_private_bytes(SECRETS["receipt key"])
    public = key.public_key().public_bytes(RAW, PUBLIC)
    (seconds,) = struct.unpack(">Q", cosigned[4:12])
    signed = head.partition("\n\n")[0] + "\n"
    assert signed == f"{ORIGIN}\n7\n{b64(root(HASHES))}\n"
    message = f"cosignature/v1\ntime {seconds}\n{signed}"
    name = b"station.test"
    assert cosigned[:4] == sha(name, b"\n\x04", public)[:4] and cosigned[12:] == key.sign(message.encode("ascii"))
    outer = base64.b64decode(tail.split(" ")[2])
    assert outer == sha(name, b"\n\x01", public)[:4] + key.sign(text.encode("ascii"))
    holder = x509.load_der_x509_certificate(base64.b64decode(lines[-2].split(" ")[1])).public_key()
    assert isinstance(holder, Ed25519PublicKey) and holder.public_bytes(RAW, PUBLIC) == public
    shown = "\n".join(f"{line[:100]}..." if len(line) > 160 else line for line in [*lines, "", tail])
    told = (
        f"cosignature: key id = SHA-256(name || 0a 04 || key)[:4] = {cosigned[:4].hex()}\n"
        f"             time = {cosigned[4:12].hex()} = {seconds}\n"
        f"             Ed25519 signature = {cosigned[12:].hex()}\n"
        f"receipt:     key id = SHA-256(name || 0a 01 || key)[:4] = {outer[:4].hex()}\n"
        f"             Ed25519 signature over the text = {outer[4:].hex()}\n"
    )
    return "".join([
        block(shown), "\nThe checkpoint in it, whole:\n\n", block(head),
        "\nWhat the cosignature, its last line, signs:\n\n", block(message), "\n", block(told),
    ])  # fmt: skip


def purge() -> str:
    """The note, and what its lines and its signature are made of."""
    (file,) = (PLACE.parent / "purge").glob("*.purge")
    text, _, tail = file.read_text("utf-8").rpartition("\n\n")
    lines, (path,) = text.splitlines(), (p for p in SEGMENTS if p.name.startswith("r"))
    entries = [int(name[:10]) for name, _, _ in members(path) if name.endswith(".json") and name[0] == "0"]
    data = path.read_bytes()
    words = ["segment", sha(data).hex(), str(len(data)), path.stem, str(entries[0]), str(len(entries))]
    assert lines[7] == " ".join(words) and file.name == f"{path.stem[:20]}-1.purge"
    key = Ed25519PrivateKey.from_private_bytes(SECRETS["receipt key"])
    public = key.public_key().public_bytes(RAW, PUBLIC)
    signed, key_id = base64.b64decode(tail.split(" ")[2]), sha(b"station.test", b"\n\x01", public)[:4]
    assert signed == key_id + key.sign((text + "\n").encode("ascii"))
    shown = "\n".join(f"{line[:100]}..." if len(line) > 200 else line for line in [*lines, "", tail])
    told = (
        f"key id = SHA-256(name || 0a 01 || key)[:4] = {key_id.hex()}\n"
        f"Ed25519 signature over the text = {signed[4:].hex()}\n"
    )
    return block(shown) + "\n" + block(told)


def page() -> str:
    opened, header = body()
    start = next(at for name, at, _ in members(SEGMENTS[0]) if name == "0000000001.age")
    first = SEGMENTS[0].read_bytes()[start : start + 512]
    return TEXT.format(
        keys=keys(), layout=layout(), header=block(dump(first[:160], start) + "\n" + dump(first[256:352], start + 256)),
        body=opened, leaf=block(LEAVES[1].decode("ascii")), size=len(LEAVES[1]), hash=HASHES[1].hex(),
        media=block(LEAVES[3].decode("ascii")), tree=tree(), checkpoint=checkpoint(), certificates=certificates(),
        receipt=receipt(), possession=possession(), purge=purge(), aged=len(header),
    )  # fmt: skip


TEXT = (PLACE / "page.txt").read_text("utf-8")

if __name__ == "__main__":
    print(page(), end="")
