"""Proof of possession: what only who has a segment's bytes can say of them once it is asked (docs/evidence-format.md,
"Possession").
"""

from __future__ import annotations

import hashlib
import re
import secrets

DOMAIN = b"bodycam-possession/v1\n"
CHALLENGE_BYTES = 16
ANSWER_BYTES = 16
"""Of the SHA-256: so that a receipt for 256 segments stays below 64 KiB."""
_HEX = re.compile(r"[0-9a-f]{32}")


def is_hex(value: object) -> bool:
    """True for a challenge, or an answer, as it is written."""
    return isinstance(value, str) and bool(_HEX.fullmatch(value))


def challenge() -> str:
    """A fresh one."""
    return secrets.token_hex(CHALLENGE_BYTES)


class Answering:
    """The answer to a challenge as the bytes come. The challenge stands before them: a digest of the bytes, or any
    state of hashing them, is of no use without the bytes.
    """

    def __init__(self, to: str) -> None:
        self.challenge = to
        self._sha256 = hashlib.sha256(DOMAIN + bytes.fromhex(to))

    def update(self, data: bytes) -> None:
        self._sha256.update(data)

    def with_end(self, data: bytes = b"") -> str:
        """The answer where only `data` follows."""
        whole = self._sha256.copy()
        whole.update(data)
        return whole.digest()[:ANSWER_BYTES].hex()
