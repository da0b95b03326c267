"""Leaves whose checkpoint lacks the identity key's signature, until a later one that has it vouches for them
(docs/evidence-format.md, section 2): what is a note then, and a failure where none follows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from agent.errors import EvidenceError
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.tally import MOST_OF_SEGMENT, Tally

if TYPE_CHECKING:
    from agent.evidence.entry import Outcome
    from agent.evidence.heads import Head
    from agent.evidence.result import SegmentResult
    from agent.formats.tlogproof import Extension

SAME = "the same session has a later checkpoint that it signed, as where its hardware did not answer for a while"
OTHER = (
    "no later checkpoint of this session has it, only one of another session: its hardware did not answer up to the "
    "end, or somebody who had taken this session's key wrote on in its name"
)
NOBODY = (
    "nothing that was given vouches for it: the hardware that holds the key failed for good, the signature was taken "
    "off, or somebody who had taken this session's key wrote it"
)
TAIL = (
    "it is the last of a file that was being written, and is no evidence while nothing follows it: the power went, or "
    "this was read, before the hardware had answered, or somebody who had taken this session's key wrote it"
)


ALONE = (
    "no checkpoint in it is signed by the identity key, and it stands alone: its session's key speaks for it, and "
    "somebody who had taken that could have written it. The segments beside it would show more"
)
BEYOND = (
    "no checkpoint in these segments, nor any given that they lead to, is signed by the identity key: their session's "
    "key speaks for them, and somebody who had taken that could have written them. The segments behind them would show "
    "more"
)


@dataclass
class Silence:
    """Of one segment. `waiting` are the leaves behind its last checkpoint that the identity key signed, as failures;
    `last` is the newest of them. `parted` tells that something is missing or fails in it: what follows is not known to
    have those before it in its tree. `vouches` tells that there is such a checkpoint before that. `tail` is the last
    leaf of a file in open/, where it waits and nothing follows: it is there, and says nothing yet.
    """

    name: str
    waiting: Tally = field(default_factory=lambda: Tally(MOST_OF_SEGMENT, joined=False))
    last: int = -1
    vouches: bool = False
    parted: bool = False
    tail: int = -1

    def part(self) -> list[Finding]:
        """Here; what waits has nobody to vouch for it any more."""
        self.parted = True
        failed = self.alone()
        self._forget()
        return failed

    def lacks(self, finding: Finding, index: int) -> None:
        """A leaf, and the failure that it is unless something vouches for it."""
        self.waiting.tell(finding)
        self.last = index

    def withhold(self, out: Outcome) -> None:
        """The last leaf of a file in open/."""
        if out.lacks is not None:
            self.lacks(out.lacks, out.index)
            self.tail = out.index

    def signed(self) -> Iterator[Finding]:
        """The identity key signed a checkpoint of the leaves up to here; yields what is known by that."""
        self.vouches = self.vouches or not self.parted
        yield from self.covered(SAME, Sure.LIKELY)
        self._forget()

    def _forget(self) -> None:
        self.waiting, self.last = Tally(MOST_OF_SEGMENT, joined=False), -1

    def covered(self, why: str, sure: Sure) -> list[Finding]:
        """What waits, as notes."""
        notes = Tally(MOST_OF_SEGMENT, joined=False, left_out=self.waiting.left_out)
        notes.kept = [_note(finding, why, sure) for finding in self.waiting.kept]
        return notes.told(self.name, self.name)

    def split(self, size: int) -> tuple[Silence, Silence]:
        """What waits of the leaves below `size`, and the others, with those that were counted and not kept."""
        below = [f for f in self.waiting.kept if f.first is not None and f.first < size]
        beyond = replace(self.waiting, kept=[f for f in self.waiting.kept if f.first is None or f.first >= size])
        kept = Tally(MOST_OF_SEGMENT, joined=False, kept=below)
        return Silence(self.name, kept, tail=self.tail), Silence(self.name, beyond, tail=self.tail)

    def alone(self) -> list[Finding]:
        """What waits, as failures; only the `tail` may still be signed."""
        failed = self.waiting.told(self.name, self.name)
        return [_note(f, TAIL, Sure.OPEN) if f.first == self.tail >= 0 else _doubted(f) for f in failed]


def _doubted(finding: Finding) -> Finding:
    """That it lacks is proven; of whose doing, nothing tells."""
    if finding.what is not What.MISSING_SIGNATURE:
        return finding
    return replace(finding, text=f"{finding.text}; {NOBODY}", sure=Sure.OPEN)


def _note(finding: Finding, why: str, sure: Sure) -> Finding:
    return replace(finding, what=What.IDENTITY_SILENT, text=f"{finding.text}; {why}", sure=sure)


class Led(Protocol):
    """A head that the leaves below a size lead to by a proof beside it; `signer` as that of a `Head`."""

    @property
    def extension(self) -> Extension: ...

    @property
    def signer(self) -> bytes: ...

    @property
    def by_identity(self) -> bool: ...

    def check(self, root: bytes) -> None:
        """Raises EvidenceError unless the log with this root at the old size goes on to the head."""


@dataclass(frozen=True, slots=True)
class _Voucher:
    """The identity key signed the log of so many leaves, in the name of the session of this certificate."""

    size: int
    signer: bytes


class _Heads:
    """By size."""

    def __init__(self, vouchers: Iterable[_Voucher]) -> None:
        self._signers: dict[int, set[bytes]] = {}
        for voucher in vouchers:
            self._signers.setdefault(voucher.size, set()).add(voucher.signer)
        self._sizes = sorted(self._signers)

    def upto(self, end: int) -> tuple[int, set[bytes]]:
        """The largest size up to this, and the sessions in whose name the log of so many leaves was signed."""
        at = bisect_right(self._sizes, end)
        return (self._sizes[at - 1], self._signers[self._sizes[at - 1]]) if at else (0, set())


@dataclass(frozen=True, slots=True)
class Waiting:
    """The last leaf that waits for the identity key's signature in a segment, which the session of this certificate
    (DER) wrote; and where those end that continue it.
    """

    segment: str
    leaf: int
    end: int
    session: bytes


def unvouched(results: Sequence[SegmentResult], sizes: Sequence[int]) -> Iterator[Waiting]:
    """Of these segments of a settled log, in order, and of nothing that follows them: what waits in the last of those
    that continue each other for which neither a later leaf of these vouches nor a head of so many leaves (`sizes`).
    """
    vouched, run_end, told = False, 0, False
    for number in reversed(range(len(results))):
        result, later = results[number], results[number + 1 : number + 2]
        silence, own = result.silence, result.session
        if not later or not continues(later[0], result):
            vouched, run_end, told = False, result.end, False
        if silence.parted:
            # What is before it in its tree is not known: no head behind it says anything of that.
            vouched, told = False, True
        waits = silence.last >= max((size for size in sizes if size <= run_end), default=0)
        if waits and silence.last >= 0 and not (vouched or told) and own is not None:
            told = True
            yield Waiting(result.name, silence.last, run_end, own.certificate_der)
        vouched = vouched or silence.vouches


def _vouchers(led: Collection[Led], given: Collection[Head], roots: Mapping[int, bytes]) -> Iterator[_Voucher]:
    """Beside the segments, of the log with these roots."""
    yield from (_Voucher(o.extension.old, o.signer) for o in led if o.by_identity and _holds(o, roots))
    yield from (_Voucher(h.size, h.signer) for h in given if h.signer is not None and roots.get(h.size) == h.root)


def settle(
    results: Sequence[SegmentResult],
    led: Collection[Led],
    given: Collection[Head],
    roots: Mapping[int, bytes],
) -> None:
    """Gives each of the segments of a log, in order, the findings about what waited in it."""
    heads = _Heads(_vouchers(led, given, roots))
    voucher: bytes | None = None
    # Up to where the leaves lead without a gap: a root behind one is known from elsewhere, and proves nothing before.
    run_end = 0
    for number in reversed(range(len(results))):
        result, later = results[number], results[number + 1 : number + 2]
        silence = result.silence
        if not later or not continues(later[0], result):
            voucher, run_end = None, result.end
        if silence.last >= 0:
            result.findings += _settled(result, voucher, *heads.upto(run_end))
        if silence.parted:
            voucher, run_end = None, 0
        if silence.vouches and result.session is not None:
            voucher = result.session.certificate_der


def _settled(result: SegmentResult, voucher: bytes | None, size: int, signers: Collection[bytes]) -> list[Finding]:
    """A later leaf vouches for all that waits in it, a head for what lies below its size."""
    if voucher is not None:
        return _told(result, result.silence, {voucher})
    below, beyond = result.silence.split(size)
    return _told(result, below, signers) + beyond.alone()


def tell_unsigned(
    results: Sequence[SegmentResult],
    led: Collection[Led],
    given: Collection[Head],
    roots: Mapping[int, bytes],
) -> Iterator[Finding]:
    """Of segments that do not claim to be the whole log: of which the identity key has no word in them, nor in those
    that continue them without a gap, nor on a head that they lead to. One finding for those that follow one another.
    """
    signed = sorted(voucher.size for voucher in _vouchers(led, given, roots))
    run: list[SegmentResult] = []
    vouched = False
    for number in reversed(range(len(results))):
        result, later = results[number], results[number + 1 : number + 2]
        if later and not continues(later[0], result):
            yield from _unsigned(run[::-1], len(results))
            run, vouched = [], False
        within = bisect_right(signed, result.end) > bisect_right(signed, result.first)
        vouched = vouched or result.silence.vouches or within
        if not vouched:
            run.append(result)
    yield from _unsigned(run[::-1], len(results))


def _unsigned(run: Sequence[SegmentResult], given: int) -> Iterator[Finding]:
    if not run or any(result.fails or not result.proven for result in run):
        return
    first, last = run[0], run[-1].end - 1
    name, recording = (first.name, first.recording) if len(run) == 1 else (None, None)
    text = ALONE if given == 1 else BEYOND
    yield Finding(What.IDENTITY_SILENT, text, name, recording, first.first, last, sure=Sure.OPEN)


def _told(result: SegmentResult, silence: Silence, vouchers: Collection[bytes]) -> list[Finding]:
    """`vouchers` are the sessions in whose name the identity key signed."""
    if result.session is not None and result.session.certificate_der in vouchers:
        return silence.covered(SAME, Sure.LIKELY)
    return silence.covered(OTHER, Sure.OPEN) if vouchers else silence.alone()


def continues(later: SegmentResult, result: SegmentResult) -> bool:
    """Without a gap, from the tree that its leaves led to."""
    return later.first == result.end and result.frontier is not None and later.before == result.frontier


def _holds(one: Led, roots: Mapping[int, bytes]) -> bool:
    root = roots.get(one.extension.old)
    if root is None:
        return False
    try:
        one.check(root)
    except EvidenceError:
        return False
    return True
