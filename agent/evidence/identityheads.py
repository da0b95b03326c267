"""Heads that the camera's identity key signed, for the leaves of a range that must have its word
(docs/evidence-format.md, sections 2 and 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from agent.errors import AgentError
from agent.evidence.anchor import Anchor, LogProofs
from agent.evidence.logview import LogView
from agent.evidence.opening import SegmentOpener
from agent.evidence.silence import Waiting
from agent.formats import certs, note

Found = tuple[Anchor, bytes]


def session_of(pem: bytes) -> bytes:
    """The certificate, in DER, of the session whose chain this is."""
    return certs.der(certs.parse_pem(pem)[0])


class IdentityHeads:
    """Of one verified log, beside the `anchors` that a range has already: the first of these is what it leads to."""

    def __init__(
        self, log: LogView, proofs: LogProofs, anchors: Sequence[Anchor], point: note.Checkpoint | None = None
    ) -> None:
        """`point`, where there are none: what is led to it or leads from it."""
        self._log, self._proofs, self._point = log, proofs, point or anchors[0].head.point
        self._held = [anchor for anchor in anchors if anchor.head.by_identity]

    def of(self, wanted: Mapping[bytes, int], end: int) -> Iterator[Found]:
        """Such heads, each of another size, with what leads from it to the first anchor or back: by each session
        (certificate in DER) one that has the leaf `wanted` of it, and one of at least `end` leaves; else the best that
        there is.
        """
        for session, index in wanted.items():
            if all(anchor.head.signer != session or anchor.head.point.size <= index for anchor in self._held):
                yield from self._take(self._own(session, index, end), self._others(session, index))
            if all(anchor.head.signer != session for anchor in self._held):
                # None has that leaf: then what the session had it sign before.
                yield from self._take(self._notes(session, range(index - 1, -1, -1)), iter(()))
        most = max((anchor.head.point.size for anchor in self._held), default=0)
        if most < end and wanted:
            yield from self._take(self._notes(None, range(end - 1, self._log.end)), iter(()))

    def beyond(self, waits: Waiting) -> Found | None:
        """The earliest of at least as many leaves as the segments have in which it waits: by its session, else by
        whoever was at work by then.
        """
        behind = range(waits.end - 1, self._log.end)
        beside = [one for one in self._usable(self._proofs.beside()) if one[0].head.point.size >= waits.end]
        own = [one for one in beside if one[0].head.signer == waits.session]
        found = chain(self._notes(waits.session, behind), own, self._notes(None, behind), beside)
        return next(found, None)

    def _take(self, first: Iterator[Found], otherwise: Iterator[Found]) -> Iterator[Found]:
        found = next(chain(first, otherwise), None)
        if found is None or found[0].head.point.size in {anchor.head.point.size for anchor in self._held}:
            return
        self._held.append(found[0])
        yield found

    def _own(self, session: bytes, index: int, end: int) -> Iterator[Found]:
        """In its segments: the earliest of all leaves of the range, else the newest."""
        yield from self._notes(session, range(end - 1, self._log.end))
        yield from self._notes(session, range(end - 2, index - 1, -1))

    def _others(self, session: bytes, index: int) -> Iterator[Found]:
        """Beside the segments, its own first; then the earliest in them, whoever was at work by then."""
        beside = [one for one in self._usable(self._proofs.beside()) if one[0].head.point.size > index]
        yield from sorted(beside, key=lambda one: (one[0].head.signer != session, one[0].head.point.size))
        yield from self._notes(None, range(index, self._log.end))

    def _notes(self, session: bytes | None, indexes: range) -> Iterator[Found]:
        yield from self._usable(self._signed_twice(session, indexes))

    def _signed_twice(self, session: bytes | None, indexes: range) -> Iterator[bytes]:
        """The checkpoints of these leaves that bear a second signature, in the order of `indexes`."""
        results = self._log.results if indexes.step > 0 else reversed(self._log.results)
        for result in results:
            own = result.session.certificate_der if result.session is not None else b""
            if session not in (None, own):
                continue
            inside = sorted(result.sound.intersection(indexes), reverse=indexes.step < 0)
            if not inside:
                continue
            with result.blob.patient() as window:
                slots = SegmentOpener(window, ()).entries.slots
                for member in (slots[index]["note"] for index in inside if "note" in slots.get(index, {})):
                    data = window.at(member.data, member.size)
                    if len(note.parse(data).signatures) > 1:
                        yield data

    def _usable(self, notes: Iterable[bytes]) -> Iterator[Found]:
        for data in notes:
            try:
                anchor = self._proofs.by_identity(data)
                yield anchor, self._proofs.consistency(anchor.head.point, self._point)
            except AgentError:
                continue
