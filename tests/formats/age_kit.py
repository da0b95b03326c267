"""What the age tests share: three identities, plaintext of any size, and files sealed to two of them."""

from __future__ import annotations

import hashlib
from functools import cache

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age

CHUNK = 64 << 10
SIZES = sorted({max(0, n * CHUNK + d) for n in (0, 1, 2, 3) for d in (-17, -16, -1, 0, 1, 16, 17)})

ALICE, BOB, EVE = (age.X25519Identity(bytes([n]) * 32) for n in (1, 2, 3))


def text(size: int) -> bytes:
    """Bytes in which no two chunks are alike."""
    return hashlib.shake_128(b"plaintext").digest(size)


@cache
def sealed(size: int) -> age.SealedFile:
    return age.encrypt(text(size), [ALICE.recipient, BOB.recipient])


def is_rejected(data: bytes) -> bool:
    try:
        age.decrypt(data, [ALICE])
    except (EvidenceError, KeyTrustError):
        return True
    return False
