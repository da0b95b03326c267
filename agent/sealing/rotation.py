"""When a recording's segment ends and its next one begins: pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model import MediaPart
from agent.sealing.settings import ROTATE_WITHIN_NS, SealerSettings

PARTS_WITHIN = 5
"""Or where it has no room for so many more like this one."""
AHEAD = 2
"""The next one's file is made in this many times those two seconds, or parts."""
OTHER_BYTES = 64 << 10
"""Of what is in the segment beside its parts, and of the stop leaf."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a part means to a segment of `size` bytes that began at `start_ns` of its recording."""

    settings: SealerSettings
    size: int
    start_ns: int
    part: MediaPart

    @property
    def must(self) -> bool:
        """It does not fit any more."""
        end_ns = self.part.start_ns + self.part.duration_ns - self.start_ns
        size = self.size + OTHER_BYTES + len(self.part.data)
        return size > self.settings.segment_bytes or end_ns > self.settings.segment_ns

    @property
    def due(self) -> bool:
        """It belongs into the next one."""
        return self.must or (self.part.starts_with_idr and self._within(self.part.start_ns, 1))

    @property
    def near(self) -> bool:
        """It is the segment's last but a few, itself counted in `size`."""
        return self._within(self.part.start_ns + self.part.duration_ns, AHEAD)

    def _within(self, at_ns: int, times: int) -> bool:
        piece = len(self.part.data) // self.part.pieces
        full = self.size + OTHER_BYTES + times * PARTS_WITHIN * piece > self.settings.segment_bytes
        return full or at_ns - self.start_ns >= self.settings.segment_ns - times * ROTATE_WITHIN_NS
