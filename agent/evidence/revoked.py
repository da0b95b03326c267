"""Cameras that the agency stopped trusting: up to where their logs count, and what of the evidence lies beyond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.errors import AgentError, EvidenceError
from agent.evidence.blobs import Blob
from agent.evidence.findings import Finding, What
from agent.evidence.heads import Head, stamped
from agent.evidence.rangehead import camera_of
from agent.evidence.rangeview import RangeView
from agent.evidence.trust import Trust
from agent.formats import certs, note
from agent.formats.revocation import MAX_REVOCATION, Revocation, parse


def read_revocations(blobs: Sequence[Blob], trust: Trust) -> tuple[list[Revocation], list[Finding]]:
    """Those that a station of the agency signed; what is wrong with the others."""
    good, bad = [], []
    for blob in blobs:
        try:
            good.append(check_revocation(blob.read(MAX_REVOCATION + 1), trust))
        except AgentError as err:
            bad.append(Finding(What.BAD_REVOCATION, f"revocation {blob.name}: {err.message}"))
    return good, bad


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
        named = next((log for log in found.logs if log.origin == head.point.origin), None)
        seen = earlier.point.size if earlier is not None else 0
        if head.time_s is not None or (
            named is not None and (named.size, named.root) == (head.point.size, head.point.root)
        ):
            seen = head.point.size
        if seen < min(end, found.counts(head.point.origin)):
            text = (
                f"{found.camera} was revoked, and no station has cosigned a head that these leaves lead to: who has "
                "the camera can have made them; export them with the receipt that covers them"
            )
            yield Finding(What.REVOKED, f"{view.name}: {text}", first=max(seen, first), last=end - 1)
        else:
            yield from tell_revoked(head.point.origin, first, end, [found])


def tell_revoked(origin: str, first: int, end: int, revocations: Sequence[Revocation]) -> Iterator[Finding]:
    """What of the leaves first <= i < end of a log does not count."""
    camera = (origin.split("/")[-2:-1] or [""])[0]
    for found in revocations:
        counts = found.counts(origin)
        if found.camera != camera or end <= max(counts, first):
            continue
        upto = f"after leaf {counts - 1}" if counts else "in this log"
        text = (
            f"the agency trusts nothing that {camera} signed {upto}, said by {found.station} at "
            f"{stamped(found.issued_s)}: {found.reason}. Whoever has the camera can have made these leaves"
        )
        yield Finding(What.REVOKED, text, first=max(counts, first), last=end - 1)
