"""From microphone to packets: one thread places blocks on the timeline, fills what is missing with silence, encodes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from agent.capture.base import AudioSource, SourceSignal
from agent.capture.sync import Sound, SoundTimeline, SyncReport
from agent.capture.watch import Change, SoundWatch
from agent.clock import Clock
from agent.errors import reason
from agent.intake.channel import Channel, Closed
from agent.intake.delivery import Delivery
from agent.intake.irregular import Counts, Irregular, Told
from agent.intake.mute import Mute
from agent.intake.picture import PictureWorker, Tell
from agent.intake.report import WATCHED, IntakeEventKind, IntakeSettings, watches
from agent.intake.stamps import Stamps
from agent.intake.steadiness import Steadiness
from agent.intake.steps import LEAPT
from agent.media.encoder import AacEncoder
from agent.model import AUDIO_HZ, NS, AudioBlock, Track

WAITING_BLOCKS = 256
"""5 s of blocks: sound is small, and a stall of the machine must not cost any."""
FIRST_SOUND_NS = NS // 2
"""How long after the first picture a microphone may still take to begin before silence takes its place."""
RECHECK_S = 0.1
HELD_UP_NS = 3 * NS // 2
"""Where so much sound waits for the encoder, that stands still."""


class SoundWorker:
    """Sound never lags the picture by more than SyncLimits.lag_ns: a dead microphone must not hold up a recording. A
    source that is not live is waited for; silence takes its place only once it has ended.
    """

    def __init__(
        self,
        source: AudioSource,
        settings: IntakeSettings,
        clock: Clock,
        delivery: Delivery,
        tell: Tell,
        wake: Callable[[], None],
        picture: PictureWorker,
    ) -> None:
        self._source, self._clock, self._delivery = source, clock, delivery
        self._tell, self._wake, self._picture = tell, wake, picture
        self._kbps = settings.audio_kbps
        self._encoder = AacEncoder(self._kbps)
        self._failing = ""
        self._channel: Channel[AudioBlock | None] = Channel(WAITING_BLOCKS)
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._timeline = SoundTimeline(0)
        self._watch = SoundWatch() if watches(settings, source.live) else None
        self.mute = Mute()
        self._latency_ns = settings.sound_latency_ns
        self._gone = False
        self._lost, self._steadiness = False, Steadiness()
        self._dropped = 0
        self._irregular, self._placing = Irregular(), Stamps(source.live)
        self._usual_ns = 0
        self.begun = False
        self.extradata = self._encoder.extradata

    @property
    def dropped_blocks(self) -> int:
        return self._dropped + self._source.dropped_blocks

    @property
    def stamps_replaced(self) -> int:
        return self._placing.replaced + self._timeline.report().wild_stamps

    def start(self, zero_ns: int) -> None:
        self._timeline = SoundTimeline(zero_ns)
        self._source.start(self._on_block, self._on_signal)
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        self._channel.close(discard=True)
        released = self._source.stop(deadline_s)
        if self._thread.is_alive():
            self._thread.join(deadline_s)
        return released and not self._thread.is_alive()

    def report(self) -> SyncReport:
        return self._timeline.report()

    # -- on the source's thread ------------------------------------------------------------------------------------

    def _on_block(self, block: AudioBlock) -> None:
        length_ns = len(block.pcm) // 2 * NS // AUDIO_HZ
        arrived_ns = self._clock.monotonic_ns() - length_ns
        mono_ns = self._placing.place(block.mono_ns, arrived_ns, self._usual_ns) - self._latency_ns
        block, self._usual_ns = replace(block, mono_ns=mono_ns), length_ns
        # What still comes while it is closed has no place any more, and is not lost.
        if not self._channel.put(block, wait=not self._source.live) and not self._channel.closed:
            self._dropped += 1
        if self._source.live and not self._lost and len(self._channel) * length_ns > HELD_UP_NS:
            # Our own thread stands still, so it cannot say so.
            self._lose("the encoder of the sound stands still", self._timeline.end_ns or mono_ns)

    def _on_signal(self, signal: SourceSignal) -> None:
        self._gone = True
        self._channel.put(None, wait=False)

    # -- on our own thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not (self._gone and self._picture.ended and not len(self._channel)):
                block = self._channel.get(self._patience_s())
                if block and self._watch:
                    self._tell_watched(self._watch.hear(block.mono_ns, block.pcm))
                self._publish(self._place(block) if block else self._starve())
                self._notice()
                self._tell_irregular(self._irregular.see(self._timeline.end_ns or 0, self._counts()))
            self._publish(self._timeline.rest())
            self._encode([self.mute.rest()])
            self._delivery.publish(self._encoder.flush(), may_wait=False)
        except Closed:
            pass
        except Exception as err:
            detail = f"{self._source.name}: {type(err).__name__}: {reason(err)}"
            self._tell(IntakeEventKind.MICROPHONE_LOST, self._clock.monotonic_ns(), detail)
        finally:
            self._delivery.finish(Track.AUDIO)
            self._tell_irregular(self._irregular.see(self._timeline.end_ns or 0, self._counts()))
            self._tell_irregular(self._irregular.end())
            self._wake()

    def _counts(self) -> Counts:
        done = self._timeline.report()
        return {
            "blocks lost by the driver": self._source.dropped_blocks,
            "blocks that came too fast": self._dropped,
            "gaps filled with silence": done.gaps,
            "overlaps left out": done.overlaps,
            "jumps to stay in step": done.corrections,
            "stamps put right": self.stamps_replaced,
            LEAPT: self._placing.steps.taken_ms,
        }

    def _tell_irregular(self, told: Told | None) -> None:
        if told:
            begins, since_ns, words = told
            kind = IntakeEventKind.MICROPHONE_IRREGULAR if begins else IntakeEventKind.MICROPHONE_REGULAR
            self._tell(kind, since_ns, f"{self._source.name}: {words}")

    def _tell_watched(self, changes: list[Change]) -> None:
        for what, wrong, since_ns in changes:
            kind, detail = WATCHED[what, wrong]
            self._tell(kind, since_ns, f"{self._source.name}: {detail}")

    def _patience_s(self) -> float | None:
        """How long to wait for the next block before looking whether silence is due."""
        if self._gone or (self._source.live and not self._timeline.begun):
            return RECHECK_S
        starves_at = self._timeline.starves_at_ns()
        if not self._source.live or starves_at is None:
            return None
        return max(0.001, (starves_at - self._now_ns()) / NS)

    def _place(self, block: AudioBlock) -> list[Sound]:
        try:
            return self._timeline.feed(block)
        except Exception as err:
            # This block is lost, as if it had not come; the next one is tried.
            self._failing = f"{type(err).__name__}: {reason(err)}"
            return self._starve()

    def _starve(self) -> list[Sound]:
        """Silence, as far as it is due: up to now for a live source, up to the picture for one that has ended."""
        first_ns = self._picture.first_ns
        if self._source.live:
            reference_ns = self._now_ns()
        elif self._gone and self._picture.latest_ns is not None:
            reference_ns = self._picture.latest_ns
        else:
            return []
        if not self._timeline.begun and first_ns is not None and reference_ns - first_ns > FIRST_SOUND_NS:
            self._timeline.begin(first_ns)
        return self._timeline.fill_to(reference_ns)

    def _now_ns(self) -> int:
        """The instant that sound stamped now belongs to."""
        return self._clock.monotonic_ns() - self._latency_ns

    def _publish(self, sounds: list[Sound]) -> None:
        self._encode([self.mute.over(sound) for sound in sounds])

    def _encode(self, sounds: list[Sound]) -> None:
        try:
            packets = [p for sound in sounds for p in self._encoder.encode(sound.first_sample, sound.pcm)]
        except Exception as err:
            # This sound is lost; the next is tried with an encoder that nothing has gone wrong with.
            self._failing = f"{type(err).__name__}: {reason(err)}"
            self._encoder = AacEncoder(self._kbps)
            return
        if packets:
            self._failing = ""
            self._delivery.publish(packets, may_wait=not self._source.live)

    def _notice(self) -> None:
        if not self.begun and self._timeline.begun:
            self.begun = True
            self._wake()
        lost, now_ns = self._timeline.starved or bool(self._failing), self._timeline.end_ns or 0
        if self._lost:
            self._notice_back(lost, now_ns)
        elif self._timeline.starved:
            self._lose("no sound comes; silence is recorded in its place", self._timeline.lost_at_ns or now_ns)
        elif lost:
            self._lose(f"the sound cannot be placed or encoded: {self._failing}", now_ns)

    def _notice_back(self, lost: bool, now_ns: int) -> None:
        since_ns = self._steadiness.see(now_ns, lost)
        if since_ns is None:
            return
        self._lost = False
        silence_ms = self._timeline.report().silence_ms
        detail = f"{self._source.name}: sound again; {silence_ms:.0f} ms of silence so far"
        self._tell(IntakeEventKind.MICROPHONE_BACK, since_ns, detail)

    def _lose(self, why: str, mono_ns: int) -> None:
        self._steadiness.lose(mono_ns)
        self._lost = True
        self._tell(IntakeEventKind.MICROPHONE_LOST, mono_ns, f"{self._source.name}: {why}")
