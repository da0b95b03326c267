"""What is not there: segments named by seal leaves and receipts, recordings without their beginning or end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise

from agent.evidence.findings import Finding, Sure, What, when
from agent.evidence.heads import Head
from agent.evidence.logview import LogView
from agent.evidence.result import SegmentResult
from agent.evidence.sources import Scope
from agent.evidence.watch import Announced, RecordingState


def tell_gaps(view: LogView) -> Iterator[Finding]:
    """Leaves that no given segment holds, by the name of the segment where one is known."""
    announced = [*view.purged.unsealed, *view.unread.values(), *view.watch.announced]
    known = sorted({a.first: a for a in announced}.values(), key=lambda a: a.first)
    if view.first > 0:
        yield from _tell_beginning(view, known)
    past = 0
    for before, after in pairwise(view.results):
        if view.apart(before.end, after.first):
            copied = bisect_left(known, before.first, key=lambda a: a.first)
            start = before.end
            if copied < len(known) and before.is_early(known[copied].segment, known[copied].first):
                # Whoever gives a segment is asked for all of it.
                start = min(max(start, known[copied].end), after.first)
                if start > before.end:
                    yield from _tell_named(view, before, known[copied], before.end, start)
            for first, end in view.purged.without(start, after.first):
                text = f"leaves {first} to {end - 1}, between recordings, were not given"
                yield Finding(What.OUTSIDE, text, first=first, last=end - 1)
        elif after.first > before.end:
            while past < len(known) and known[past].end <= before.end:
                past += 1
            asked = _asked_from(view, before.end, after.first)
            for start, end in view.beside.without(before.end, after.first):
                yield from _within(_tell_gap(view, before, start, end, islice(known, past, None), after), asked)


def _tell_beginning(view: LogView, known: Iterable[Announced]) -> Iterator[Finding]:
    whole = view.scope is Scope.WHOLE
    asked = 0 if whole else view.first if view.elsewhere is None else _asked_from(view, 0, view.first)
    if asked < view.first:
        for start, end in view.beside.without(0, view.first):
            yield from _within(_tell_gap(view, None, start, end, known, view.results[0]), asked)
    if asked > 0:
        text = f"the log before leaf {asked} was not given"
        yield Finding(What.OUTSIDE, text, first=0, last=asked - 1)


def _asked_from(view: LogView, start: int, end: int) -> int:
    """Of the leaves start <= i < end, which no segment holds, the first that is asked for: of exports of what a card
    had, that with which a recording begins, where what is before it is over.
    """
    if view.scope is not Scope.PICKED or view.elsewhere is None:
        return start
    begins = min((b for s in view.of_recording if start <= (b := int(s[1:11])) < end), default=end)
    return begins if view.apart(start, begins) else start


def _within(findings: Iterable[Finding], asked: int) -> Iterator[Finding]:
    """Those about a leaf from this one on."""
    yield from (f for f in findings if f.last is None or f.last >= asked)


def _tell_gap(
    view: LogView,
    before: SegmentResult | None,
    start: int,
    end: int,
    announced: Iterable[Announced],
    after: SegmentResult,
) -> Iterator[Finding]:
    """Leaves start <= i < end, cut up at the segments that are known to have held them (`announced`, in order);
    `after` is the segment that follows.
    """
    at, cut = start, before if before is not None and before.end == start else None
    last = cut.place_name if cut is not None else None
    for known in announced:
        if known.first >= end:
            break
        if known.end <= at:
            continue
        if known.first > at:
            yield from _tell_nameless(view, cut if at == start else None, at, known.first, (last, known.segment))
        # Where its end is gone too, that alone may be why it is shorter.
        sealed = known.size if after.end >= known.end else 0
        if known.segment != after.name or not after.hides_from(known.first, sealed):
            yield from _tell_named(view, before, known, max(at, known.first), min(end, known.end))
        at, last = min(end, known.end), known.segment
    if at < end:
        yield from _tell_nameless(view, cut if at == start else None, at, end, (last, after.place_name))


def _tell_named(
    view: LogView, before: SegmentResult | None, known: Announced, start: int, end: int
) -> Iterator[Finding]:
    recording = known.segment[:20] if known.segment.startswith("r") else None
    cut = before if before is not None and _is_of(before, known) else None
    unread = view.unread.get(known.segment)
    if cut is not None and cut.hides_up_to(end, known.size):
        return
    if cut is None or cut.is_early(known.segment, known.first):
        if view.purged.has(known) or (cut is None and unread is None and known.segment in view.broken):
            return
        # A file that cannot be read has no more leaves than its bytes reach to.
        start = start if unread is None else max(start, unread.end)
        if start >= end:
            return
        who = view.elsewhere.of(known.segment, known.sha256) if view.elsewhere is not None else None
        if who:
            text = f"{'its end is ' if cut is not None else ''}not present here; {who}"
            yield Finding(What.HELD_ELSEWHERE, text, known.segment, recording, start, end - 1)
            return
    if cut is not None:
        if not fold_into_cut(cut, end - 1):
            text = (
                f"its end is gone ({end - start} entries): seal leaf {known.leaf} says that it reaches leaf {end - 1}"
            )
            yield Finding(What.MISSING_PARTS, text, cut.name, recording, start, end - 1)
        return
    if unread is not None and unread.end > known.first:
        text = (
            f"it is here, cannot be read, and is too short for its last {end - start} entries: seal leaf {known.leaf} "
            f"says that it has {known.size} bytes and reaches leaf {end - 1}"
        )
        yield Finding(What.MISSING_PARTS, text, known.segment, recording, start, end - 1)
        return
    text = f"this segment is missing; seal leaf {known.leaf} names it ({known.size} bytes, sha256 {known.sha256})"
    yield Finding(What.MISSING_SEGMENT, text, known.segment, recording, start, end - 1)


def _is_of(result: SegmentResult, known: Announced) -> bool:
    """Whether it is that segment, or what goes by its place; its first leaves may be lost with its header."""
    lost = result.name == known.segment and result.hides_from(known.first, 0)
    return known.first < result.end and (known.first == result.first or lost)


def _tell_nameless(
    view: LogView, before: SegmentResult | None, start: int, end: int, beside: tuple[str | None, str | None]
) -> Iterator[Finding]:
    """Leaves of which no seal leaf tells; `beside` are the names of the segments before and after them, as far as they
    are known.
    """
    if before is not None and fold_into_cut(before, end - 1):
        return
    if view.elsewhere is None:
        yield _nobody_has(view, start, end, beside[1])
        return
    early = before.first if before is not None and before.blob.is_open else None
    for run in view.elsewhere.runs(start, end, *beside, view.known, early):
        if run.who:
            text = f"not present here; {run.told}"
            yield Finding(What.HELD_ELSEWHERE, text, first=run.first, last=run.end - 1, sure=run.sure)
        else:
            after = beside[1] if run.end == end else None
            yield _nobody_has(view, run.first, run.end, after, run.segment)


def _nobody_has(view: LogView, start: int, end: int, after: str | None, lacking: str | None = None) -> Finding:
    """`lacking` is the segment that must have stood there, where that follows from those that others have."""
    names = [lacking] if lacking else _numbered_before(view, start, after)
    text = f"{end - start} leaves are in no segment given: at least one segment is missing"
    if view.elsewhere is not None:
        text += ", and none that a receipt or a deletion leaf names can have held them"
    if names:
        text += f", by its number {names[0]}" + (f" to {names[-1]}" if len(names) > 1 else "")
    recording = names[0][:20] if names else None
    return Finding(What.MISSING_SEGMENT, text, names[0] if len(names) == 1 else None, recording, start, end - 1)


def _numbered_before(view: LogView, start: int, after: str | None) -> list[str]:
    """Names of the segments that must stand between leaf `start` and a media segment, by the segment's number."""
    if after is None or not after.startswith("r") or int(after[1:11]) >= start:
        return []
    recording, seq = after[:20], int(after[21:])
    return [f"{recording}-{n:04d}" for n in range(view.last_held(recording, start) + 1, min(seq, 10_000))]


