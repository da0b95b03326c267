"""What a verifier says: one finding a cause, each naming what, where, when, and how sure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from agent.errors import AgentError, UnreadableError, printable
from agent.formats import leaf as leaves


class What(Enum):
    """Stable names of findings. A name is never given another meaning; scripts rely on them."""

    # Failures: the evidence does not verify.
    ALTERED_BYTES = "altered-bytes"
    MISSING_PARTS = "missing-parts"
    MISSING_SEGMENT = "missing-segment"
    REPEATED_ENTRY = "repeated-entry"
    REPEATED_SEGMENT = "repeated-segment"
    SWAPPED_ENTRIES = "swapped-entries"
    SWAPPED_SEGMENTS = "swapped-segments"
    TRUNCATED_SEGMENT = "truncated-segment"
    INSERTED_BYTES = "inserted-bytes"
    NOT_A_SEGMENT = "not-a-segment"
    BAD_SIGNATURE = "bad-signature"
    MISSING_SIGNATURE = "missing-signature"
    BAD_ROOT = "bad-root"
    BAD_LEAF = "bad-leaf"
    UNTRUSTED_CHAIN = "untrusted-chain"
    OTHER_CAMERA = "other-camera"
    CLOCK_WENT_BACK = "clock-went-back"
    SEAL_MISMATCH = "seal-mismatch"
    BAD_SESSION = "bad-session"
    BAD_EPOCH = "bad-epoch"
    NO_END = "no-end"
    COUNTER_JUMP = "counter-jump"
    COUNTER_BACK = "counter-back"
    REVOKED = "revoked"
    BAD_REVOCATION = "bad-revocation"
    BAD_PURGE = "bad-purge"
    FORK = "fork"
    BAD_RECEIPT = "bad-receipt"
    BAD_HEAD = "bad-head"
    NOTHING_FOUND = "nothing-found"
    ALTERED_EXPORT = "altered-export"
    UNREADABLE = "unreadable"
    MORE_FINDINGS = "more-findings"
    # Notes: true, worth saying, and no failure.
    INTERRUPTED = "interrupted"
    RECOVERED = "recovered"
    MEDIA_GAP = "media-gap"
    TAIL_UNPROVEN = "tail-unproven"
    OUTSIDE = "outside"
    OPEN_SEGMENT = "open-segment"
    HELD_ELSEWHERE = "held-elsewhere"
    PURGED = "purged"
    UNCHECKED = "unchecked"
    CLOCK_UNVERIFIED = "clock-unverified"
    COUNTER_SILENT = "counter-silent"
    EPOCH = "epoch"
    UNACCOUNTED = "unaccounted"
    IDENTITY_SILENT = "identity-silent"


NOTES = frozenset(
    {
        What.INTERRUPTED,
        What.RECOVERED,
        What.MEDIA_GAP,
        What.TAIL_UNPROVEN,
        What.OUTSIDE,
        What.OPEN_SEGMENT,
        What.HELD_ELSEWHERE,
        What.PURGED,
        What.UNCHECKED,
        What.CLOCK_UNVERIFIED,
        What.COUNTER_SILENT,
        What.EPOCH,
        What.UNACCOUNTED,
        What.IDENTITY_SILENT,
    }
)


UNSAID = {
    What.BAD_RECEIPT: "no time in a receipt that is not valid is proven",
    What.BAD_HEAD: "no time in a head that is not valid is proven",
    What.BAD_REVOCATION: "no time in a revocation that is not valid is proven",
    What.BAD_PURGE: "no time in a purge note that is not valid is proven",
    What.ALTERED_EXPORT: "it is about a whole export, made after all of it was recorded",
    What.NOTHING_FOUND: "nothing was given",
    What.MORE_FINDINGS: "it counts findings that are not listed",
}
UNBOUND = "no proven leaf that was given bounds it"
"""Why a failing finding has no time."""


OF_NO_LOG = "about something that was given with this log, and may be of it: nothing proven says of which log that is"


class Sure(Enum):
    """How sure. `proven`: signatures or hashes leave no other reading. `likely`: the most probable of several. `open`:
    nothing that was given tells one reading from another.
    """

    PROVEN = "proven"
    LIKELY = "likely"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `first` and `last` are log indexes, `part_first` and `part_last` part numbers,
    `offset` bytes from the segment's beginning; None where that does not apply or cannot be known. `when` is the time
    of its leaf, or that between proven leaves around it, in words; `bounds` then has both ends, None where it is open.
    `of` are the logs that it is about, by origin; empty where nothing proven says of which it is.
    """

    what: What
    text: str
    segment: str | None = None
    recording: str | None = None
    first: int | None = None
    last: int | None = None
    part_first: int | None = None
    part_last: int | None = None
    offset: int | None = None
    when: str | None = None
    sure: Sure = Sure.PROVEN
    bounds: tuple[str | None, str | None] | None = None
    of: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """True where the evidence does not verify because of this."""
        return self.what not in NOTES

    @property
    def when_unknown(self) -> str | None:
        """Why a failing finding has no time; None where it has one."""
        return UNSAID.get(self.what, UNBOUND) if self.fails and self.when is None else None

    def line(self) -> str:
        """Plain text, one line, no control characters whatever the evidence held."""
        words = [f"{'FAIL' if self.fails else 'note'} {self.what.value}"]
        # A media segment is named after its recording.
        if self.recording and not (self.segment or "").startswith(self.recording):
            words.append(f"recording {self.recording}")
        if self.segment:
            words.append(f"segment {self.segment}")
        words += [f"{what} {_span(a, b)}" for what, a, b in self._spans() if a is not None]
        if self.offset is not None:
            words.append(f"byte {self.offset}")
        if self.when:
            words.append(self.when)
        elif self.fails:
            words.append(f"time not known ({self.when_unknown})")
        if self.fails or self.sure is not Sure.PROVEN:
            words.append(self.sure.value)
        return printable(", ".join(words) + ": " + self.text)

    def _spans(self) -> Iterator[tuple[str, int | None, int | None]]:
        yield "part", self.part_first, self.part_last
        yield "leaf", self.first, self.last

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what.value,
            "fails": self.fails,
            "sure": self.sure.value,
            "segment": self.segment,
            "recording": self.recording,
            "leaves": None if self.first is None else [self.first, self.last if self.last is not None else self.first],
            "parts": None
            if self.part_first is None
            else [self.part_first, self.part_last if self.part_last is not None else self.part_first],
            "offset": self.offset,
            "when": self.when,
            "when_bounds": None if self.bounds is None else list(self.bounds),
            "when_unknown": self.when_unknown,
            "text": self.text,
        }

    def follows(self, other: Finding) -> bool:
        """True where `other` is the same cause at the leaf just before, so that one line can hold both."""
        return (
            (self.what, self.text, self.segment, self.sure, self.of)
            == (other.what, other.text, other.segment, other.sure, other.of)
            and self.first is not None
            and other.first is not None
            and self.first == (other.last if other.last is not None else other.first) + 1
        )


