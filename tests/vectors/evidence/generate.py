"""Make the worked example's files anew: python -m tests.vectors.evidence.generate

Every key, salt and file key comes from a label, so they are known to everybody and protect nothing. ECDSA signatures
and serial numbers are random, so new files are other files: docs/evidence-example.md follows them by
`python -m tests.vectors.evidence.page > docs/evidence-example.md`. The vectors in tests/vectors/possession, which are
of these segments, are made anew with them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from agent.formats import age, note, pack, purge, receipt
from agent.media.parts import Splitter
from agent.model import MediaPart
from tests import film
from tests.builders import Camera, make_agency

PLACE = Path(__file__).parent
POSSESSION, PURGE = PLACE.parent / "possession", PLACE.parent / "purge"


def known(label: str) -> bytes:
    """32 bytes that everybody can make."""
    return hashlib.sha256(f"bodycam-agent worked example: {label}".encode("ascii")).digest()


def known_p256(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(known(label), "big") >> 1, ec.SECP256R1())


def known_ed25519(label: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(known(label))


class Known:
    """Stands in for what makes an age file's secrets; `told` keeps them, file by file."""

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        self._calls = itertools.count()

    def token_bytes(self, count: int) -> bytes:
        if next(self._calls) % 2 == 0:
            self.told.append({})
        what = "payload nonce" if self.told[-1] else "file key"
        value = known(f"{what} {len(self.told) - 1}")[:count]
        self.told[-1][what] = value.hex()
        return value

    def generate(self) -> X25519PrivateKey:
        value = known(f"ephemeral secret {len(self.told) - 1}")
        self.told[-1]["ephemeral secret"] = value.hex()
        return X25519PrivateKey.from_private_bytes(value)


def tiny_film() -> tuple[bytes, list[MediaPart]]:
    """(init, parts): half a second of a grey picture of 16 x 16, and silence."""
    command = [
        "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=gray:size=16x16:rate=4:duration=0.5",
        "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "0.5", "-c:v", "libx264", "-tune", "zerolatency",
        "-g", "2", "-threads", "1", "-c:a", "aac", "-b:a", "8k", "-fflags", "+bitexact", "-flags:v", "+bitexact",
        "-movflags", "frag_keyframe+delay_moov+default_base_moof", "-frag_duration", "500000", "-f", "mp4", "pipe:1",
    ]  # fmt: skip
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    inits: list[bytes] = []
    parts: list[MediaPart] = []
    Splitter(inits.append, parts.append).write(data)
    return inits[0], parts


def answered() -> bytes:
    """The receipt again, as the station signs it where the camera asked with the challenges of the vectors."""
    told = json.loads((POSSESSION / "vectors.json").read_text("ascii"))["tests"]
    answers = {Path(one["file"]).stem: one["answer"] for one in told if "file" in one}
    plain = receipt.parse(note.parse((PLACE / "example.receipt").read_bytes()).text)
    stored = tuple(replace(line, answer=answers[line.segment]) for line in plain.stored)
    text = replace(plain, stored=stored).text()
    return note.Note(text, (note.sign_ed25519(text, plain.station, known_ed25519("receipt key")),)).to_bytes()


def purged() -> purge.Purge:
    """What the station would say of the recording, were it kept for 90 days from the receipt."""
    told = receipt.parse(note.parse((PLACE / "example.receipt").read_bytes()).text)
    (line,) = (one for one in told.stored if one.segment.startswith("r"))
    with (PLACE / f"{line.segment}.tar").open("rb") as file:
        reader = pack.PackReader(file.read)
        first, entries = reader.head().first, len(list(reader.entries()))
    until_s = told.issued_s + 90 * 86_400
    gone = (purge.Gone(line.sha256, line.size, line.segment, first, entries),)
    names = told.station, told.origin, told.camera, line.segment[:20]
    return purge.Purge(*names, until_s, until_s + 3_600, gone, told.certificates)


def write_purge() -> None:
    told = purged()
    signature = note.sign_ed25519(told.text(), told.station, known_ed25519("receipt key"))
    (PURGE / f"{told.recording}-1.purge").write_bytes(note.Note(told.text(), (signature,)).to_bytes())


def main() -> None:
    secrets = Known()
    key = age.X25519Identity(known("age identity"))
    ca = (known_p256("root key"), known_p256("issuing key"))
    agency = make_agency("example agency", ca, known_ed25519("receipt key"), key)
    camera = Camera(agency, "cam-0001", seed=7, identity_key=known_p256("identity key"))
    camera.new_session_key = lambda: known_ed25519("session key")
    with (
        mock.patch("agent.formats.age.secrets.token_bytes", secrets.token_bytes),
        mock.patch("agent.formats.age_x25519.X25519PrivateKey.generate", secrets.generate),
    ):
        camera.new_session()
        init, parts = tiny_film()
        camera.start(init)
        for part in parts[:1]:
            film.add(camera, part)
        camera.stop()
        camera.shutdown()
    for path in PLACE.glob("*.tar"):
        path.unlink()
    camera.write(PLACE)
    agency.write_trust(PLACE)
    (PLACE / "example.receipt").write_bytes(camera.receipt(camera.segments))
    names = ("root key", "issuing key", "identity key", "session key", "receipt key", "age identity")
    told: dict[str, Any] = {"secrets": {name: known(name).hex() for name in names}, "sealed files": secrets.told}
    (PLACE / "keys.json").write_text(json.dumps(told, indent=2) + "\n", "ascii")
    vectors = subprocess.run([POSSESSION / "generate.sh"], capture_output=True, check=True, timeout=60).stdout
    (POSSESSION / "vectors.json").write_bytes(vectors)
    (PLACE / "answered.receipt").write_bytes(answered())
    for path in PURGE.glob("*.purge"):
        path.unlink()
    write_purge()


if __name__ == "__main__":
    main()
