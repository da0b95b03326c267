"""A head that a purge keeps: a checkpoint that the identity key signed and that stood in a segment which goes, and what
leads to it from the leaves that stay (docs/evidence-format.md, "A kept head").

It proves itself: neither the station's word nor where it lies counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.formats.pack import MAX_NOTE
from agent.formats.tlogproof import MAX_PROOF, Extension

MAX_KEPT = MAX_PROOF + MAX_NOTE


@dataclass(frozen=True, slots=True)
class KeptHead:
    """`checkpoint` is the note as the camera signed it, `extension` leads to its tree from that of fewer leaves."""

    extension: Extension
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        return self.extension.to_bytes() + b"\n" + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> KeptHead:
        """Raises EvidenceError for anything but the one spelling."""
        proof, blank, checkpoint = data.partition(b"\n\n")
        if len(data) > MAX_KEPT or not blank or not 0 < len(checkpoint) <= MAX_NOTE:
            raise EvidenceError("not a kept head")
        return cls(Extension.parse(proof + b"\n"), checkpoint)
