"""Parts that wait behind the clock, put together into longer ones: what a press finds in the ring, or what a slow disk
has kept waiting, then takes fewer syncs. Pure.

A longer part is one as any other: whole boxes, one age file, one leaf, one sync. Live media is never put together, so
that of it a power cut takes no more than it ever did (docs/decisions/0027-longer-parts.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.model import NS, MediaPart

LIVE_NS = NS
"""What ended less than this ago is live."""
MOST_NS = 3_500_000_000
MOST_BYTES = 7 << 19
MOST_PIECES = 8
PIECE_NS = NS // 2
"""Media comes in pieces of about so much."""
WRITE_NS = NS // 2
"""The disk is not to be busy with one part for longer, as far as the last one tells and it keeps up that way."""
LONG_NS = 1_440_000_000
"""A write that takes longer puts the light out, whatever it holds: rather shorter parts, where those keep up too."""
GAIN = 4
"""It keeps up where of what waits a second goes in so many, besides what comes in: as much as the light asks for."""


class Joining:
    """How many of those that wait go together: one at first, so that the light comes as soon as ever; twice as many
    after each write within WRITE_NS, half as many after one that took longer. But on a disk that with those would
    fall behind what comes in, as many as keep it up: what it costs to sync is paid once for all of them.
    """

    def __init__(self) -> None:
        self._most = self._least = 1

    def choose(self, waiting: Sequence[MediaPart], live_from_ns: int) -> int:
        """How many of these, oldest first, are to be one part; at least one. On their timeline what ends after
        `live_from_ns` is live. Where it can, it leaves off before an IDR picture, so that the next part can be decoded
        alone.
        """
        count, size = 1, len(waiting[0].data)
        for part in waiting[1 : self._most]:
            size += len(part.data)
            end_ns = part.start_ns + part.duration_ns
            if size > MOST_BYTES or end_ns - waiting[0].start_ns > MOST_NS or end_ns > live_from_ns:
                break
            count += 1
        fewest = min(count, self._least)
        ends = (n for n in range(min(count, len(waiting) - 1), fewest - 1, -1) if waiting[n].starts_with_idr)
        return next(ends, count)

    def took(self, part: MediaPart, ns: int) -> None:
        """The disk has taken this one, in so long."""
        if ns <= WRITE_NS:
            self._most, self._least = min(MOST_PIECES, max(self._most, 2 * part.pieces)), 1
            return
        needed = min(MOST_PIECES, 1 + ns * (GAIN + 1) // (GAIN * PIECE_NS))
        if part.pieces < needed or ns <= LONG_NS:
            self._least = needed
        self._most = max(self._least, part.pieces // 2)


def joined(parts: Sequence[MediaPart]) -> MediaPart:
    """One part of what all of these hold, in their order."""
    first = parts[0]
    # Sound that was late may lie in a later piece than what it was heard with.
    start_ns = min(part.start_ns for part in parts)
    end_ns = max(part.start_ns + part.duration_ns for part in parts)
    return MediaPart(
        first.number,
        b"".join(part.data for part in parts),
        start_ns,
        end_ns - start_ns,
        first.starts_with_idr,
        sum(part.video_frames for part in parts),
        sum(part.audio_samples for part in parts),
        sum(part.pieces for part in parts),
    )
