"""The configuration's gestures as the recogniser and the machine take them. Pure."""

from __future__ import annotations

from agent.configcontrols import GesturesConfig
from agent.controls.gestures import Gesture, Mode, Timing
from agent.controls.machine import Action, Bindings
from agent.model import NS

MS = NS // 1000


def timing(config: GesturesConfig) -> Timing:
    return Timing(
        config.debounce_ms * MS,
        config.double_ms * MS,
        config.hold_ms * MS,
        config.long_ms * MS,
        config.stuck_s * NS,
    )


def bindings(config: GesturesConfig) -> Bindings:
    def of(mode: Mode) -> dict[Gesture, Action]:
        return {gesture: Action(getattr(config, f"{mode.value}_{gesture.value}")) for gesture in Gesture}

    return Bindings(of(Mode.IDLE), of(Mode.RECORDING), Action(config.asleep))