def fold_into_cut(before: SegmentResult, last: int) -> bool:
    """Entries lost with the end of a truncated segment are that finding's, not a second one."""
    for i, finding in enumerate(before.findings):
        if finding.what is What.TRUNCATED_SEGMENT:
            before.findings[i] = replace(finding, first=before.end, last=last)
            return True
    return False


# -- recordings ----------------------------------------------------------------------------------------------------


def tell_recordings(view: LogView) -> Iterator[Finding]:
    """Each start has its parts and its end; each part its start. Nothing is said of ends and counts where leaves are
    missing, or not proven.
    """
    gap, head = _has_gap(view), _covering(view)
    for state in view.watch.recordings.values():
        if state.started is None:
            yield from _tell_no_start(view, state)
        if gap or state.recording in view.purged.recordings:
            continue
        yield from _tell_count(view, state)
        if state.ended is None and state.last_index >= 0:
            yield from _tell_no_end(view, state, head)


def _tell_no_start(view: LogView, state: RecordingState) -> Iterator[Finding]:
    start, results = int(state.recording[1:11]), view.of_recording.get(state.recording, ())
    if start >= view.first or not results:
        return
    seq = min(r.seq for r in results)
    where = f"its first {seq} segments and its start" if seq else "the segment with its start"
    text = f"{where} (leaf {start}) were not given"
    if view.scope is Scope.SINGLE:
        yield Finding(What.OUTSIDE, text, recording=state.recording, first=start)
    elif view.scope is Scope.PICKED and view.elsewhere is None:
        for first, end in view.unread_spans.without(start, view.first):
            yield Finding(What.MISSING_SEGMENT, text, view.sealed_at(first), state.recording, first, end - 1)


