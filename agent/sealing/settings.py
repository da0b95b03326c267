"""What a sealer is set to, and when the disk is full for it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.formats import age
from agent.model import NS

EVENT_RESERVE_BYTES = 64 << 10
"""Claimed for a segment of events as it opens."""
BEGIN_BYTES = 2 * EVENT_RESERVE_BYTES
"""Goes before a recording's first segment is asked for: a segment of events, which its start leaf may open, and as much
again for leaves, headers and tiles.
"""
ROTATE_WITHIN_NS = 2 * NS
"""A segment ends at the first IDR in its last two seconds: after 58 s where it may have 60. Before that where a longer
part would not fit any more.
"""


@dataclass(frozen=True, slots=True)
class SealerSettings:
    """`open_dir` and `sealed_dir` lie on one file system. `log_reserve` is a file given up when an event meets a
    full disk. So much media, of the bitrate asked for, `media_reserve_bytes` hold: `reserve_ns`. A recording begins
    with `ring_ns` of media at most.
    """

    camera: str
    recipients: tuple[age.Recipient, ...]
    open_dir: Path
    sealed_dir: Path
    log_reserve: Path
    segment_ns: int = 60 * NS
    segment_bytes: int = 64 << 20
    media_reserve_bytes: int = 8 << 20
    reserve_ns: int = 60 * NS
    ring_ns: int = 0
    free_floor_bytes: int = 0
    log_reserve_bytes: int = 0

    @property
    def needs_bytes(self) -> int:
        """So much must be free for one more media segment: it, the floor, and what the log's reserve lacks."""
        lacks = 0 if self.log_reserve.exists() else self.log_reserve_bytes
        return self.media_reserve_bytes + self.free_floor_bytes + lacks

    @property
    def begins_bytes(self) -> int:
        """So much must be free for a recording to begin."""
        return self.needs_bytes + BEGIN_BYTES

    @property
    def wants_bytes(self) -> int:
        """So much for it to begin with all that the ring may hold, and to go on for half a segment."""
        segments = -(-(self.ring_ns + self._spare_ns) // self._held_ns)
        return self.begins_bytes + (segments - 1) * (self.media_reserve_bytes + BEGIN_BYTES)

    @property
    def _spare_ns(self) -> int:
        """Of what there is room for, what is to come has this."""
        return self.reserve_ns // 2

    @property
    def _held_ns(self) -> int:
        """A segment has so much at least, where the next one may follow."""
        return self.reserve_ns - min(ROTATE_WITHIN_NS, self.reserve_ns // 2)

    def holds_ns(self) -> int:
        """So much of the ring there is room for where a recording begins now and goes on for half a segment, at least.
        Raises StorageError.
        """
        more = (self._free_bytes() - self.begins_bytes) // (self.media_reserve_bytes + BEGIN_BYTES)
        return max(0, (1 + more) * self._held_ns - self._spare_ns)

    def _free_bytes(self) -> int:
        with durable.storage_errors(self.open_dir, "no room for one more segment in"):
            stat = os.statvfs(self.open_dir)
            return stat.f_bavail * stat.f_frsize

    def check_room(self, begins: bool = False) -> None:
        """Media never takes the last of the disk: without room for one more segment and the log's reserve, or for a
        recording to begin, it counts as full; the log goes on. Raises StorageError.
        """
        with durable.storage_errors(self.open_dir, "no room for one more segment in"):
            if self._free_bytes() < (self.begins_bytes if begins else self.needs_bytes):
                raise OSError(errno.ENOSPC, "No space left on device")

    def check_writable(self) -> None:
        """Raises StorageError where the kernel has given the file system up, and takes nothing more."""
        with durable.storage_errors(self.open_dir, "cannot write in"):
            if os.statvfs(self.open_dir).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
