"""What is behind the last leaf given: what heads, receipts and notes show to be there, and what nothing shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.gaps import fold_into_cut
from agent.evidence.held import can_hold
from agent.evidence.histories import Beside
from agent.evidence.logview import LogView
from agent.evidence.result import SegmentResult, holding
from agent.evidence.sources import Scope
from agent.formats.receipt import Stored

SHUT = (
    "the log ends with a shutdown, after which its session writes nothing: no leaf of it is missing. Whether another "
    "session followed, no later head (--head) tells"
)
NOT_SHUT = (
    "the log ends without a shutdown, and no later head (--head) vouches for its end: entries cut from it whole would "
    "look like a battery that fell out"
)


def tell_tail(view: LogView, told: Iterable[Finding] = ()) -> Iterator[Finding]:
    """Every head against the log, and what no head vouches for. What is `told` to be missing is not told again."""
    proven, end = max((one.extension.old for one in view.cosigned), default=0), view.end
    for head in view.heads:
        root = view.watch.roots.get(head.size)
        if root is not None and root != head.root:
            text = f"{head.told} signs another history than the segments given"
            yield Finding(What.FORK, text, first=head.size - 1)
        elif root is not None:
            proven = max(proven, head.size)
    whole = view.scope is Scope.WHOLE
    yield from _tell_beyond(view, told)
    yield from _tell_unreached(view)
    if proven < end and not (whole and any(_unexplained(view, end, h.size) for h in view.heads)):
        first = max(proven, view.first)
        text = SHUT if view.watch.shut and not view.withheld else NOT_SHUT
        yield Finding(What.TAIL_UNPROVEN, text, first=first, last=end - 1, when=when(view.watch.last), sure=Sure.OPEN)


def _tell_beyond(view: LogView, told: Iterable[Finding]) -> Iterator[Finding]:
    """What lacks behind the last leaf, of all that is shown to have been there."""
    size, shows, of = _shown(view)
    yield from _tell_behind(view, size, of)
    missed = Beside.over([*view.beside.spans, *view.unread_spans.spans])
    for one in told:
        if one.what is What.MISSING_SEGMENT and one.first is not None and one.last is not None:
            missed.add(one.first, one.last + 1)
    runs = [run for one in missed.without(view.end, size) for run in _unexplained(view, *one)]
    last = view.results[-1] if view.results else None
    if not runs or (last is not None and fold_into_cut(last, size - 1)):
        return
    stored = [name for name in _stored_elsewhere(view) if of is None or name[:20] in of]
    named = f", and names {', '.join(stored[:8])}" if stored else ""
    for start, end in runs:
        segment = stored[0] if len(stored) == 1 and can_hold(stored[0], start, end) else None
        recording = segment[:20] if segment and segment.startswith("r") else None
        which = f"the last {end - start}" if end == size else f"{end - start}"
        text = f"{which} leaves are in no segment given; {shows} that they exist{named}"
        yield Finding(What.MISSING_SEGMENT, text, segment, recording, start, end - 1)


def _shown(view: LogView) -> tuple[int, str, set[str] | None]:
    """How many leaves there were at least; what shows that; of which recordings, None for all of the log. Of a log that
    is asked for whole it is a head, or a note of what was purged further on; else what receipts and notes in an export
    say of later segments of its recording, where that has no end here: heads are also of what came after it, and others
    may have been made since.
    """
    lines = view.purged.explained
    if view.scope is Scope.WHOLE:
        shown = [(head.size, f"{head.told} shows") for head in view.heads]
        shown += [(line.first, f"the purge note of {line.segment} shows") for line in lines]
        return *max(shown, key=itemgetter(0), default=(0, "")), None
    of, proof_of, shown = dict[str, Path](), view.together.proof_of, []
    if view.scope is Scope.PICKED:
        going_on = (state.recording for state in view.claimed if state.ended is None)
        of = {name: proof for name in going_on if (proof := proof_of(_first_of(view, name).blob)) is not None}
        receipts = [(one, checked.proof) for checked in view.receipts for one in checked.receipt.stored]
        stored = [one for one, proof in receipts if proof is not None and of.get(one.segment[:20]) == proof]
        notes = [(one, proof_of(checked.blob)) for checked in view.purges for one in checked.note.gone]
        gone = {one.segment for one, proof in notes if proof is not None and of.get(one.segment[:20]) == proof}
        told = [(max(one.end, view.end + 1), one.segment, "receipt") for one in stored if _is_behind(view, one)]
        told += [(line.first, line.segment, "purge note") for line in lines if line.segment in gone]
        shown = [(end, f"the {word} of {name} shows") for end, name, word in told]
    return *max(shown, key=itemgetter(0), default=(0, "")), set(of)


def _first_of(view: LogView, recording: str) -> SegmentResult:
    """The segment in which a recording that is claimed begins, or its first that is here."""
    here = view.of_recording.get(recording)
    first = here[0] if here else holding(view.results, int(recording[1:11]))
    assert first is not None
    return first


def _is_behind(view: LogView, stored: Stored) -> bool:
    """Whether this segment, of a recording that is here, stands behind the last leaf."""
    name = stored.segment
    if stored.entries or view.elsewhere is not None or name in view.known:
        return stored.entries > 0 and stored.first >= view.end
    return int(name[21:]) > view.last_held(name[:20], view.end)


def _unexplained(view: LogView, start: int, end: int) -> list[tuple[int, int]]:
    """Runs of start <= i < end, behind the last leaf given, that no note explains and nobody is known to have."""
    return [run for one in view.purged.without(start, end) for run in view.behind_spans.without(*one)]


def _tell_behind(view: LogView, end: int, of: set[str] | None) -> Iterator[Finding]:
    """What others have behind the last leaf: all below `end`, or all of these recordings."""
    for line, who in sorted(view.behind.items(), key=lambda item: item[0].first):
        if line.segment[:20] in of if of is not None else line.first < end:
            recording = line.segment[:20] if line.segment.startswith("r") else None
            text = f"not present here; {who}"
            first = max(line.first, view.end)
            yield Finding(What.HELD_ELSEWHERE, text, line.segment, recording, first, line.end - 1)


def _stored_elsewhere(view: LogView) -> list[str]:
    """Segments that receipts name and nothing else here explains: not given, and not before the log's end, by a seal
    leaf or by the leaves that a receipt gives them.
    """
    known = {r.name for r in view.results} | {a.segment for a in view.watch.announced}
    known |= {a.segment for a in (*view.purged.unsealed, *view.behind)} | view.unread.keys()
    lines, end = [s for checked in view.receipts for s in checked.receipt.stored], view.end
    known |= {s.segment for s in lines if s.entries and s.end <= end}
    return sorted({s.segment for s in lines} - known)


def _tell_unreached(view: LogView) -> Iterator[Finding]:
    """A later head that was asked for, where segments or exports were given and not the log: no path leads to it."""
    asked = [h for h in view.heads if h.asked and h.size > view.end]
    if view.scope is Scope.WHOLE or not asked:
        return
    head = max(asked, key=lambda h: h.size)
    text = (
        f"{head.told} was not compared: what is given ends before leaf {view.end}, and no path leads there from it: "
        "that nothing behind it was left out is not shown; the whole log, or an export with cosigned/, would show it"
    )
    yield Finding(What.UNCHECKED, text, first=view.end, last=head.size - 1)
