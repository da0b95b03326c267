"""One recording, from press to last sealed part.

Packets come in on the intake's thread and are muxed there; parts wait in a bounded queue for the sealing thread,
which makes each durable. So a slow disk never stops the camera, and what could not be kept is counted and said,
never dropped in silence.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from agent.clock import Clock
from agent.errors import AgentError, EncryptionError, StorageError, reason
from agent.headway import waited
from agent.media.joining import LIVE_NS, MOST_PIECES, PIECE_NS, Joining, joined
from agent.model import NS, EncodedPacket, MediaPart, StreamInfo, Track
from agent.sealing.sealer import Sealer
from agent.sealing.writer import is_full

LOG = logging.getLogger("bodycam.recording")
HELD_BYTES = 32 << 20
"""Of parts that a stalled disk keeps waiting, besides a whole pre-event ring: a minute at 4 Mbit/s."""
SOFT_BYTES = 3 << 20
SOFT_S = 0.2
"""More than this waits in memory only where the disk takes longer than this for a part: the ring of a press, which
comes all at once, stays in its own arena until it is wanted. It is less than a part lasts: nothing live is held up.
Parts that are being written as one do not count, so that as many wait when that is done.
"""
RETRY_S = 0.5
FULL_TRIES = 4
"""So often a full disk is still asked for a part once the recording has ended: who could make room waits for that."""
GRACE_S = 2.0
STALL_NS = 5 * NS


class Muxer(Protocol):
    """What `media.parts.PartMuxer` is to a recording."""

    def push(self, packet: EncodedPacket) -> None: ...
    def close(self) -> None: ...


MakeMuxer = Callable[[StreamInfo, Callable[[bytes], None], Callable[[MediaPart], None]], Muxer]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is. `media_ns` reaches from the first sample to the end of the last durable part; `pieces`
    are those of half a second in its `parts`; `lost_parts`, so many of them, never became durable. `oldest_mono_ns` is
    when the oldest part began to wait, `refused` why it is not stored.
    """

    recording: str
    parts: int
    pieces: int
    waiting: int
    lost_parts: int
    media_ns: int
    video_frames: int
    audio_samples: int
    oldest_mono_ns: int | None
    refused: StorageError | None

    @property
    def unencrypted(self) -> bool:
        """It is not the disk that refuses: nothing can be encrypted for it."""
        return isinstance(self.refused, EncryptionError)

    def trouble(self, mono_ns: int) -> str | None:
        """Why parts wait longer than they should, in words."""
        if self.refused is None and self.oldest_mono_ns is not None and mono_ns - self.oldest_mono_ns > STALL_NS:
            return f"the disk stalls: a part of {self.recording} has waited for it more than {STALL_NS // NS} s"
        return self.refused.message if self.refused else None


