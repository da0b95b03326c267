"""The pre-event ring: the last seconds of encoded media in one arena that is reserved beforehand.

One arena and not a deque of bytes objects: thousands of odd-sized objects a minute fragment the heap until a ring of
30 MiB holds 60. It is used in blocks, those that were used before first, so that only as much of it is ever memory as
the ring held at its fullest. Not thread-safe; its owner has the lock.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from agent.model import AUDIO_HZ, NS, EncodedPacket, Track

MAX_SECONDS = 250
"""The 120 s that may be configured, what a ring has more than is wanted of it, and a button that is held until it is
taken for stuck, 120 s at the most.
"""
DEFAULT_BYTES = 48 << 20
_BLOCK_BYTES = 1 << 16
_WIPE_BYTES = 1 << 20
_AAC_FRAME_NS = 1024 * NS // AUDIO_HZ


@dataclass(frozen=True, slots=True)
class _Entry:
    serial: int
    track: Track
    pts: int
    duration: int
    key: bool
    begin: int
    """Of all bytes that ever came, so many before this packet's."""
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
    """Keeps at least `seconds` (0 to MAX_SECONDS), back to a key frame, or as much of it as `max_bytes` holds; the
    oldest goes first.

    Packets carry serial numbers that grow by one, so that a reader can see what it missed.
    """

    def __init__(self, seconds: float = 30, max_bytes: int = DEFAULT_BYTES) -> None:
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValueError(f"a pre-event ring of {seconds} s; 0 to {MAX_SECONDS} are possible")
        self._keep_ns = int(seconds * NS)
        self._max_bytes = max_bytes
        # The kernel gives a page when it is first written to. One block more than that: the oldest packet and the
        # newest each have but a piece of theirs.
        self._block = min(_BLOCK_BYTES, max_bytes)
        length = (-(-max_bytes // self._block) + 1) * self._block
        self._arena = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._free = list(range(len(self._arena) // self._block - 1, -1, -1))
        self._blocks: deque[int] = deque()
        self._first_block = 0
        self._entries: deque[_Entry] = deque()
        self._keys: deque[_Entry] = deque()
        self._end = 0
        self._touched = 0
        self.next_serial = 0

    @property
    def bytes_used(self) -> int:
        return self._end - self._entries[0].begin if self._entries else 0

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
        if size > self._max_bytes:
            raise ValueError(f"a packet of {size} bytes in a ring of {self._max_bytes}")
        while self._entries and self.bytes_used + size > self._max_bytes:
            self._drop_oldest()
        begin = self._end
        self._put(packet.data)
        entry = _Entry(
            self.next_serial, packet.track, packet.pts, packet.duration, packet.key, begin, size, packet.pts_ns
        )
        self._entries.append(entry)
        if packet.key and packet.track is Track.VIDEO:
            self._keys.append(entry)
        self.next_serial += 1
        self._evict_old(self.next_serial if keep_from is None else keep_from)

    def wipe(self) -> None:
        """Nothing of what was kept is left, not even in memory that is free."""
        self._entries.clear()
        self._keys.clear()
        self._give_back()
        # In place, and not by another object: that would leave the old one to the allocator as it is.
        for at in range(0, self._touched, _WIPE_BYTES):
            piece = min(_WIPE_BYTES, self._touched - at)
            self._arena[at : at + piece] = bytes(piece)
        self._touched = 0

    def would_evict(self, size: int) -> int:
        """The serial below which everything would have to go to make room for `size` more bytes."""
        first = self.oldest_serial
        for entry in self._entries:
            if self._end - entry.begin + size <= self._max_bytes:
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

    def pictures_in(self, serial: int) -> int:
        """How many pictures it holds from that packet on."""
        return sum(e.track is Track.VIDEO and e.serial >= serial for e in self._entries)

    def read(self, serial: int, limit: int) -> Iterator[tuple[int, EncodedPacket]]:
        """Up to `limit` packets from `serial` on, or from the oldest where that is gone, in the order they came."""
        skip = max(0, serial - self.oldest_serial)
        for index in range(skip, min(skip + limit, len(self._entries))):
            e = self._entries[index]
            data = b"".join(self._arena[at : at + length] for at, length in self._pieces(e.begin, e.size))
            yield e.serial, EncodedPacket(e.track, e.pts, e.duration, e.key, data)

    def _pieces(self, begin: int, size: int) -> Iterator[tuple[int, int]]:
        """Where in the arena these bytes lie, and how many of them at each place, in their order."""
        end = begin + size
        while begin < end:
            number, within = divmod(begin, self._block)
            length = min(end - begin, self._block - within)
            yield self._blocks[number - self._first_block] * self._block + within, length
            begin += length

    def _put(self, packet: bytes) -> None:
        """Behind what came last."""
        data = memoryview(packet)
        begin, self._end = self._end, self._end + len(data)
        while (self._first_block + len(self._blocks)) * self._block < self._end:
            # The one given back last is memory already.
            self._blocks.append(self._free.pop())
            self._touched = max(self._touched, (self._blocks[-1] + 1) * self._block)
        done = 0
        for at, length in self._pieces(begin, len(data)):
            self._arena[at : at + length] = data[done : done + length]
            done += length

    def _give_back(self) -> None:
        """Blocks in which nothing lies any more."""
        oldest = self._entries[0].begin if self._entries else self._end
        while self._blocks and (self._first_block + 1) * self._block <= oldest:
            self._free.append(self._blocks.popleft())
            self._first_block += 1

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
        if self._keys and self._keys[0].serial == gone.serial:
            self._keys.popleft()
        self._give_back()


def _is_before(entry: _Entry, key: _Entry) -> bool:
    """True for what a recording that begins at `key` does not need: the frame of sound that holds it, and one more, it
    does.
    """
    margin_ns = 0 if entry.track is Track.VIDEO else 2 * _AAC_FRAME_NS
    return entry.pts_ns < key.pts_ns - margin_ns