def refused(what: What, text: str, err: AgentError) -> Finding:
    """Of a file: `what` is wrong with one that was read; nothing is known of one that could not be."""
    return Finding(What.UNREADABLE if isinstance(err, UnreadableError) else what, text)


def merged(findings: list[Finding]) -> list[Finding]:
    """The same findings with runs of one cause over neighbouring leaves as one."""
    out: list[Finding] = []
    for finding in findings:
        if out and finding.follows(out[-1]):
            last = finding.last if finding.last is not None else finding.first
            part = finding.part_last if finding.part_last is not None else finding.part_first
            joined = replace(out[-1], last=last, part_last=part if part is not None else out[-1].part_last)
            if joined.part_first is None:
                joined = replace(joined, part_first=finding.part_first)
            out[-1] = _span_of_both(joined, out[-1], finding)
        else:
            out.append(finding)
    return out


def about(findings: Iterable[Finding], *origins: str | None) -> list[Finding]:
    """As of these logs, where they say none themselves; a None is passed over."""
    of = tuple(origin for origin in origins if origin is not None)
    return [finding if finding.of else replace(finding, of=of) for finding in findings]


def told_of(origin: str, findings: Iterable[Finding]) -> list[Finding]:
    """For who is to be told of this log alone: what is about it; of each kind of failure that may be about it that
    there is one, but no name, which may be that of another camera.
    """
    given = list(findings)
    unsaid = dict.fromkeys(f.what for f in given if f.fails and not f.of)
    return [f for f in given if origin in f.of] + [Finding(what, OF_NO_LOG, sure=Sure.OPEN) for what in unsaid]


def spoken(finding: Finding, begin: str | None, end: str | None, exact: bool = False) -> Finding:
    """With these ends as its time: of its own first and last leaf where `exact`, else of leaves before and after."""
    if begin is None and end is None:
        return finding
    if exact and begin == end:
        return replace(finding, when=begin, bounds=None)
    if begin is None or end is None:
        words = f"before {end}" if begin is None else f"after {begin}"
    else:
        words = f"from {begin} to {end}" if exact else f"between {begin} and {end}"
    return replace(finding, when=words, bounds=(begin, end))


def _span_of_both(joined: Finding, one: Finding, other: Finding) -> Finding:
    """With the time from the begin of `one` to the end of `other`."""
    begin = one.bounds[0] if one.bounds else one.when
    end = other.bounds[1] if other.bounds else other.when
    exact = all(f.when is not None and not f.when.startswith(("between ", "before ", "after ")) for f in (one, other))
    return spoken(replace(joined, when=None, bounds=None), begin, end, exact)


def when(stamp: leaves.Stamp | None) -> str | None:
    """UTC with its offset and how far it is vouched for; the monotonic clock where no date is known."""
    if stamp is None:
        return None
    if stamp.utc is None:
        return f"{stamp.mono_ns / 1e9:.3f} s after boot {stamp.boot[:8]}"
    doubt = "" if stamp.utc_source == "synchronised" else " (clock unverified)"
    return stamp.utc[:-1] + "+00:00" + doubt


def _span(first: int | None, last: int | None) -> str:
    return f"{first}" if last is None or last == first else f"{first} to {last}"
