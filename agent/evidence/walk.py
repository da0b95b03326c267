"""What lies below a directory: evidence, the tiles of logs, what the product keeps beside them, and what is neither.

Nothing in a directory makes less of it read. Links are not followed; they, pipes and files of other names are passed
over, and whoever walks is told of each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agent.errors import EvidenceError, UsageError
from agent.evidence.blobs import STATES
from agent.formats import merkle

EVIDENCE = (".tar", ".receipt", ".revocation", ".purge", ".vouched", ".mp4")
MAX_DEPTH = 16
_TILES_DEPTH = 12
"""So much deeper lie tiles: `tile/0/x001/x234/067.p/12`."""

_BESIDE = re.compile(r".*\.(seal|pem|vkey|agekey|m4s|tlog-proof)|\..*\.(tmp|new)|[0-9]{10}\.json|report\.json")
"""Seal records, keys and certificates, what `decrypt`, `proofs` and `export` write, and what a cut left of any."""
_DIGEST = "[0-9a-f]{64}"
_IN_SPOOL = re.compile(
    r"configuration\.json|log/(newest-receipt|reserve|counter\.json)|outbox/(dock|ask)\.json|orders/(taken\.json|tags\.note)"
    rf"|inbox/(progress\.json|uploads\.jsonl|uploader\.lock|{_DIGEST}\.(checkpoint|time|order))"
    rf"|apply/(still|{_DIGEST}\.(clock|configuration|orders))"
)
"""What recorder and uploader keep there (agent/spool, agent/dock); any other name somebody else left."""
_IN_LOG = re.compile(r"checkpoint|cosigned|epoch\.json")
_PURGES, _KEPT = "purges", ".vouched"
_LAST = {name: place for place, name in enumerate((*STATES, _PURGES), 1)}
"""Directories that are listed behind the others, in this order. Where a card or a station is in use, what tells of
segments (checkpoint, receipts) is there after they are, and is listed before them; and a segment goes on from one of
these to the next, or a purge note comes in its place: so it is listed at least once.
"""
_IN_PROOF = re.compile(
    r"README\.txt|report\.json|trust/root\.pem|heads/[^/]*|cosigned/(checkpoint|consistency|station\.pem|chain\.pem)"
)


class Kind(Enum):
    """What a path is, and why one that is passed over is."""

    EVIDENCE = "evidence"
    UNLISTED = "a directory that cannot be listed"
    LATE = "the head that a purge kept, which was not there before the segments were listed"
    LOG = "log"
    SPOOL = "spool"
    PROOF = "the proof of a whole recording, extracted"
    OTHER_NAME = "of a name that no evidence has"
    LINK = "a link"
    IRREGULAR = "no regular file"


@dataclass(frozen=True, slots=True)
class _Base:
    """The spool, proof or log that a directory is or lies in: `start` is how long its own path is, with a slash."""

    kind: Kind
    start: int

    def knows(self, path: str) -> bool:
        """Whether it keeps a file there that is no evidence."""
        below = path[self.start :]
        if self.kind is Kind.PROOF:
            return _IN_PROOF.fullmatch(below) is not None
        if self.kind is Kind.SPOOL:
            return _IN_SPOOL.fullmatch(below) is not None
        return _IN_LOG.fullmatch(below) is not None or _is_tile(below)


def walk(
    directory: Path, depth: int = 0, base: _Base | None = None, heads: Set[Path] | None = None
) -> Iterator[tuple[Kind, Path]]:
    """Each file below, each spool, unpacked proof and log, and each directory that cannot be listed, in order of name,
    but for what is listed last (`_LAST`). Raises UsageError where that is the first. `heads`, in what purges leave:
    those that were kept before the segments beside them were listed. A later one may tell of leaves that no listed
    segment has.
    """
    try:
        entries = sorted(os.scandir(directory), key=lambda e: (_LAST.get(e.name, 0), e.name))
    except OSError as err:
        if not depth:
            raise UsageError(f"cannot read directory {directory}: {err.strerror}", "check its owner and mode") from err
        yield Kind.UNLISTED, directory
        return
    if (kind := _kind(entries)) is not None:
        base = _Base(kind, len(str(directory)) + 1)
        yield kind, directory
    kept = heads
    if heads is None and any(e.name == _PURGES and e.is_dir(follow_symlinks=False) for e in entries):
        kept = {path for _, path in walk(directory / _PURGES, depth + 1, base, frozenset()) if path.suffix == _KEPT}
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            if (of := _of(entry, base)) is not None:
                path = Path(entry.path)
                is_late = of is Kind.EVIDENCE and heads is not None and path.suffix == _KEPT and path not in heads
                yield Kind.LATE if is_late else of, path
            continue
        if depth >= MAX_DEPTH + (_TILES_DEPTH if base is not None and base.kind is Kind.LOG else 0):
            raise UsageError(
                f"{entry.path} lies more than {MAX_DEPTH} directories deep, and what is in it would not be read",
                "name that directory itself, or move it up",
            )
        yield from walk(Path(entry.path), depth + 1, base, kept if entry.name == _PURGES else heads)


def _kind(entries: list[os.DirEntry[str]]) -> Kind | None:
    directories = {e.name for e in entries if e.is_dir(follow_symlinks=False)}
    if {"sealed", "delivered"} <= directories and "segments" not in directories:
        return Kind.SPOOL
    files = {e.name for e in entries if e.is_file(follow_symlinks=False)}
    if "report.json" in files and {"segments", "trust"} <= directories:
        return Kind.PROOF
    return Kind.LOG if "checkpoint" in files and "tile" in directories else None


def _of(entry: os.DirEntry[str], base: _Base | None) -> Kind | None:
    """None for what is known to be no evidence."""
    if entry.is_symlink():
        return Kind.LINK
    if not entry.is_file(follow_symlinks=False):
        return Kind.IRREGULAR
    if entry.name.endswith(EVIDENCE):
        return Kind.EVIDENCE
    alike = entry.name.lower().endswith(EVIDENCE)
    if not alike and (_BESIDE.fullmatch(entry.name) or (base is not None and base.knows(entry.path))):
        return None
    return Kind.OTHER_NAME


def _is_tile(path: str) -> bool:
    try:
        merkle.parse_tile_path(path)
    except EvidenceError:
        return False
    return True
