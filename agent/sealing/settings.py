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


@dataclass(frozen=True, slots=True)
class SealerSettings:
    """`open_dir` and `sealed_dir` lie on one file system. `log_reserve` is a file given up when an event meets a
    full disk.
    """

    camera: str
    recipients: tuple[age.Recipient, ...]
    open_dir: Path
    sealed_dir: Path
    log_reserve: Path
    segment_ns: int = 60 * NS
    segment_bytes: int = 64 << 20
    media_reserve_bytes: int = 8 << 20
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

    def check_room(self, begins: bool = False) -> None:
        """Media never takes the last of the disk: without room for one more segment and the log's reserve, or for a
        recording to begin, it counts as full; the log goes on. Raises StorageError.
        """
        with durable.storage_errors(self.open_dir, "no room for one more segment in"):
            stat = os.statvfs(self.open_dir)
            if stat.f_bavail * stat.f_frsize < (self.begins_bytes if begins else self.needs_bytes):
                raise OSError(errno.ENOSPC, "No space left on device")

    def check_writable(self) -> None:
        """Raises StorageError where the kernel has given the file system up, and takes nothing more."""
        with durable.storage_errors(self.open_dir, "cannot write in"):
            if os.statvfs(self.open_dir).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
