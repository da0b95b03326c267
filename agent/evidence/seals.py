"""Segments that are here, and what seal leaves say of them."""

from __future__ import annotations

from collections.abc import Iterator

from agent.errors import UnreadableError
from agent.evidence.blobs import said_of
from agent.evidence.findings import Finding, What
from agent.evidence.logview import LogView
from agent.evidence.result import SegmentResult, holding
from agent.evidence.watch import Announced


def tell_seals(view: LogView, told: set[str | None]) -> Iterator[Finding]:
    """Segments that show no damage of their own, are not `told` of, and yet are not what a seal leaf says of them."""
    for seal in view.watch.announced:
        result = holding(view.results, seal.first)
        if result is None or result.fails or result.name in told:
            continue
        if result.first != seal.first:
            text = f"seal leaf {seal.leaf} says that {seal.segment} begins here, at leaf {seal.first}"
        elif result.blob.is_open and result.end <= seal.end:
            # An earlier copy: what it has is as the camera wrote it, and what lacks of it is told as a gap.
            if result.name != seal.segment:
                text = f"seal leaf {seal.leaf} names this {seal.segment}"
            else:
                yield from _tell_copy(result, seal)
                continue
        elif result.sha256 != seal.sha256:
            text = (
                f"not the bytes that were sealed: seal leaf {seal.leaf} says sha256 {seal.sha256}, "
                f"this is {result.sha256}"
            )
        elif (result.blob.size, result.end) != (seal.size, seal.end):
            text = (
                f"seal leaf {seal.leaf} says that these bytes are {seal.size} and reach leaf {seal.end - 1}, "
                f"they are {result.blob.size} and reach leaf {result.end - 1}"
            )
        elif result.name != seal.segment:
            text = f"seal leaf {seal.leaf} names these bytes {seal.segment}"
        else:
            continue
        yield Finding(What.SEAL_MISMATCH, text, result.name, result.recording, result.first, result.end - 1)


def _tell_copy(result: SegmentResult, seal: Announced) -> Iterator[Finding]:
    """A copy that is, as far as it goes, not what was sealed. That shows where it has all leaves: with the trailer
    behind them it is the same bytes, whatever follows them. No leaf need name what stands before the entries.
    """
    if result.end < seal.end:
        return
    what = What.SEAL_MISMATCH
    text = f"not the bytes that were sealed: seal leaf {seal.leaf} says that they begin otherwise"
    try:
        if result.blob.sha256_as_sealed(seal.size) == seal.sha256:
            return
    except UnreadableError as err:
        what, text = What.UNREADABLE, f"it cannot be read any more: {said_of(result.blob.path, err)}"
    yield Finding(what, text, result.name, result.recording, result.first, result.end - 1)