def _tell_count(view: LogView, state: RecordingState) -> Iterator[Finding]:
    said = state.said_parts
    if said is None or said == state.next_part:
        return
    if state.first_part is None and view.first > int(state.recording[1:11]):
        return
    if view.left_out(state):
        return
    text = f"its {state.ended} leaf says {said} parts, there are {state.next_part}"
    yield Finding(What.MISSING_PARTS, text, recording=state.recording, first=state.last_index, sure=Sure.LIKELY)


def _tell_no_end(view: LogView, state: RecordingState, head: Head | None) -> Iterator[Finding]:
    """Within one session an end may still come; a later session must have said that the recording was cut, unless the
    power went again before it came to that.
    """
    settled = view.settled_after(state.last_index)
    if settled is not None and not view.hidden(state.last_index + 1, settled):
        sessions = view.watch.session_leaves
        begins = sessions[bisect_right(sessions, state.last_index)]
        text = f"it has no stop, and the session that begins at leaf {begins} does not say that it was cut"
        yield Finding(What.NO_END, text, recording=state.recording, first=state.last_index)
        return
    last = f"after part {state.next_part - 1}" if state.next_part else "after its start"
    head = None if view.hidden(state.last_index + 1, view.end) else head
    if head is not None:
        text = (
            f"no stop {last}, and none was left out: {head.told} is of all leaves given. It went on, or was cut, then"
        )
    else:
        text = f"no stop {last} in what was given: it may go on, the power failed, or what follows was left out"
    sure, moment = Sure.PROVEN if head else Sure.OPEN, when(state.last_stamp)
    yield Finding(What.TAIL_UNPROVEN, text, recording=state.recording, first=state.last_index, when=moment, sure=sure)


def _covering(view: LogView) -> Head | None:
    """A head of exactly what was given: nothing that was signed until then is missing at its end."""
    if view.withheld:
        return None
    end = view.end
    return next((h for h in view.heads if h.size == end and view.watch.roots.get(h.size) == h.root), None)


def _has_gap(view: LogView) -> bool:
    """Whether leaves within what was given are missing or not proven, but for those that a station purged."""
    return any(r.lost for r in view.results) or any(
        b.first > a.end and not view.apart(a.end, b.first) and not view.purged.explains(a.end, b.first)
        for a, b in pairwise(view.results)
    )


def tell_clock(view: LogView) -> Iterator[Finding]:
    """Dates nobody but the camera vouches for, and leaves without any."""
    doubtful, undated, count = view.watch.unverified_clock, view.watch.undated, view.watch.leaf_count
    said = (
        [f"{doubtful} of {count} leaves carry a date that only the camera's own clock vouches for"] if doubtful else []
    )
    said += [f"{undated} of {count} leaves carry no date: the camera's clock was not set"] if undated else []
    if said:
        text = "; ".join(said)
        yield Finding(What.CLOCK_UNVERIFIED, text, first=view.first, last=view.end - 1)
