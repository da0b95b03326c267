"""Leaves whose checkpoint lacks the identity key's signature, until a later one that has it vouches for them
(docs/evidence-format.md, section 2): what is a note then, and a failure where none follows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.errors import EvidenceError
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.tally import MOST_OF_SEGMENT, Tally
from agent.formats import certs, note

if TYPE_CHECKING:
    from agent.evidence.cosigned import Cosigned
    from agent.evidence.logview import LogView
    from agent.evidence.segment import SegmentResult

SAME = "the same session has a later checkpoint that it signed, as where its hardware did not answer for a while"
OTHER = (
    "no later checkpoint of this session has it, only one of another session: its hardware did not answer up to the "
    "end, or somebody who had taken this session's key wrote on in its name"
)


@dataclass
class Silence:
    """Of one segment. `waiting` are the leaves behind its last checkpoint that the identity key signed, as failures;
    `last` is the newest of them. `vouches` tells that there is such a checkpoint.
    """

    name: str
    waiting: Tally = field(default_factory=lambda: Tally(MOST_OF_SEGMENT, joined=False))
    last: int = -1
    vouches: bool = False

    def lacks(self, finding: Finding, index: int) -> None:
        """A leaf, and the failure that it is unless something vouches for it."""
        self.waiting.tell(finding)
        self.last = index

    def signed(self) -> Iterator[Finding]:
        """The identity key signed a checkpoint of the leaves up to here; yields what is known by that."""
        self.vouches = True
        yield from self.covered(SAME, Sure.LIKELY)
        self.waiting, self.last = Tally(MOST_OF_SEGMENT, joined=False), -1

    def covered(self, why: str, sure: Sure) -> list[Finding]:
        """What waits, as notes."""
        notes = Tally(MOST_OF_SEGMENT, joined=False, left_out=self.waiting.left_out)
        notes.kept = [_note(finding, why, sure) for finding in self.waiting.kept]
        return notes.told(self.name, self.name)

    def alone(self) -> list[Finding]:
        """What waits, as failures."""
        return self.waiting.told(self.name, self.name)


def _note(finding: Finding, why: str, sure: Sure) -> Finding:
    return replace(finding, what=What.IDENTITY_SILENT, text=f"{finding.text}; {why}", sure=sure)


def waits_below(results: Sequence[SegmentResult]) -> int:
    """Of segments in order, given alone: below how many leaves of the log some still wait; 0 where none does."""
    most = 0
    for result in reversed(results):
        most = max(most, result.silence.last + 1)
        if result.silence.vouches:
            break
    return most


def settle(view: LogView, cosigned: Collection[Cosigned], sessions: Collection[certs.Session]) -> None:
    """Gives each segment of a log the findings about what waited in it. `sessions` are all of its camera that are
    trusted, `cosigned` the heads of exports of this log.
    """
    results = view.results
    if all(result.silence.last < 0 for result in results):
        return
    heads = [*_of_exports(cosigned, view.watch.roots), *_of_heads(view, sessions)]
    voucher: bytes | None = None
    for number in reversed(range(len(results))):
        result, later = results[number], results[number + 1 : number + 2]
        silence = result.silence
        if not later or not _continues(later[0], result):
            voucher = None
        if silence.last >= 0:
            signers = {signer for below, signer in heads if silence.last < below}
            result.findings += _settled(result, signers | ({voucher} if voucher is not None else set()))
        if silence.vouches and result.session is not None:
            voucher = result.session.certificate_der


def _settled(result: SegmentResult, signers: Collection[bytes]) -> list[Finding]:
    """`signers` are the sessions that signed, with the identity key, what vouches for all that waits in it."""
    if result.session is not None and result.session.certificate_der in signers:
        return result.silence.covered(SAME, Sure.LIKELY)
    return result.silence.covered(OTHER, Sure.OPEN) if signers else result.silence.alone()


def _continues(later: SegmentResult, result: SegmentResult) -> bool:
    return later.first == result.end and result.frontier is not None and later.before == result.frontier


def _of_exports(cosigned: Collection[Cosigned], roots: Mapping[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """(below which leaves, the session) of those that the identity key signed and the leaves lead to."""
    for one in cosigned:
        root = roots.get(one.extension.old)
        if root is None or not one.head.by_identity:
            continue
        with contextlib.suppress(EvidenceError):
            one.check(root)
            yield one.extension.old, one.signer


def _of_heads(view: LogView, sessions: Collection[certs.Session]) -> Iterator[tuple[int, bytes]]:
    """The same of later heads, in receipts and elsewhere."""
    for head in view.heads:
        if head.signed is not None and view.watch.roots.get(head.size) == head.root:
            for session in sessions:
                if _signed_by(head.signed, head.origin, session):
                    yield head.size, session.certificate_der


def _signed_by(signed: note.Note, origin: str, session: certs.Session) -> bool:
    """Whether the session signed it, and the identity key."""
    try:
        return note.is_by_ed25519(signed, origin, session.key) and note.verify_ecdsa(signed, origin, session.identity)
    except EvidenceError:
        return False
