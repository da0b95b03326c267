"""From lens to packets: one thread takes frames from a bounded queue, encodes and publishes them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.capture.base import EncodedSource, SignalKind, SourceSignal, VideoSource
from agent.capture.watch import Change, PictureWatch
from agent.clock import Clock
from agent.errors import AgentError, DeviceError, reason
from agent.intake.channel import Channel, Closed, Patience
from agent.intake.delivery import Delivery
from agent.intake.irregular import Counts, Irregular, Told
from agent.intake.overload import Overload
from agent.intake.paths import Burn, BurnPlanes, EncodedPath, Item, Path, RawPath
from agent.intake.report import WATCHED, IntakeEventKind, IntakeSettings, watches
from agent.intake.stamps import Stamps
from agent.intake.steps import LEAPT
from agent.media.encoder import H264Settings
from agent.model import NS, VIDEO_HZ, Track

Tell = Callable[[IntakeEventKind, int, str], None]
NO_PICTURE_S = 1.8
"""Light and alarm have told by then (controls/vigil.py); that the camera is lost is said within two seconds, too."""

LOSES = "the camera loses one picture after the other: what takes them from it is too slow, or its cable is bad"
DOUBTFUL = "pictures that did not come, lost or never captured (the camera does not say which)"


@dataclass(frozen=True, slots=True)
class PictureCounts:
    captured: int
    encoded: int
    dropped: int
    left_out: int
    device_drops: int
    doubtful_drops: int
    stamps_replaced: int
    fps: float


class PictureWorker:
    """`wake` is called whenever something a caller may wait for has changed."""

    def __init__(
        self,
        source: VideoSource | EncodedSource,
        settings: IntakeSettings,
        clock: Clock,
        delivery: Delivery,
        tell: Tell,
        wake: Callable[[], None],
        burn: Burn | None = None,
        burn_planes: BurnPlanes | None = None,
    ) -> None:
        self._source, self._clock, self._delivery, self._tell, self._wake = source, clock, delivery, tell, wake
        self._latency_ns, self._placing = settings.picture_latency_ns, Stamps(source.live)
        watch = PictureWatch() if watches(settings, source.live) else None
        self._path: Path
        if isinstance(source, EncodedSource):
            self._path = path = EncodedPath(source, watch, self._noticed, burn_planes, self._offset_ns)
            self._open: Callable[[], None] = lambda: source.start(self._on_item, self._on_signal, path.see)
        else:
            encoding = H264Settings(settings.bitrate_kbps, settings.preset, settings.gop_s, settings.encoder_threads)
            self._path = RawPath(source, encoding, watch, self._noticed, burn)
            self._open = lambda: source.start(self._on_item, self._on_signal)
        self._channel = self._make_channel()
        self._thread = threading.Thread(target=self._run, name="picture", daemon=True)
        self._end: SourceSignal | None = None
        self._irregular = Irregular()
        self._stamps: deque[int] = deque(maxlen=61)
        self._received = self._encoded = self._refused = self._left_out = 0
        self._unseen = self._known_lost = 0
        self._overload = Overload()
        self._lost = False
        self.begun = False
        self.ended = False
        self.failure: AgentError | None = None
        """Why no picture comes any more, and what to do about it."""
        self.first_ns: int | None = None
        self.latest_ns: int | None = None

    def _make_channel(self) -> Channel[Item]:
        path, patience = self._path, None
        if path.patience_ns is not None and self._source.live:
            patience = Patience(path.patience_ns, self._drop, self._clock.monotonic_ns)
        return Channel(path.waiting, path.waiting_bytes, path.weigh, patience)

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def live(self) -> bool:
        return self._source.live

    def nothing(self, why: str) -> DeviceError:
        """No picture came from the source at all, so it is there that somebody has to look."""
        return DeviceError(why, "check the camera's cable, then try again" if self.live else "name another file")

    def start(self, zero_ns: int) -> None:
        self._zero_ns = zero_ns
        self._open()
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        self._channel.close(discard=True)
        released = self._source.stop(deadline_s)
        if self._thread.is_alive():
            self._thread.join(deadline_s)
        # Not by our own thread, which an encoder may hold; and after the source, which counts up to its end.
        now_ns = self._clock.monotonic_ns()
        self._tell_over(self._overload.end(), now_ns, "pictures were dropped until the lens was closed")
        return released and not self._thread.is_alive()

    def stream(self) -> tuple[bytes, int, int]:
        """Parameter sets, width, height; once `begun`."""
        return self._path.stream()

    def counts(self) -> PictureCounts:
        stamps = list(self._stamps)
        fps = (len(stamps) - 1) * NS / (stamps[-1] - stamps[0]) if len(stamps) > 1 and stamps[-1] > stamps[0] else 0.0
        lost_before_us = self._source.dropped_frames
        return PictureCounts(
            self._received + lost_before_us,
            self._encoded,
            self._overload.dropped + self._refused,
            self._left_out,
            lost_before_us,
            self._source.doubtful_frames,
            self._placing.replaced,
            round(fps, 2),
        )

    @property
    def encoded(self) -> int:
        """Pictures that came into the ring."""
        return self._encoded

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        """From now on, from any thread: this mean bitrate, at most that of the settings, and at most so many pictures a
        second; 0 for all that come. What is left out is counted as such. Raises DeviceError where the source encodes
        and cannot.
        """
        self._path.set_rate(bitrate_kbps, fps)

    @property
    def behind(self) -> bool:
        """Whether pictures wait for the encoder, ours or the camera's own."""
        return self._source.live and (self._channel.filling or self._path.behind)

    @property
    def lost_ns(self) -> int:
        """When the last picture was captured that an overload cost; 0 where none did."""
        return self._overload.latest_ns

    # -- on the source's thread ------------------------------------------------------------------------------------

    def _on_item(self, frame: Item) -> None:
        now_ns, usual_ns = self._clock.monotonic_ns(), round(NS / (self._source.fps or 30))
        frame = replace(frame, mono_ns=self._placing.place(frame.mono_ns, now_ns, usual_ns) - self._latency_ns)
        self._received += 1
        self._count_unseen(frame.mono_ns)
        if not self._is_left_out(frame.mono_ns) and not self._channel.put(frame, wait=not self._source.live):
            self._drop(frame)

    def _count_unseen(self, mono_ns: int) -> None:
        """All count as dropped. A camera is called overloaded by what is known to be lost: of a gap between stamps that
        is so where an encoder is behind, for else it may take longer in the dark, and nothing would be won by less.
        """
        # In this order, as a source counts the doubtful ones first: what is known is never too much.
        dropped, known = self._source.dropped_frames, self._known_lost
        self._known_lost = max(known, dropped - self._source.doubtful_frames)
        unseen, self._unseen = dropped - self._unseen, dropped
        if unseen:
            self._delivery.missed(unseen, mono_ns - self._zero_ns)
        lost = unseen if self._path.behind else self._known_lost - known
        if lost and self._source.live and self._overload.lose(mono_ns, lost):
            self._tell(IntakeEventKind.OVERLOAD, mono_ns, LOSES)

    def _offset_ns(self) -> int:
        return self._placing.steps.offset_ns - self._latency_ns

    def _drop(self, frame: Item) -> None:
        """There was no room for it, on the source's thread; or it waited for too long, on ours."""
        begins = self._overload.drop(frame.mono_ns, not self._channel.closed)
        self._delivery.missed(1, frame.mono_ns - self._zero_ns)
        if begins:
            self._tell(IntakeEventKind.OVERLOAD, frame.mono_ns, "the encoder is too slow: pictures are dropped")

    def _is_left_out(self, mono_ns: int) -> bool:
        """On purpose, and before it costs anything; counted."""
        out = self._path.leaves_out(mono_ns)
        if out:
            self._left_out += 1
            self._delivery.missed(1, mono_ns - self._zero_ns, on_purpose=True)
        return out

    def _on_signal(self, signal: SourceSignal) -> None:
        if self._channel.closed:
            # It has ended already: what a device says of being closed is no loss of it.
            return
        self._end = signal
        if not (self.begun or self.failure or len(self._channel)):
            self.failure = self.nothing(signal.detail)
        self._channel.close()
        self._wake()

    # -- on our own thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                frame = self._channel.get(NO_PICTURE_S if self._source.live else None)
                if frame is not None:
                    self._encode(frame)
                elif not self._lost and self._received:
                    self._lose(f"no picture for {NO_PICTURE_S:g} s")
        except Closed:
            self._delivery.publish(self._path.flush(), may_wait=not self._source.live)
        except Exception as err:
            told = err if isinstance(err, AgentError) else DeviceError(f"{type(err).__name__}: {reason(err)}")
            self.failure = told
            # What waits, and what still comes, is counted as dropped, and is no overload.
            self._channel.close()
            while len(self._channel) and (left := self._channel.get()):
                self._count_refused(left)
            self._lose(told.message)
        finally:
            self.ended = True
            self._delivery.finish(Track.VIDEO)
            # What was lost since the last picture that was encoded belongs to it.
            self._tell_irregular(self._irregular.see(self._clock.monotonic_ns(), self._counts()))
            self._tell_irregular(self._irregular.end())
            self._tell_end()

    def _noticed(self, changes: list[Change]) -> None:
        for what, wrong, since_ns in changes:
            kind, detail = WATCHED[what, wrong]
            self._tell(kind, since_ns, detail)

    def _counts(self) -> Counts:
        return {
            "pictures lost by the camera": self._known_lost,
            DOUBTFUL: self._source.doubtful_frames,
            "pictures that could not be used": self._refused,
            "stamps put right": self._placing.replaced,
            LEAPT: self._placing.steps.taken_ms,
        }

    def _tell_irregular(self, told: Told | None) -> None:
        if told:
            begins, since_ns, words = told
            kind = IntakeEventKind.CAMERA_IRREGULAR if begins else IntakeEventKind.CAMERA_REGULAR
            self._tell(kind, since_ns, f"{self.name}: {words}")

    def _refuse(self, frame: Item) -> None:
        """It came, and cannot be used."""
        self._count_refused(frame)
        silent_ns = frame.mono_ns - (self.latest_ns or frame.mono_ns)
        if not self._lost and silent_ns > NO_PICTURE_S * NS:
            self._lose(f"no picture for {NO_PICTURE_S:g} s that can be decoded")

    def _count_refused(self, frame: Item) -> None:
        self._refused += 1
        self._delivery.missed(1, frame.mono_ns - self._zero_ns)

    def _encode(self, frame: Item) -> None:
        self._tell_irregular(self._irregular.see(frame.mono_ns, self._counts()))
        ticks = ((frame.mono_ns - self._zero_ns) * VIDEO_HZ + NS // 2) // NS
        try:
            packets = self._path.take(frame, ticks)
        except Exception:
            self._count_refused(frame)
            raise
        if not packets:
            self._refuse(frame)
            return
        self._delivery.publish(packets, may_wait=not self._source.live)
        self._encoded += 1
        self._stamps.append(frame.mono_ns)
        self.latest_ns = frame.mono_ns
        if not self.begun:
            self.first_ns, self.begun = frame.mono_ns, True
            self._wake()
        if self._lost:
            self._lost = False
            self._tell(IntakeEventKind.CAMERA_BACK, frame.mono_ns, "the camera gives pictures again")
        self._tell_calm(frame.mono_ns)

    def _tell_calm(self, mono_ns: int) -> None:
        if not len(self._channel):
            self._tell_over(self._overload.over(mono_ns), mono_ns, "pictures were dropped")

    def _tell_over(self, count: int | None, mono_ns: int, words: str) -> None:
        if count is not None:
            self._tell(IntakeEventKind.OVERLOAD_OVER, mono_ns, f"{count} {words}")

    def _lose(self, why: str) -> None:
        self._lost = True
        self._tell(IntakeEventKind.CAMERA_LOST, self.latest_ns or self._clock.monotonic_ns(), f"{self.name}: {why}")

    def _tell_end(self) -> None:
        """A clip has an end; a lens that has one is lost."""
        end = self._end
        if end is None:
            self._wake()
        elif end.kind is SignalKind.ENDED and not self._source.live:
            self._tell(IntakeEventKind.SOURCE_ENDED, end.mono_ns, end.detail)
        else:
            self._tell(IntakeEventKind.CAMERA_LOST, end.mono_ns, end.detail)
