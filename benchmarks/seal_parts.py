"""What sealing costs: a recording of COUNT parts by the recorder's own sealer, or the same parts by the four
primitives alone. Prints CPU seconds, and bytes that were written beyond the footage.

python -m benchmarks.seal_parts sealer|primitives PLACE COUNT
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from agent.formats.age_stream import CHUNK_BYTES, TAG_BYTES
from benchmarks.footage import PART_BYTES, record
from tests.camera_kit import Desk, begin, make_agency

RECIPIENTS = 2
HASH_BYTES, SHARE_BYTES, SIGNATURE_BYTES = 32, 32, 64
CHECKPOINT = b"bodycam.local/cam-test/1\n123456\n" + b"A" * 44 + b"\n"


def by_sealer(place: Path, count: int, plain: bytes) -> tuple[float, int]:
    """(CPU seconds, bytes of overhead). Keys and the session are made before the clock starts."""
    desk = begin(Desk(make_agency(place / "agency"), place / "spool").open())
    begun = time.process_time()
    record(desk, count, plain)
    spent = time.process_time() - begun
    written = sum(path.stat().st_size for path in desk.spool.sealed_dir.glob("*.tar"))
    return spent, written - count * len(plain)


def by_primitives(count: int, plain: bytes) -> tuple[float, int]:
    """Each part: an ephemeral X25519 share for each recipient, ChaCha20-Poly1305 by chunks as age has them, SHA-256
    over what comes out, an Ed25519 signature.
    """
    signing = Ed25519PrivateKey.generate()
    recipients = [X25519PrivateKey.generate().public_key() for _ in range(RECIPIENTS)]
    chunks = [plain[at : at + CHUNK_BYTES] for at in range(0, len(plain), CHUNK_BYTES)]
    # A key for nothing but this measurement; no two chunks have one nonce.
    cipher = ChaCha20Poly1305(os.urandom(32))
    begun = time.process_time()
    for part in range(count):
        for recipient in recipients:
            X25519PrivateKey.generate().exchange(recipient)
        digest = Hash(SHA256())
        for number, chunk in enumerate(chunks):
            digest.update(cipher.encrypt(part.to_bytes(8, "big") + number.to_bytes(4, "big"), chunk, None))
        digest.finalize()
        signing.sign(CHECKPOINT)
    spent = time.process_time() - begun
    each = len(chunks) * TAG_BYTES + RECIPIENTS * SHARE_BYTES + HASH_BYTES + SIGNATURE_BYTES
    return spent, count * each


def main(side: str, place: Path, count: int) -> None:
    plain = os.urandom(PART_BYTES)
    cpu_s, overhead = by_sealer(place, count, plain) if side == "sealer" else by_primitives(count, plain)
    print(json.dumps({"cpu_s": cpu_s, "overhead_bytes": overhead}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
