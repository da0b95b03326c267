"""What is behind the last leaf given: what heads, receipts and notes show to be there, and what nothing shows."""

from __future__ import annotations

from collections.abc import Iterator

from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.gaps import fold_into_cut
from agent.evidence.held import can_hold
from agent.evidence.logview import LogView
from agent.evidence.sources import Scope

SHUT = (
    "the log ends with a shutdown, after which its session writes nothing: no leaf of it is missing. Whether another "
    "session followed, no later head (--head) tells"
)
NOT_SHUT = (
    "the log ends without a shutdown, and no later head (--head) vouches for its end: entries cut from it whole would "
    "look like a battery that fell out"
)


def tell_tail(view: LogView) -> Iterator[Finding]:
    """Every head against the log, and what no head vouches for."""
    proven, end = max((one.extension.old for one in view.cosigned), default=0), view.end
    for head in view.heads:
        root = view.watch.roots.get(head.size)
        if root is not None and root != head.root:
            text = f"{head.told} signs another history than the segments given"
            yield Finding(What.FORK, text, first=head.size - 1)
        elif root is not None:
            proven = max(proven, head.size)
    whole = view.scope is Scope.WHOLE
    yield from _tell_beyond(view) if whole else _tell_unreached(view)
    if proven < end and not (whole and any(_unexplained(view, end, h.size) for h in view.heads)):
        first = max(proven, view.first)
        text = SHUT if view.watch.shut and not view.withheld else NOT_SHUT
        yield Finding(What.TAIL_UNPROVEN, text, first=first, last=end - 1, when=when(view.watch.last), sure=Sure.OPEN)


def _tell_beyond(view: LogView) -> Iterator[Finding]:
    beyond = [h for h in view.heads if h.size > view.end]
    head = max(beyond, key=lambda h: h.size, default=None)
    absent = view.beside.without(view.end, head.size) if head is not None else ()
    runs = [run for one in absent for known in _unexplained(view, *one) for run in view.unread_spans.without(*known)]
    if head is not None:
        yield from _tell_behind(view, head.size)
    last = view.results[-1] if view.results else None
    if head is None or not runs or (last is not None and fold_into_cut(last, head.size - 1)):
        return
    stored = _stored_elsewhere(view)
    named = f", and names {', '.join(stored[:8])}" if stored else ""
    for start, end in runs:
        segment = stored[0] if len(stored) == 1 and can_hold(stored[0], start, end) else None
        recording = segment[:20] if segment and segment.startswith("r") else None
        which = f"the last {end - start}" if end == head.size else f"{end - start}"
        text = f"{which} leaves are in no segment given; {head.told} shows that they exist{named}"
        yield Finding(What.MISSING_SEGMENT, text, segment, recording, start, end - 1)


def _unexplained(view: LogView, start: int, end: int) -> list[tuple[int, int]]:
    """Runs of start <= i < end, behind the last leaf given, that no note explains and nobody is known to have."""
    return [run for one in view.purged.without(start, end) for run in view.behind_spans.without(*one)]


def _tell_behind(view: LogView, end: int) -> Iterator[Finding]:
    for line, who in sorted(view.behind.items(), key=lambda item: item[0].first):
        if line.first < end:
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
