"""Glue: sources, bounded queues, encoders, ring. Each wait has an end; nothing is dropped without being counted and
said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent.capture.base import AudioSource, EncodedSource, VideoSource
from agent.clock import Clock
from agent.errors import AgentError, DeviceError
from agent.intake.delivery import Delivery, Sink, Tally
from agent.intake.mute import silenced
from agent.intake.paths import Burn, BurnPlanes
from agent.intake.picture import PictureWorker
from agent.intake.report import IntakeCounters, IntakeEvent, IntakeEventKind, IntakeSettings
from agent.intake.sound import SoundWorker
from agent.media.prebuffer import Prebuffer
from agent.model import StreamInfo, Track

OnEvent = Callable[[IntakeEvent], None]
DETACH_S = 3.0
BACKLOG_S = 15.0
ALWAYS_NS = -(1 << 62)
STOP_S = 3.0


class Intake:
    """One lens and perhaps one microphone, encoded from `start` to `stop`, with the last seconds kept in a ring.

    `on_event` is called on the intake's threads and must not block. A sink is called on the delivery thread, one
    packet at a time, and may take its time: the ring carries what it cannot take yet.
    """

    def __init__(
        self,
        video: VideoSource | EncodedSource,
        audio: AudioSource | None,
        settings: IntakeSettings,
        clock: Clock,
        on_event: OnEvent,
        burn: Burn | None = None,
        burn_planes: BurnPlanes | None = None,
    ) -> None:
        """`burn` puts text into each picture before it is encoded, `burn_planes` where the source encodes."""
        self._clock, self._on_event = clock, on_event
        self._changed = threading.Condition()
        self._packets_lost = 0
        tracks = {Track.VIDEO} if audio is None else {Track.VIDEO, Track.AUDIO}
        ring = Prebuffer(settings.pre_event_s, settings.ring_bytes)
        self._delivery = Delivery(ring, tracks, self._on_lost, self._on_caught_up, self._on_sink_failed)
        self._picture = PictureWorker(video, settings, clock, self._delivery, self._tell, self._wake, burn, burn_planes)
        self._sound = (
            None
            if audio is None
            else SoundWorker(audio, settings, clock, self._delivery, self._tell, self._wake, self._picture)
        )
        self._zero_ns = 0
        # No stamp comes to lie before zero, however much is taken off it.
        self._earliest_ns = max(0, settings.picture_latency_ns, settings.sound_latency_ns)

    @property
    def live(self) -> bool:
        """False where the picture is a clip's, which has an end of its own."""
        return self._picture.live

    def start(self) -> None:
        """Open both devices. Raises DeviceError where one is missing or busy, and leaves nothing open then."""
        self._zero_ns = self._clock.monotonic_ns() - self._earliest_ns
        self._delivery.start()
        try:
            if self._sound:
                self._sound.start(self._zero_ns)
            self._picture.start(self._zero_ns)
        except AgentError:
            self.stop()
            raise

    def wait_ready(self, deadline_s: float) -> StreamInfo:
        """Until the first picture is encoded and the sound's timeline has begun (with silence, if need be).

        Raises DeviceError where no picture comes within `deadline_s`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_ready() or self._picture.failure, deadline_s)
            if not self._is_ready():
                why = self._picture.failure or self._picture.nothing(f"no picture within {deadline_s:g} s")
                raise DeviceError(f"{self._picture.name}: {why.message}", why.hint) from self._picture.failure
        extradata, width, height = self._picture.stream()
        return StreamInfo(width, height, extradata, self._sound.extradata if self._sound else None, self._zero_ns)

    def attach(self, sink: Sink, since_mono_ns: int, silent_before_mono_ns: int | None = None) -> Tally:
        """Feed `sink` from the newest key frame at or before `since_mono_ns` (or the oldest the ring holds): ring,
        then live, in one order, nothing lost or doubled; with the sound that covers that first picture and one AAC
        frame before it. Sound captured before `silent_before_mono_ns` is silence.

        Returns the count of its pictures, which goes on until `detach`. Raises DeviceError where there is no picture.
        """
        if silent_before_mono_ns is not None:
            sink = silenced(sink, silent_before_mono_ns - self._zero_ns)
        return self._delivery.attach(sink, since_mono_ns - self._zero_ns)

    def keep(self, since_mono_ns: int | None) -> None:
        """Somebody may want a recording from this instant on, and does not say so yet: as long as there is room,
        nothing of it becomes too old for the ring. None: as ever. From any thread.
        """
        self._delivery.keep(None if since_mono_ns is None else since_mono_ns - self._zero_ns)

    def begins(self, since_mono_ns: int) -> int:
        """When the picture is that `attach` would begin with now: later than wanted where the ring holds no more."""
        found_ns = self._delivery.begins(since_mono_ns - self._zero_ns)
        return since_mono_ns if found_ns is None else self._zero_ns + found_ns

    def detach(self, until_mono_ns: int | None = None, deadline_s: float = DETACH_S) -> bool:
        """Return once everything captured before `until_mono_ns` (default: now) is with the sink, which then hears no
        more. A source that does not get that far within `deadline_s` is not waited for longer.

        False where the sink did not take all there was, but nothing for BACKLOG_S. Raises the AgentError that the
        sink raised, if it did.
        """
        until = self._clock.monotonic_ns() if until_mono_ns is None else until_mono_ns
        return self._delivery.detach(until - self._zero_ns, deadline_s, BACKLOG_S)

    def mute(self, since_mono_ns: int | None = None) -> None:
        """Sound captured from this instant on is silence, and up to 43 ms before it; all of it without one, before
        `start`.
        """
        if self._sound:
            self._sound.mute.begin(ALWAYS_NS if since_mono_ns is None else since_mono_ns - self._zero_ns)

    def unmute(self, until_mono_ns: int) -> None:
        """Sound captured from this instant on is heard again, up to 43 ms later."""
        if self._sound:
            self._sound.mute.end(until_mono_ns - self._zero_ns)

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        """From now on: this mean bitrate, at most that of the settings, and at most so many pictures a second; 0 for
        all that come. Without new parameter sets, so in the middle of a recording, too. Raises DeviceError where a
        camera that encodes by itself cannot.
        """
        self._picture.set_rate(bitrate_kbps, fps)

    @property
    def pictures(self) -> int:
        """How many are in the ring, or were. From any thread, without waiting."""
        return self._picture.encoded

    @property
    def behind(self) -> bool:
        """Whether pictures wait for the encoder, ours or the camera's own, though none may be lost yet."""
        return self._picture.behind

    @property
    def lost_ns(self) -> int:
        """When the last picture was captured for which something was too slow (intake/overload.py); 0 where none was.
        From any thread, without waiting.
        """
        return self._picture.lost_ns

    def counters(self) -> IntakeCounters:
        """A snapshot, from any thread."""
        picture = self._picture.counts()
        sound = self._sound.report() if self._sound else None
        ring_s, ring_bytes = self._delivery.ring_state()
        return IntakeCounters(
            frames_captured=picture.captured,
            frames_encoded=picture.encoded,
            frames_dropped=picture.dropped + picture.device_drops,
            device_drops=picture.device_drops,
            doubtful_drops=picture.doubtful_drops,
            frames_left_out=picture.left_out,
            stamps_replaced=picture.stamps_replaced,
            fps=picture.fps,
            av_offset_mean_ms=sound.offset_mean_ms if sound else 0.0,
            av_offset_max_ms=sound.offset_max_ms if sound else 0.0,
            silence_ms=sound.silence_ms if sound else 0.0,
            sound_gaps=sound.gaps if sound else 0,
            sound_overlaps=sound.overlaps if sound else 0,
            sound_corrections=sound.corrections if sound else 0,
            sound_drift_ppm=sound.drift_ppm if sound else 0.0,
            sound_blocks_dropped=self._sound.dropped_blocks if self._sound else 0,
            sound_stamps_replaced=self._sound.stamps_replaced if self._sound else 0,
            packets_lost=self._packets_lost,
            ring_s=round(ring_s, 3),
            ring_bytes=ring_bytes,
        )

    def stop(self) -> bool:
        """Give the devices back, end all threads, and leave nothing of the ring in memory. False where a device or
        sink did not let go in time.
        """
        # Delivery first: an encoder may be waiting for room in the ring.
        parts = [self._delivery.stop, self._picture.stop, *([self._sound.stop] if self._sound else [])]
        let_go = [stop(STOP_S) for stop in parts]
        # What the last seconds held is nobody's from here on, whether or not a device let go.
        self._delivery.wipe()
        return all(let_go)

    def _is_ready(self) -> bool:
        return self._picture.begun and (self._sound is None or self._sound.begun)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _tell(self, kind: IntakeEventKind, mono_ns: int, detail: str) -> None:
        self._on_event(IntakeEvent(kind, mono_ns, detail))
        self._wake()

    def _on_lost(self, packets: int) -> None:
        self._packets_lost += packets
        detail = f"{packets} encoded packets lost: what records them fell behind by the whole ring"
        self._tell(IntakeEventKind.OVERLOAD, self._clock.monotonic_ns(), detail)

    def _on_caught_up(self) -> None:
        detail = f"{self._packets_lost} encoded packets lost so far"
        self._tell(IntakeEventKind.OVERLOAD_OVER, self._clock.monotonic_ns(), detail)

    def _on_sink_failed(self, error: AgentError) -> None:
        self._tell(IntakeEventKind.SINK_FAILED, self._clock.monotonic_ns(), error.message)
