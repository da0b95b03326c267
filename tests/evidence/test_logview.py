"""What a log asks for between segments that somebody picked out: as it is defined, in one pass over its recordings."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent.evidence.blobs import Blob
from agent.evidence.candidates import Together
from agent.evidence.epochwatch import EpochWatch
from agent.evidence.logview import LogView
from agent.evidence.result import SegmentResult
from agent.evidence.sources import Scope
from agent.evidence.watch import Announced, LogWatch, RecordingState

ORIGIN = "bodycam.test/cam-0001/1"


def result(name: str, first: int, end: int) -> SegmentResult:
    recording, seq = (name[:20], int(name[21:])) if name.startswith("r") else (None, 0)
    blob = Blob(Path(f"{name}.tar"), f"{name}.tar", 0, 0)
    return SegmentResult(blob, "", ORIGIN, recording, seq, first, end, name, None, None, True, False)


def view_of(
    results: list[SegmentResult],
    states: Iterable[RecordingState],
    named: Iterable[str] = (),
    exports: Iterable[tuple[int, int]] = (),
    alone: Iterable[tuple[int, int]] = (),
) -> LogView:
    watch = LogWatch(EpochWatch(ORIGIN))
    watch.recordings = {state.recording: state for state in states}
    watch.announced = [Announced(name, 0, "", 0, 0, 0) for name in named]
    return LogView(ORIGIN, results, watch, [], [], Scope.PICKED, together=Together(list(exports), list(alone)))


def recording(begin: int) -> str:
    return f"r{begin:010d}-{begin:08x}"


def is_apart(view: LogView, start: int, end: int) -> bool:
    """As the page says it: each recording is whole, on one side or on the other, that an export is of; and any other,
    where one export has segments on both sides, which would have the end of each, too.
    """
    exported = any(low < start and high >= end for low, high in view.together.exports)
    joined = exported or any(low < start and high >= end for low, high in view.together.alone)
    leads = [r for r in view.results if any(r.first <= low < r.end for low, _ in view.together.spans)]

    def is_own(state: RecordingState) -> bool:
        begin = int(state.recording[1:11])
        return joined or any(r.recording == state.recording or r.first <= begin < r.end for r in leads)

    def asks(state: RecordingState) -> bool:
        here = [r for r in view.results if r.recording == state.recording]
        later = (a.segment for a in view.watch.announced if a.segment[:20] == state.recording)
        went_on = exported or not here or any(int(name[-4:]) > max(r.seq for r in here) for name in later)
        over = state.last_index < start and (state.ended is not None or not went_on)
        cut = state.ended == "interrupted" and state.said_parts == state.next_part
        return not over and not (cut and all(r.end <= start for r in here))

    states = [state for state in view.watch.recordings.values() if int(state.recording[1:11]) < end]
    return not any(is_own(state) and asks(state) for state in states)


def some_view(dice: random.Random) -> LogView:
    """Segments with holes between them, of recordings that end as they like."""
    results, states, named, at = list[SegmentResult](), list[RecordingState](), list[str](), 0
    for _ in range(dice.randrange(1, 6)):
        name, begin = recording(at), at
        state = RecordingState(name, ended=dice.choice([None, "stop", "interrupted"]), next_part=1)
        state.said_parts = dice.choice([1, 2])
        for seq in range(dice.randrange(3)):
            at += dice.randrange(3)
            results.append(result(f"{name}-{seq:04d}", at, at + 2))
            at += 2
        named += [f"{name}-{dice.randrange(4):04d}"] * dice.randrange(2)
        state.last_index = dice.choice([begin, at, at + 2])
        states.append(state)
        at += dice.randrange(1, 4)
    dice.shuffle(states)
    firsts = [r.first for r in results]
    spans = [sorted(dice.choices(firsts, k=2)) for _ in range(dice.randrange(3))] if firsts else []
    exports, alone = dice.choice([(spans, []), ([], spans), (spans[:1], spans[1:])])
    return view_of(results, states, named, map(tuple, exports), map(tuple, alone))


def test_between_recordings_is_what_none_of_them_asks_for() -> None:
    dice, said = random.Random(5), set[bool]()
    for _ in range(400):
        view = some_view(dice)
        for start in range(20):
            for end in (start + 1, start + 3):
                assert view.apart(start, end) == is_apart(view, start, end), (view, start, end)
                said.add(view.apart(start, end))
    assert said == {True, False}


def test_hidden_is_what_lies_in_no_segment() -> None:
    dice = random.Random(6)
    for _ in range(200):
        view = some_view(dice)
        holes = [(a.end, b.first) for a, b in pairwise(view.results)]
        for first in range(12):
            for end in range(first + 1, 14):
                wanted = any(max(first, low) < min(end, high) for low, high in holes)
                assert view.hidden(first, end) == wanted, (view, first, end)


class Counted(dict[str, Any]):
    """How many recordings were looked at."""

    seen = 0

    def values(self) -> Any:
        return self._each(super().values())

    def _each(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self.seen += 1
            yield value


def test_many_exports_side_by_side_look_at_each_recording_once() -> None:
    """However many gaps lie between them: 4,000 took 7.5 s."""
    count = 500
    states = [RecordingState(recording(10 * n), ended="stop", last_index=10 * n + 3) for n in range(count)]
    results = [result(f"{recording(10 * n)}-0000", 10 * n, 10 * n + 4) for n in range(count)]
    view = view_of(results, states, exports=[(r.first, r.first) for r in results])
    view.watch.recordings = counted = Counted(view.watch.recordings)
    assert all(view.apart(a.end, b.first) for a, b in pairwise(results))
    assert not any(view.apart(a.end - 1, b.first) for a, b in pairwise(results))
    assert counted.seen == count
