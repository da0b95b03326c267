"""One recording, from press to last sealed part.

Packets come in on the intake's thread and are muxed there; parts wait in a bounded queue for the sealing thread,
which makes each durable. So a slow disk never stops the camera, and what could not be kept is counted and said,
never dropped in silence.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.errors import AgentError, StorageError, reason
from agent.model import EncodedPacket, MediaPart, StreamInfo, Track
from agent.sealing.sealer import Sealer
from agent.sealing.writer import is_full

LOG = logging.getLogger("bodycam.recording")
MAX_WAITING_PARTS = 240
"""Two minutes of parts: the largest pre-event ring, flushed at once, must fit."""
RETRY_S = 0.5


class Muxer(Protocol):
    """What `media.parts.PartMuxer` is to a recording."""

    def push(self, packet: EncodedPacket) -> None: ...
    def close(self) -> None: ...


MakeMuxer = Callable[[StreamInfo, Callable[[bytes], None], Callable[[MediaPart], None]], Muxer]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a recording is. `media_ns` reaches from the first sample to the end of the last durable part;
    `lost_parts` never became durable.
    """

    recording: str
    parts: int
    waiting: int
    lost_parts: int
    media_ns: int
    video_frames: int
    audio_samples: int


class Recording:
    """Feed it with `sink`; end it with `finish`. `on_fault` hears each storage error as it begins, on the sealing
    thread.
    """

    def __init__(
        self,
        name: str,
        sealer: Sealer,
        info: StreamInfo,
        make_muxer: MakeMuxer,
        on_fault: Callable[[StorageError], None],
    ) -> None:
        self.name = name
        self._sealer, self._info, self._on_fault = sealer, info, on_fault
        self._zero_mono_ns: int | None = None
        self._queue: queue.Queue[bytes | MediaPart | None] = queue.Queue(MAX_WAITING_PARTS)
        self._muxer = make_muxer(info, self._enqueue, self._enqueue)
        self._parts = self._lost = self._frames = self._samples = self._media_ns = 0
        self._full = threading.Event()
        self._abandon = threading.Event()
        self._thread = threading.Thread(target=self._seal_all, name="sealing", daemon=True)
        self._thread.start()

    @property
    def storage_full(self) -> bool:
        """True once the disk refused a part for lack of space: the recording cannot go on."""
        return self._full.is_set()

    def sink(self, packet: EncodedPacket) -> None:
        """One packet, in order, from the intake's thread."""
        if self._zero_mono_ns is None and packet.track is Track.VIDEO:
            self._zero_mono_ns = self._info.zero_mono_ns + packet.pts_ns
        self._muxer.push(packet)

    def progress(self) -> Progress:
        return Progress(
            self.name, self._parts, self._queue.qsize(), self._lost, self._media_ns, self._frames, self._samples
        )

    def finish(self, deadline_s: float) -> bool:
        """Close the muxer and wait until its last part is durable. False where the disk did not take all of it
        within the deadline.

        The stop leaf is the caller's: it is written in either case.
        """
        self._muxer.close()
        try:
            self._queue.put(None, timeout=deadline_s)
        except queue.Full:
            self._abandon.set()
        self._thread.join(deadline_s)
        self._abandon.set()
        self._thread.join(RETRY_S * 4)
        return self._lost == 0 and not self._thread.is_alive()

    def _enqueue(self, item: bytes | MediaPart) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._lost += 1

    def _seal_all(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._full.is_set() or self._abandon.is_set() or not self._seal(item):
                self._lost += isinstance(item, MediaPart)

    def _seal(self, item: bytes | MediaPart) -> bool:
        """Make one item durable, trying again for as long as the disk may recover. False where it is given up."""
        said = False
        while True:
            try:
                self._seal_once(item)
                return True
            except StorageError as err:
                if not said:
                    self._on_fault(err)
                    said = True
                if is_full(err):
                    self._full.set()
                    return False
            except Exception as err:
                # Even a defect of ours must not end this thread: the parts that follow may still be kept.
                LOG.exception("sealing failed")
                self._on_fault(StorageError(f"sealing failed: {reason(err)}", getattr(err, "hint", "")))
                return False
            if self._abandon.wait(RETRY_S):
                return False

    def _seal_once(self, item: bytes | MediaPart) -> None:
        if isinstance(item, bytes):
            if self._zero_mono_ns is None:
                raise AgentError("the muxer gave its init before the first picture")
            self._sealer.begin_media(self.name, item, self._zero_mono_ns)
            return
        self._sealer.media(item)
        self._parts += 1
        self._frames += item.video_frames
        self._samples += item.audio_samples
        self._media_ns = max(self._media_ns, item.start_ns + item.duration_ns)
