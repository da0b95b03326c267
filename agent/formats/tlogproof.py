"""Proofs as text: the inclusion of one leaf with the checkpoint it leads to (c2sp.org/tlog-proof), and the consistency
of two trees as the hashes of RFC 6962 section 2.1.2, one a line.

Neither is trusted before it was followed to a signed root.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats import merkle, note
from agent.formats.pack import MAX_NOTE

MAX_PROOF = 16 << 10
MAX_HASHES = 64
_MAGIC = "c2sp.org/tlog-proof@v1"
_OLD = re.compile(rb"old ([1-9][0-9]{0,17})")
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The audit path of leaf `index`, its sibling first, in the tree whose signed head is the note `checkpoint`."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        lines = [_MAGIC, f"index {self.index}", *(note.b64(h) for h in self.hashes), ""]
        return "".join(line + "\n" for line in lines).encode("ascii") + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> InclusionProof:
        """Raises EvidenceError for anything but the one spelling."""
        head, blank, checkpoint = data.partition(b"\n\n")
        if len(data) > MAX_PROOF or not blank or not 0 < len(checkpoint) <= MAX_NOTE:
            raise EvidenceError("not an inclusion proof")
        lines = _ascii(head).split("\n")
        found = _INDEX.fullmatch(lines[1]) if len(lines) > 1 and lines[0] == _MAGIC else None
        if found is None:
            raise EvidenceError("not an inclusion proof of version 1 without extra data")
        return cls(int(found[1]), _hashes(lines[2:]), checkpoint)


def consistency_text(hashes: Sequence[bytes]) -> bytes:
    """The hashes of a consistency proof, one base64 line each."""
    return "".join(note.b64(h) + "\n" for h in hashes).encode("ascii")


def parse_consistency(data: bytes) -> tuple[bytes, ...]:
    """Raises EvidenceError for anything but the one spelling."""
    if len(data) > MAX_PROOF or (data and not data.endswith(b"\n")):
        raise EvidenceError("not a consistency proof")
    return _hashes(_ascii(data).split("\n")[:-1])


@dataclass(frozen=True, slots=True)
class Extension:
    """That a larger tree begins with that of `old` leaves: RFC 6962's consistency proof behind its old size, as in the
    body of a tlog-witness request. No hashes where both are of one size.
    """

    old: int
    hashes: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        return b"old %d\n" % self.old + consistency_text(self.hashes)

    @classmethod
    def parse(cls, data: bytes) -> Extension:
        """Raises EvidenceError for anything but the one spelling."""
        first, _, rest = data.partition(b"\n")
        found = _OLD.fullmatch(first)
        if found is None or not data.endswith(b"\n"):
            raise EvidenceError("not the size of a tree and a consistency proof from it")
        return cls(int(found[1]), parse_consistency(rest))


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise EvidenceError("a proof is not ASCII") from None


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(note.unb64(line) for line in lines)
    if len(hashes) > MAX_HASHES or any(len(h) != merkle.HASH_SIZE for h in hashes):
        raise EvidenceError("a proof holds too many hashes, or one that is not 32 bytes long")
    return hashes
