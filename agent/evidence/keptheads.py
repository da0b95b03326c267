"""Heads that a purge keeps: each vouches for the leaves that its proof leads from (docs/evidence-format.md, section 2
and "A kept head").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import AgentError, EvidenceError
from agent.evidence.blobs import Blob
from agent.evidence.findings import Finding, What, refused
from agent.evidence.heads import Head, camera_head
from agent.evidence.trust import Trust
from agent.formats import merkle, note
from agent.formats.kepthead import MAX_KEPT, KeptHead
from agent.formats.tlogproof import Extension


@dataclass(frozen=True, slots=True)
class Kept:
    """One whose signatures hold; `extension` is still to be followed from the leaves."""

    blob: Blob
    head: Head
    extension: Extension

    @property
    def signer(self) -> bytes:
        return self.head.signer or b""

    @property
    def by_identity(self) -> bool:
        return self.head.signer is not None

    def checkpoint(self) -> bytes:
        """The note as the camera signed it. Raises EvidenceError, StorageError."""
        return KeptHead.parse(self.blob.read(MAX_KEPT + 1)).checkpoint

    def check(self, root: bytes) -> None:
        """Raises EvidenceError unless the log with this root at the old size goes on to the head."""
        merkle.verify_consistency(self.extension.old, root, self.head.size, self.head.root, self.extension.hashes)


def read_kept(blobs: Sequence[Blob], trust: Trust) -> tuple[list[Kept], list[Finding]]:
    """Those that the camera's identity key signed; what is wrong with the others."""
    good, bad = list[Kept](), list[Finding]()
    for blob in blobs:
        try:
            good.append(_read(blob, trust))
        except AgentError as err:
            bad.append(refused(What.BAD_HEAD, f"kept head {blob.name}: {err.message}", err))
    return good, bad


def _read(blob: Blob, trust: Trust) -> Kept:
    """Raises EvidenceError, StorageError."""
    told = KeptHead.parse(blob.read(MAX_KEPT + 1))
    parsed = note.parse(told.checkpoint)
    if parsed.to_bytes() != told.checkpoint:
        raise EvidenceError("its checkpoint is not in its one spelling")
    kept = Kept(blob, camera_head(parsed, trust, f"kept head {blob.name}"), told.extension)
    if not kept.by_identity:
        raise EvidenceError("the identity key did not sign it")
    return kept


def tell_kept(kept: Sequence[Kept], roots: Mapping[int, bytes]) -> Iterator[Finding]:
    """Those to which the leaves do not lead, though those that they should lead from are here."""
    for one in kept:
        root = roots.get(one.extension.old)
        try:
            if root is not None:
                one.check(root)
        except EvidenceError:
            text = f"{one.head.told}, is not led to by the leaves below {one.extension.old}"
            yield Finding(What.BAD_HEAD, f"{text}: it is altered, or of another history")
