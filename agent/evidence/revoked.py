"""Cameras that the agency stopped trusting: up to where their logs count, and what of the evidence lies beyond."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from agent.errors import AgentError, EvidenceError
from agent.evidence.blobs import Blob
from agent.evidence.findings import Finding, Sure, What, refused
from agent.evidence.heads import Head, stamped
from agent.evidence.logview import LogView
from agent.evidence.rangehead import camera_of
from agent.evidence.rangeview import RangeView
from agent.evidence.silence import continues
from agent.evidence.trust import Trust
from agent.formats import certs, note
from agent.formats.revocation import MAX_REVOCATION, Counted, Revocation, parse


def read_revocations(blobs: Sequence[Blob], trust: Trust) -> tuple[list[Revocation], list[Finding]]:
    """Those that a station of the agency signed, each once; what is wrong with the others."""
    good, bad = dict[Revocation, None](), []
    for blob in blobs:
        try:
            good[check_revocation(blob.read(MAX_REVOCATION + 1), trust)] = None
        except AgentError as err:
            bad.append(refused(What.BAD_REVOCATION, f"revocation {blob.name}: {err.message}", err))
    return list(good), bad


def check_revocation(data: bytes, trust: Trust) -> Revocation:
    """Signature and certificate chain. Raises EvidenceError, KeyTrustError."""
    parsed = note.parse(data)
    if parsed.to_bytes() != data:
        raise EvidenceError("it is not in its one spelling")
    found = parse(parsed.text)
    station, key = certs.check_receipt_key([certs.parse_der(c) for c in found.certificates], trust.root)
    if station != found.station:
        raise EvidenceError(f"it is of station {found.station}, its certificate of {station}")
    note.verify_ed25519(parsed, station, key)
    return found


def revoked_heads(revocations: Sequence[Revocation]) -> list[Head]:
    """A camera that signed another history up to there is found out."""
    return [
        Head(log.origin, log.size, log.root, f"the revocation of {found.camera}", False)
        for found in revocations
        for log in found.logs
    ]


def tell_revoked_range(view: RangeView, revocations: Sequence[Revocation]) -> Iterator[Finding]:
    """What of a range does not count. Below what counts, too, whoever has the camera can have written another log: only
    a head that a station has cosigned, or the one that the revocation names, shows that this is the one it saw.
    """
    head, earlier = view.head.head, view.head.earlier
    if head is None or not view.proven:
        return
    first, end = min(view.proven), max(view.proven) + 1
    for found in revocations:
        if found.camera != camera_of(head.point.origin):
            continue
        named = found.log(head.point.origin)
        seen = earlier.point.size if earlier is not None else 0
        if head.time_s is not None or (
            named is not None and (named.size, named.root) == (head.point.size, head.point.root)
        ):
            seen = head.point.size
        if seen < min(end, found.counts(head.point.origin)):
            text = f"{view.name}: {_unseen(found)}; export them with the receipt that covers them"
            yield Finding(What.REVOKED, text, first=max(seen, first), last=end - 1)
        else:
            yield from _tell_beyond(head.point.origin, first, end, [found])


def tell_revoked_log(view: LogView, revocations: Sequence[Revocation], unread: str) -> Iterator[Finding]:
    """What of a log's segments does not count: leaves beyond the size that is named, and below it those that do not
    lead to what a station saw, which `unread` receipts may show, by their names.
    """
    doubt = f"; {unread} cannot be read, and may be that" if unread else ""
    mine = [found for found in revocations if found.camera == camera_of(view.origin)]
    yield from _tell_beyond(view.origin, view.first, view.end, mine)
    for found in mine:
        counts, seen = found.counts(view.origin), _seen(view, found.log(view.origin))
        for first, end in _runs(view):
            led = seen[at - 1] if (at := bisect_right(seen, end)) else 0
            if max(led, first) < min(end, counts):
                text = f"{_unseen(found)}; give the receipt that covers them{doubt}"
                sure = Sure.OPEN if doubt else Sure.PROVEN
                yield Finding(What.REVOKED, text, first=max(led, first), last=min(end, counts) - 1, sure=sure)


def _unseen(found: Revocation) -> str:
    return (
        f"{found.camera} was revoked, and no station has cosigned a head that these leaves lead to: who has the camera "
        "can have made them"
    )


def _runs(view: LogView) -> Iterator[tuple[int, int]]:
    """Leaves first <= i < end of segments of which each continues the one before."""
    if not view.results:
        return
    first = view.first
    for one, other in pairwise(view.results):
        if not continues(other, one):
            yield first, one.end
            first = other.first
    yield first, view.results[-1].end


def _seen(view: LogView, named: Counted | None) -> list[int]:
    """The sizes, in order, at which the log is shown to be one that a station saw."""
    heads = [(checked.head.size, checked.head.root) for checked in view.receipts]
    heads += [(named.size, named.root)] if named is not None else []
    sizes = [size for size, root in heads if view.watch.roots.get(size) == root]
    stored = {line.sha256 for checked in view.receipts for line in checked.receipt.stored}
    sizes += [result.end for result in view.results if result.sha256 in stored]
    return sorted([*sizes, *(one.extension.old for one in view.cosigned)])


def _tell_beyond(origin: str, first: int, end: int, revocations: Sequence[Revocation]) -> Iterator[Finding]:
    """What of the leaves first <= i < end of a log lies beyond the size that is named."""
    camera = camera_of(origin)
    for found in revocations:
        counts = found.counts(origin)
        if end <= max(counts, first):
            continue
        upto = f"after leaf {counts - 1}" if counts else "in this log"
        text = (
            f"the agency trusts nothing that {camera} signed {upto}, said by {found.station} at "
            f"{stamped(found.issued_s)}: {found.reason}. Whoever has the camera can have made these leaves"
        )
        yield Finding(What.REVOKED, text, first=max(counts, first), last=end - 1)
