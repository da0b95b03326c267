"""Camera and microphone as the recorder holds them: opened at the start, given back, taken again after a loss."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from agent import localtime
from agent.capture import choose
from agent.capture.base import EncodedSource, VideoSource
from agent.capture.mixer import Gain
from agent.clock import Clock
from agent.config import Config, VideoConfig
from agent.errors import DeviceError
from agent.intake import Intake, IntakeEvent, IntakeSettings
from agent.intake.paths import Burn, BurnPlanes
from agent.intake.stamps import AHEAD_NS
from agent.media.overlay import DateLine, Overlay

READY_S = 20.0
Burns = tuple[Burn, BurnPlanes] | tuple[()]


class Lens:
    """`intake` is there while both are open. `post` puts what an intake tells into the loop's turn, where `on_event`
    hears it. What it has told up to its end is heard before `close` returns; what one tells that is no longer held is
    not heard, for it would be taken for the next one's.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        post: Callable[[Callable[[], None]], None],
        on_event: Callable[[IntakeEvent], None],
    ) -> None:
        config = choose.sized(config)
        self._config, self._clock, self._post, self._on_event = config, clock, post, on_event
        self._told = deque[IntakeEvent]()
        """What the intake that is held has told, and nobody has heard yet."""
        self._let_go = True
        self._dates = DateLine(clock, localtime.find_or_utc(config.camera.timezone)[0])
        self._overlay: Overlay | None = None
        self._no_overlay: str | None = None
        self._unit = config.camera.unit
        self._muted = not config.recording.pre_event_sound
        self._gain = Gain(config.audio.capture_percent)
        self.intake: Intake | None = None
        self._video = self._opened = config.video
        self._coded = self._rate(config.video)
        self.opened_ns = 0
        """When what is open now was opened: the ring holds nothing from before."""
        self.seen_ns = 0
        """From when on the ring had pictures of what is open now, whatever became of them."""

    @property
    def pictures(self) -> int | None:
        """How many came into the ring of what is open; None while nothing is. From any thread."""
        intake = self.intake
        return intake.pictures if intake else None

    @property
    def stuck(self) -> bool:
        """Nothing is open, and a device did not let go: while it does not, only another process gets it back."""
        return self.intake is None and not self._let_go

    def mute(self, mono_ns: int) -> None:
        """No sound from this instant on, nor from a microphone that is taken back later."""
        self._muted = True
        if self.intake:
            self.intake.mute(mono_ns)

    def unmute(self, mono_ns: int) -> None:
        """Sound again from this instant on. From any thread."""
        self._muted, intake = False, self.intake
        if intake:
            intake.unmute(mono_ns)

    def relabel(self, unit: str | None) -> None:
        """Whoever wears the camera is of this unit: the picture says so, where the configuration wants it."""
        if self._config.overlay.assigned_unit:
            self._unit = unit or self._config.camera.unit
            if self._overlay:
                self._overlay.relabel(self._labels())

    def _labels(self) -> list[str]:
        return [self._config.camera.id, self._unit]

    @property
    def video(self) -> VideoConfig:
        """Size, rate and bitrate that are wanted now."""
        return self._video

    @property
    def size_is_due(self) -> bool:
        """Whether what is open has another size than is wanted; a clip keeps its own."""
        if self.intake is None or not self.intake.live:
            return False
        return (self._opened.width, self._opened.height) != (self._video.width, self._video.height)

    def code(self, video: VideoConfig) -> None:
        """This bitrate and rate from the next `set_rate` on, in the middle of a recording too; this size from the next
        `open` on.
        """
        self._video = video

    @property
    def rate_is_due(self) -> bool:
        """Whether what is open has another bitrate or rate than is wanted."""
        return self.intake is not None and self._coded != self._rate(self._video)

    def set_rate(self) -> None:
        """Have what is open code as is wanted. Raises DeviceError where it encodes by itself and cannot."""
        if self.intake:
            wanted = self._rate(self._video)
            self.intake.set_rate(*wanted)
            self._coded = wanted

    def _rate(self, video: VideoConfig) -> tuple[int, int]:
        """As configured, every picture that comes is wanted: a lens may well give more than it was asked for."""
        return video.bitrate_kbps, 0 if video.fps == self._config.video.fps else video.fps

    @property
    def overlay_trouble(self) -> str | None:
        """Why no text is burned into the picture, though it should be. A picture without text is better than none."""
        return self._no_overlay or (self._overlay.trouble if self._overlay else None)

    @property
    def gain_trouble(self) -> str | None:
        """Why the microphone's card has not the capture volume that it should have. It records all the same."""
        return self._gain.trouble

    def open(self, ready_s: float = READY_S) -> None:
        """Returns when pictures come. Raises DeviceError where they do not within `ready_s`, and whatever a driver
        raises; nothing is open then.
        """
        self.close()
        wanted = self._opened = replace(self._config.video, width=self._video.width, height=self._video.height)
        video, audio = choose.open_sources(replace(self._config, video=wanted), self._clock, self._gain)
        told = self._told = deque()
        settings = IntakeSettings.of(self._config)
        self._overlay = overlay = self._make_overlay(video)

        def hear(event: IntakeEvent) -> None:
            told.append(event)
            self._post(lambda: self._hear(told))

        intake = Intake(video, audio, settings, self._clock, hear, *_burns(overlay))
        if self._muted:
            intake.mute()
        opened_ns = self._clock.monotonic_ns()
        try:
            intake.start()
            intake.wait_ready(ready_s)
        except BaseException:
            # Why it is not open is told by what is raised.
            self._told = deque()
            # What did not let go before may still be what is in the way.
            self._let_go = intake.stop() and self._let_go
            raise
        # What opens again had let go.
        self._let_go = True
        self.opened_ns, self.seen_ns = opened_ns, self._clock.monotonic_ns() + AHEAD_NS
        self.intake, self._coded = intake, self._rate(self._config.video)

    def _make_overlay(self, video: VideoSource | EncodedSource) -> Overlay | None:
        wanted = self._config.overlay
        self._no_overlay = None
        if not wanted.enabled:
            return None
        if isinstance(video, EncodedSource) and not video.shows:
            self._no_overlay = f"{video.name} gives no pictures that text could be burned into; switch [overlay] off"
            return None
        try:
            return Overlay(self._dates, self._labels(), wanted.height_percent)
        except DeviceError as err:
            self._no_overlay = f"{err.message}; {err.hint}"
            return None

    def close(self) -> bool:
        """Give both devices back. False where one did not let go in time, until both were open again."""
        intake, self.intake = self.intake, None
        if intake is None:
            return self._let_go
        try:
            self._let_go = intake.stop()
        finally:
            # How many pictures it lost, which its parts tell as they end, stands nowhere else.
            self._hear_all()
        del intake
        # Its parts know each other, so only the collector frees its encoder and its ring, 80 MiB at 1080p: by itself it
        # may come so late that the next two are there by then.
        gc.collect()
        return self._let_go

    def _hear(self, told: deque[IntakeEvent]) -> None:
        """The oldest, where it was not heard at a close already."""
        if told is self._told and told:
            self._on_event(told.popleft())

    def _hear_all(self) -> None:
        told, self._told = self._told, deque()
        while told:
            self._on_event(told.popleft())


def _burns(overlay: Overlay | None) -> Burns:
    return (overlay.burn, overlay.burn_planes) if overlay else ()