class Recording:
    """Feed it with `sink`; end it with `finish`. `on_fault` hears each storage error as it begins, on the sealing
    thread. At most `room_bytes` of parts wait for the disk: the ring, which flows in at once, and HELD_BYTES.
    """

    def __init__(
        self,
        name: str,
        sealer: Sealer,
        info: StreamInfo,
        make_muxer: MakeMuxer,
        on_fault: Callable[[StorageError], None],
        clock: Clock,
        room_bytes: int = HELD_BYTES,
    ) -> None:
        self.name, self._room = name, room_bytes
        self._sealer, self._info, self._on_fault, self._clock = sealer, info, on_fault, clock
        self._zero_mono_ns: int | None = None
        self._waiting: deque[tuple[int, bytes | MediaPart]] = deque()
        self._changed = threading.Condition()
        self._hurries = self._ended = False
        self._lost_to = ""
        self._give_up = threading.Event()
        self._refused: StorageError | None = None
        self._held = self._offered = self._parts = self._lost = self._frames = self._samples = self._media_ns = 0
        self._forgone = 0
        self._joining = Joining()
        self._together = self._pieces = 0
        self.settling = True
        """From when a part was taken, durable or refused, until what a rotation left was tried after it; and at first,
        until the first segment's file was.
        """
        self._muxer = make_muxer(info, self._enqueue, self._enqueue)
        self._thread = threading.Thread(target=self._seal_all, name="sealing", daemon=True)
        self._thread.start()

    @property
    def storage_full(self) -> str | None:
        """While the disk has no space for what comes next, its words. What waits is still tried, so ending the
        recording now loses little or nothing.
        """
        refused = self._refused
        full = refused if refused and is_full(refused) else self._sealer.no_room
        return full.message if full else None

    @property
    def end_mono_ns(self) -> int | None:
        """Up to where, on CLOCK_MONOTONIC, its media is durable; None before the first part."""
        return None if self._zero_mono_ns is None or not self._parts else self._zero_mono_ns + self._media_ns

    def behind_ns(self, newest_ns: int) -> int | None:
        """Of what was encoded up to this picture of the intake's timeline, so much is not durable; None before the
        first. From any thread.
        """
        begun_ns = self._zero_mono_ns
        return None if begun_ns is None else self._info.zero_mono_ns + newest_ns - begun_ns - self._media_ns

    @property
    def offered(self) -> int:
        """Pieces that came out of the muxer so far, each a part where it is not put together with others; each becomes
        durable, or is lost.
        """
        return self._offered

    @property
    def whole(self) -> bool:
        """All that came to it is durable. From any thread."""
        return self._pieces + self._forgone == self.offered

    def sink(self, packet: EncodedPacket) -> None:
        """One packet, in order, from the intake's thread."""
        if self._zero_mono_ns is None and packet.track is Track.VIDEO:
            self._zero_mono_ns = self._info.zero_mono_ns + packet.pts_ns
        self._muxer.push(packet)

    def hurry(self) -> None:
        """It is about to end: from here on nothing that comes is held up by the disk, what is being held up included.
        So a ring that still flushes is with it in an instant; `room_bytes` has room for it.
        """
        with self._changed:
            self._hurries = True
            self._changed.notify_all()

    def forgo(self, ns: int, why: str) -> None:
        """So much at its end, or its beginning, never comes to it. It counts as so many lost pieces as there are in it,
        one at least.
        """
        if ns > 0:
            pieces = max(1, round(ns / PIECE_NS))
            with self._changed:
                self._offered += pieces
                self._forgone += pieces
                self._lose(pieces, why)

    def _lose(self, pieces: int, why: str) -> None:
        self._lost += pieces
        self._lost_to = self._lost_to or why

    @property
    def lost_to(self) -> str:
        """What pieces are lost to, in words: the first of it, once it has ended."""
        return self._lost_to or (self._refused.message if self._refused else "the disk did not take them in time")

    def progress(self) -> Progress:
        with self._changed:
            waiting = len(self._waiting)
            oldest = self._waiting[0][0] if waiting else None
        return Progress(
            self.name,
            self._parts,
            self._pieces,
            waiting,
            self._lost,
            self._media_ns,
            self._frames,
            self._samples,
            oldest,
            self._refused,
        )

    def finish(self, still_s: float) -> None:
        """Close the muxer and wait until its last part is durable, the disk says again and again that it is full, or
        it took nothing for so long: as long as it takes one part after another, however slowly, all are waited for.
        Returns at the latest two seconds after that, even where a write hangs in the disk.

        The stop leaf is the caller's; how many of the parts `offered` are lost is the sealer's to count.
        """
        try:
            self._muxer.close()
        finally:
            # Whatever the muxer says: what came out of it before becomes durable.
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            if not waited(self._sealed_within, lambda: (self._pieces, self._lost), still_s) and not self._refused:
                self._lost_to = self._lost_to or f"the disk took nothing for {still_s:g} s"
            self._give_up.set()
            self._thread.join(GRACE_S)

    def _enqueue(self, item: bytes | MediaPart) -> None:
        size = _size(item)
        with self._changed:
            self._changed.wait_for(self._takes_more, SOFT_S)
            self._offered += isinstance(item, MediaPart)
            if not self._waiting or self._held + size <= self._room:
                self._held += size
                self._waiting.append((self._clock.monotonic_ns(), item))
                self._changed.notify_all()
            else:
                self._lose(1, "more of it waited for the disk than there is room for in memory")

    def _sealed_within(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _takes_more(self) -> bool:
        return self._hurries or self._ended or self._held - self._together <= SOFT_BYTES

    def _seal_all(self) -> None:
        # The first segment's file, while its first part is still in the making.
        self._settle()
        self.settling = False
        while (item := self._next()) is not None:
            kept = not self._give_up.is_set() and self._seal(item)
            with self._changed:
                self._waiting.popleft()
                self._held -= _size(item)
                self._together = 0
                if isinstance(item, MediaPart) and not kept:
                    self._lost += item.pieces
                self.settling = isinstance(item, MediaPart)
                self._changed.notify_all()
            if self.settling:
                self._settle()
                self.settling = False

    def _settle(self) -> None:
        """What a rotation left to be done for the segment before, while no part waits. What the disk has refused of it
        is the recorder's to try again; so is what is left at the end, which comes with the stop leaf: this thread's
        headway is heard by nobody.
        """
        if not self._gives_way() and self._sealer.owes and not self._sealer.refused:
            self._sealer.settle(self._gives_way)

    def _gives_way(self) -> bool:
        return bool(self._waiting) or self._ended

    def _next(self) -> bytes | MediaPart | None:
        """The oldest that waits, which goes on waiting until it is dealt with; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            self._join()
            return self._waiting[0][1] if self._waiting else None

    def _join(self) -> None:
        """The oldest that wait become one part, as many of them as go together."""
        parts = [item for _, item in islice(self._waiting, MOST_PIECES + 1) if isinstance(item, MediaPart)]
        if len(parts) < 2 or parts[0] is not self._waiting[0][1] or self._zero_mono_ns is None:
            return
        live_from_ns = self._clock.monotonic_ns() - LIVE_NS - self._zero_mono_ns
        count = self._joining.choose(parts, live_from_ns)
        if count > 1:
            since_ns, part = self._waiting[0][0], joined(parts[:count])
            for _ in range(count):
                self._waiting.popleft()
            self._waiting.appendleft((since_ns, part))
            self._together = _size(part)

    def _seal(self, item: bytes | MediaPart) -> bool:
        """Make one item durable, trying again for as long as the disk may recover. False where it is given up."""
        said, full = False, 0
        while True:
            try:
                self._seal_once(item)
            except StorageError as err:
                self._refused = err
                if not said:
                    self._on_fault(err)
                    said = True
                full += self._ended and is_full(err)
                if full >= FULL_TRIES:
                    self._give_up.set()
            except Exception as err:
                # Even a defect of ours must not end this thread: the parts that follow may still be kept.
                LOG.exception("sealing failed")
                self._refused = None
                self._lost_to = self._lost_to or f"sealing failed: {reason(err)}"
                self._on_fault(StorageError(f"sealing failed: {reason(err)}", getattr(err, "hint", "")))
                return False
            else:
                self._refused = None
                return True
            if self._give_up.wait(RETRY_S):
                return False

    def _seal_once(self, item: bytes | MediaPart) -> None:
        if isinstance(item, bytes):
            if self._zero_mono_ns is None:
                raise AgentError("the muxer gave its init before the first picture")
            self._sealer.begin_media(self.name, item, self._zero_mono_ns)
            return
        begun_ns = self._clock.monotonic_ns()
        self._sealer.media(self.name, item)
        self._joining.took(item, self._clock.monotonic_ns() - begun_ns)
        self._parts += 1
        self._pieces += item.pieces
        self._frames += item.video_frames
        self._samples += item.audio_samples
        self._media_ns = max(self._media_ns, item.start_ns + item.duration_ns)


def _size(item: bytes | MediaPart) -> int:
    return len(item) if isinstance(item, bytes) else len(item.data)
