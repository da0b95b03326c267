"""How long each part of a recording waited to be durable, by its own leaf: `python -m tests.waits DIR...`, of spools
and exports.

A leaf is stamped just before it is written, so the write itself is not in it.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from agent.cli import guarded
from agent.errors import EvidenceError, Exit
from agent.evidence.sources import collect
from agent.formats import leaf as leaves
from agent.formats import pack
from agent.model import NS

PARTS_AFTER = 6
"""So many parts count to a start or to a rotation: three seconds."""


class Phase(Enum):
    RING = "out of the ring"
    START = "after the start"
    ROTATION = "after a rotation"
    ELSE = "else"


@dataclass(frozen=True, slots=True)
class Wait:
    """Of one part. `wait_ns` is from the end of its media to its leaf, `oldest_ns` from its first sample. `gap_ns` is
    from the leaf of the part before to this one's, `hole_ns` from the end of that part's media to this one's beginning.
    """

    recording: str
    part: int
    phase: Phase
    wait_ns: int
    oldest_ns: int
    gap_ns: int | None
    hole_ns: int | None


Stored = tuple[pack.SegmentHeader, leaves.Leaf]


def stored_in(paths: Sequence[Path]) -> list[Stored]:
    """Every leaf below `paths` with its segment's header, in the log's order; of a torn segment what is whole."""
    found: list[Stored] = []
    for blob in collect(paths).segments:
        with blob.reader() as window:
            found += _leaves(io.BytesIO(window.at(0, blob.size)).read)
    return sorted(found, key=lambda stored: (stored[0].origin, stored[1].common.index))


def _leaves(read: Callable[[int], bytes]) -> Iterator[Stored]:
    reader = pack.PackReader(read)
    try:
        header = reader.head()
        for entry in reader.entries():
            yield header, leaves.parse(entry.leaf)
    except EvidenceError:
        # A cut left it so.
        return


def waits(stored: Iterable[Stored]) -> list[Wait]:
    """Of each part, in the log's order."""
    began: dict[str | None, int] = {}
    before: dict[str, leaves.MediaLeaf] = {}
    live: dict[tuple[str, int], int] = defaultdict(int)
    found = []
    for header, leaf in stored:
        if isinstance(leaf, leaves.EventLeaf):
            if leaf.kind is leaves.Kind.START:
                began[leaf.recording] = leaf.common.stamp.mono_ns
            continue
        begin, end, at = _begin(leaf), _begin(leaf) + leaf.duration_ns, leaf.common.stamp.mono_ns
        last = before.get(leaf.recording)
        ring = end <= began.get(leaf.recording, 0)
        live[leaf.recording, header.seq] += not ring
        phase = Phase.RING if ring else _phase(header.seq, live[leaf.recording, header.seq])
        gap = at - last.common.stamp.mono_ns if last else None
        hole = begin - _begin(last) - last.duration_ns if last else None
        found.append(Wait(leaf.recording, leaf.part, phase, at - end, at - begin, gap, hole))
        before[leaf.recording] = leaf
    return found


def _begin(leaf: leaves.MediaLeaf) -> int:
    return leaf.zero_mono_ns + leaf.start_ns


def _phase(seq: int, live_parts: int) -> Phase:
    if live_parts > PARTS_AFTER:
        return Phase.ELSE
    return Phase.ROTATION if seq else Phase.START


def lines(found: Sequence[Wait]) -> Iterator[str]:
    """One for each recording and phase: its worst, and which part that was."""
    yield (
        f"{'recording':22} {'phase':17} {'parts':>6} {'wait ms: half':>14} {'most':>7} {'part':>6} "
        f"{'gap ms: most':>13} {'oldest ms':>10}"
    )
    by: dict[tuple[str, Phase], list[Wait]] = defaultdict(list)
    for wait in found:
        by[wait.recording, wait.phase].append(wait)
    for (recording, phase), some in by.items():
        ordered = sorted(some, key=lambda wait: wait.wait_ns)
        half, most = ordered[len(ordered) // 2], ordered[-1]
        gap = max((wait.gap_ns for wait in some if wait.gap_ns is not None), default=0)
        oldest = max(wait.oldest_ns for wait in some)
        yield (
            f"{recording:22} {phase.value:17} {len(some):6} {_ms(half.wait_ns):14.0f} {_ms(most.wait_ns):7.0f} "
            f"{most.part:6} {_ms(gap):13.0f} {_ms(oldest):10.0f}"
        )


def each(found: Iterable[Wait]) -> Iterator[str]:
    for wait in found:
        gap = "" if wait.gap_ns is None else f", {_ms(wait.gap_ns):.0f} ms after the leaf before"
        yield f"{wait.recording} part {wait.part}: {wait.phase.value}, waited {_ms(wait.wait_ns):.0f} ms{gap}"


def _ms(ns: int) -> float:
    return ns * 1_000 / NS


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.waits", description=__doc__)
    parser.add_argument("paths", type=Path, nargs="+", metavar="DIR", help="a spool, segments, or an export")
    parser.add_argument("--each", action="store_true", help="a line for each part as well")

    def work() -> int:
        options = parser.parse_args(argv)
        found = waits(stored_in(options.paths))
        for line in (*(each(found) if options.each else ()), *lines(found)):
            print(line)
        return Exit.OK

    return guarded(work)


if __name__ == "__main__":
    raise SystemExit(main())
