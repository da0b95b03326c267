"""The pre-event ring: the last seconds of encoded media in one preallocated arena.

One arena and not a deque of bytes objects: thousands of odd-sized objects a minute fragment the heap until a ring of
30 MiB holds 60. Not thread-safe; its owner has the lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from agent.model import AUDIO_HZ, NS, EncodedPacket, Track

MAX_SECONDS = 120
DEFAULT_BYTES = 48 << 20
_WIPE_BYTES = 1 << 20
_AAC_FRAME_NS = 1024 * NS // AUDIO_HZ


@dataclass(frozen=True, slots=True)
class _Entry:
    serial: int
    track: Track
    pts: int
    duration: int
    key: bool
    offset: int
    size: int
    pts_ns: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where a recording begins: read from `serial` on; drop video before `video_pts` and sound before `audio_pts`."""

    serial: int
    video_pts: int
    audio_pts: int

    def wants(self, packet: EncodedPacket) -> bool:
        return packet.pts >= (self.video_pts if packet.track is Track.VIDEO else self.audio_pts)


class Prebuffer:
    """Keeps at least `seconds` (0 to 120), back to a key frame, or as much of it as `max_bytes` holds; the oldest goes
    first.

    Packets carry serial numbers that grow by one, so that a reader can see what it missed.
    """

    def __init__(self, seconds: float = 30, max_bytes: int = DEFAULT_BYTES) -> None:
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValueError(f"a pre-event ring of {seconds} s; 0 to {MAX_SECONDS} are possible")
        self._keep_ns = int(seconds * NS)
        self._arena = bytearray(max_bytes)
        self._entries: deque[_Entry] = deque()
        self._keys: deque[_Entry] = deque()
        self._write = 0
        self._used = 0
        self._touched = 0
        self.next_serial = 0

    @property
    def bytes_used(self) -> int:
        return self._used

    @property
    def oldest_serial(self) -> int:
        return self._entries[0].serial if self._entries else self.next_serial

    @property
    def seconds(self) -> float:
        """From the oldest key frame to the newest packet."""
        return (self._entries[-1].pts_ns - self._keys[0].pts_ns) / NS if self._keys else 0.0

    def append(self, packet: EncodedPacket, keep_from: int | None = None) -> None:
        """Take in one packet. Age never evicts serial `keep_from` or later; lack of room does."""
        size = len(packet.data)
        if size > len(self._arena):
            raise ValueError(f"a packet of {size} bytes in a ring of {len(self._arena)}")
        offset = self._make_room(size)
        self._arena[offset : offset + size] = packet.data
        entry = _Entry(
            self.next_serial, packet.track, packet.pts, packet.duration, packet.key, offset, size, packet.pts_ns
        )
        self._entries.append(entry)
        if packet.key and packet.track is Track.VIDEO:
            self._keys.append(entry)
        self._write, self._used = offset + size, self._used + size
        self._touched = max(self._touched, self._write)
        self.next_serial += 1
        self._evict_old(self.next_serial if keep_from is None else keep_from)

    def wipe(self) -> None:
        """Nothing of what was kept is left, not even in memory that is free."""
        self._entries.clear()
        self._keys.clear()
        self._write = self._used = 0
        # In place, and not by another object: that would leave the old one to the allocator as it is.
        for at in range(0, self._touched, _WIPE_BYTES):
            piece = min(_WIPE_BYTES, self._touched - at)
            self._arena[at : at + piece] = bytes(piece)
        self._touched = 0

    def would_evict(self, size: int) -> int:
        """The serial below which everything would have to go to make room for `size` more bytes."""
        offset, wrapped = self._place(size)
        first = self.oldest_serial
        for entry in self._entries:
            if not self._in_the_way(entry, offset, size, wrapped):
                break
            first = entry.serial + 1
        return first

    def start_at(self, since_ns: int) -> Start | None:
        """The newest key frame at or before `since_ns`, else the oldest there is; None while there is none.

        The sound reaches back to the AAC frame that holds that instant, and one more: the decoder needs it to prime.
        """
        if not self._keys:
            return None
        key = next((k for k in reversed(self._keys) if k.pts_ns <= since_ns), self._keys[0])
        sound = [e for e in self._entries if e.track is Track.AUDIO]
        before = [e.pts for e in sound if e.pts_ns <= key.pts_ns]
        audio_pts = before[-2:][0] if before else (sound[0].pts if sound else -(1 << 62))
        serial = next((e.serial for e in sound if e.pts >= audio_pts and e.serial < key.serial), key.serial)
        return Start(serial, key.pts, audio_pts)

    def pictures_from(self, pts_ns: int) -> int:
        """How many pictures it holds from that instant on."""
        return sum(e.track is Track.VIDEO and e.pts_ns >= pts_ns for e in self._entries)

    def read(self, serial: int, limit: int) -> Iterator[tuple[int, EncodedPacket]]:
        """Up to `limit` packets from `serial` on, or from the oldest where that is gone, in the order they came."""
        skip = max(0, serial - self.oldest_serial)
        for index in range(skip, min(skip + limit, len(self._entries))):
            e = self._entries[index]
            data = bytes(memoryview(self._arena)[e.offset : e.offset + e.size])
            yield e.serial, EncodedPacket(e.track, e.pts, e.duration, e.key, data)

    def _place(self, size: int) -> tuple[int, bool]:
        """Where the next packet goes; a packet is never split, so the end of the arena may stay empty."""
        return (self._write, False) if self._write + size <= len(self._arena) else (0, True)

    def _in_the_way(self, entry: _Entry, offset: int, size: int, wrapped: bool) -> bool:
        """Oldest first: on wrapping, whatever still lies behind the write mark is older than what lies at the start."""
        if wrapped and entry.offset >= self._write:
            return True
        return entry.offset < offset + size and offset < entry.offset + max(entry.size, 1)

    def _make_room(self, size: int) -> int:
        offset, wrapped = self._place(size)
        while self._entries and self._in_the_way(self._entries[0], offset, size, wrapped):
            self._drop_oldest()
        return offset

    def _evict_old(self, keep_from: int) -> None:
        """Drop what lies before the newest key frame that is old enough, and its sound."""
        horizon_ns, anchor = self._entries[-1].pts_ns - self._keep_ns, None
        for key in self._keys:
            if key.pts_ns > horizon_ns:
                break
            anchor = key
        while anchor and self._entries[0].serial < keep_from and _is_before(self._entries[0], anchor):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        gone = self._entries.popleft()
        self._used -= gone.size
        if self._keys and self._keys[0].serial == gone.serial:
            self._keys.popleft()


def _is_before(entry: _Entry, key: _Entry) -> bool:
    """True for what a recording that begins at `key` does not need: the frame of sound that holds it, and one more, it
    does.
    """
    margin_ns = 0 if entry.track is Track.VIDEO else 2 * _AAC_FRAME_NS
    return entry.pts_ns < key.pts_ns - margin_ns
