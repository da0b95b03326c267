"""Directories for what comes out of several files at once: each is one file's own, whatever the files are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.evidence.blobs import Blob, known_by
from agent.evidence.sources import PROOF, ProofMembers
from agent.formats import pack

_DIGITS = 16
_PLAIN = re.compile(rf"(?!(?:segment|range)-[0-9a-f]{{{_DIGITS}}}$)[A-Za-z0-9_][A-Za-z0-9._-]{{0,90}}")
"""No name that is made of a digest: that is another file's."""


def directories(sources: Sequence[Blob | ProofMembers]) -> tuple[list[tuple[Blob | ProofMembers, str]], list[str]]:
    """Segments and ranges, each with the name of its directory; and what is to be said of those that share a name: the
    same bytes are taken once, and others get a name made of their digest.
    """
    owners: dict[str, Blob | ProofMembers] = {}
    notes = []
    for source in sources:
        name = _own(source)
        if name in owners and known_by(_blob(owners[name])) != known_by(_blob(source)):
            name = _of_digest(source)
            notes.append(f"{_blob(source).path} is another file of that name: below {name}")
        if name in owners:
            notes.append(f"{_blob(source).path} has the same bytes as {_blob(owners[name]).path}: done once")
        owners.setdefault(name, source)
    return [(source, name) for name, source in owners.items()], notes


def _own(source: Blob | ProofMembers) -> str:
    """Its file's name where that is a segment's, or a plain one of a range; else one made of its digest."""
    if isinstance(source, Blob):
        fits, name = pack.SEGMENT_NAME.fullmatch(source.stem), source.stem
    else:
        name = source.blob.name.removesuffix(PROOF)
        fits = _PLAIN.fullmatch(name)
    return name if fits else _of_digest(source)


def _of_digest(source: Blob | ProofMembers) -> str:
    return f"{'segment' if isinstance(source, Blob) else 'range'}-{known_by(_blob(source))[:_DIGITS]}"


def _blob(source: Blob | ProofMembers) -> Blob:
    return source if isinstance(source, Blob) else source.blob
