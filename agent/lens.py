"""Camera and microphone as the recorder holds them: opened at the start, given back, taken again after a loss."""

from __future__ import annotations

from collections.abc import Callable

from agent.capture import choose
from agent.clock import Clock
from agent.config import Config
from agent.intake import Intake, IntakeEvent, IntakeSettings

READY_S = 20.0


class Lens:
    """`intake` is there while both are open. `post` puts what an intake tells into the loop's turn, where `on_event`
    hears it; what one tells that is no longer held is not heard, for it would be taken for the next one's.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        post: Callable[[Callable[[], None]], None],
        on_event: Callable[[IntakeEvent], None],
    ) -> None:
        self._config, self._clock, self._post, self._on_event = config, clock, post, on_event
        self._held: object = None
        self.intake: Intake | None = None

    def open(self) -> None:
        """Returns when pictures come. Raises DeviceError where they do not within 20 s, and whatever a driver raises;
        nothing is open then.
        """
        self.close()
        video, audio = choose.open_sources(self._config, self._clock)
        held = self._held = object()
        settings = IntakeSettings.of(self._config)
        intake = Intake(video, audio, settings, self._clock, lambda event: self._post(lambda: self._hear(held, event)))
        try:
            intake.start()
            intake.wait_ready(READY_S)
        except BaseException:
            self._held = None
            intake.stop()
            raise
        self.intake = intake

    def close(self) -> None:
        """Give both devices back."""
        intake, self.intake, self._held = self.intake, None, None
        if intake:
            intake.stop()

    def _hear(self, held: object, event: IntakeEvent) -> None:
        if held is self._held:
            self._on_event(event)
