"""The officer's share of the configuration: lines of the panel, gestures, signals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Annotated

from agent.configrules import AS_IT_IS, Flag, Key, Mistake, Text, Whole, defaults, one_of

NO_LINE = -1
_BESIDE = ("dock", "dock_active_low", "trigger_name")
"""Without them hand and trigger still begin a recording, and lights and motor still tell."""
_LAST_LINE = 27
"""gpiozero numbers those of a 40-pin header, whatever the chip has (docs/decisions/0020-gpiozero.md)."""
_PULLED_UP = (2, 3)
"""The board itself pulls these two up, for I2C, and gpiozero takes no other pull."""
_LINE = Whole(f"line number; {NO_LINE}: there is none", NO_LINE, _LAST_LINE)
_IDLE = one_of("none", "record", "sleep", "tell", "stealth")
_GESTURES = ("press", "double", "hold", "long")
_MODAL = tuple(f"{mode}_{name}" for mode in ("idle", "recording") for name in _GESTURES)
_RECORDING = one_of("none", "stop", "mark", "mute", "tell", "stealth")


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelConfig:
    """Button, lights and contacts on GPIO."""

    chip: Annotated[
        str,
        Key(
            Text('a chip\'s label, "gpiochipN", "synthetic", or "" for none', r"[A-Za-z0-9._:@-]{0,64}"),
            "The GPIO chip of these lines, like pinctrl-bcm2711. Without one `bodycam-agent ctl` is the button.",
        ),
    ] = ""
    button: Annotated[int, Key(_LINE, "The button.")] = NO_LINE
    button_active_low: Annotated[bool, Key(Flag(), "It pulls its line to ground; the line is pulled up inside.")] = True
    dock: Annotated[int, Key(_LINE, "The contact that closes in the dock.")] = NO_LINE
    dock_active_low: Annotated[bool, Key(Flag(), "It pulls its line to ground; the line is pulled up inside.")] = True
    trigger: Annotated[
        int, Key(_LINE, "Something that is no button and makes the camera record: a holster, a vehicle.")
    ] = NO_LINE
    trigger_active_low: Annotated[bool, Key(Flag(), "As above.")] = True
    trigger_name: Annotated[
        str, Key(Text("1 to 40 of a-z, 0-9, space and -", r"[a-z0-9 -]{1,40}"), "What the log calls it.")
    ] = "trigger"
    light: Annotated[int, Key(_LINE, "The light for recording.")] = NO_LINE
    status_light: Annotated[int, Key(_LINE, "The light for everything else.")] = NO_LINE
    vibration: Annotated[int, Key(_LINE, "The vibration motor.")] = NO_LINE
    tone: Annotated[int, Key(_LINE, "The beeper.")] = NO_LINE
    outputs_active_low: Annotated[bool, Key(Flag(), "Lights, motor and beeper are on at the low level.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GesturesConfig:
    """What the one button does, by what the camera does when it goes down."""

    debounce_ms: Annotated[int, Key(Whole("milliseconds", 1, 200), "A contact that rests for so long is believed.")] = (
        20
    )
    double_ms: Annotated[
        int, Key(Whole("milliseconds", 100, 1000), "The second press of a double one comes within this.")
    ] = 400
    hold_ms: Annotated[int, Key(Whole("milliseconds", 300, 10_000), "Down for so long is a hold.")] = 1500
    long_ms: Annotated[int, Key(Whole("milliseconds", 1000, 30_000), "Down for so long is a long hold.")] = 5000
    stuck_s: Annotated[
        int, Key(Whole("seconds", 2, 120), "Down for so long is a defect: the fault `button`, and no recording.")
    ] = 20
    idle_press: Annotated[
        str, Key(_IDLE, "Not recording, also in a fault: a press. The recording starts at its instant.")
    ] = "record"
    idle_double: Annotated[str, Key(_IDLE, "Not recording: a double press.")] = "record"
    idle_hold: Annotated[str, Key(_IDLE, "Not recording: a hold, done at the release.")] = "record"
    idle_long: Annotated[str, Key(_IDLE, "Not recording: a long hold; none: as a hold.")] = "none"
    recording_press: Annotated[str, Key(_RECORDING, "Recording: a press.")] = "mark"
    recording_double: Annotated[str, Key(_RECORDING, "Recording: a double press; mute is taken back by another.")] = (
        "none"
    )
    recording_hold: Annotated[str, Key(_RECORDING, "Recording: a hold.")] = "stop"
    recording_long: Annotated[str, Key(_RECORDING, "Recording: a long hold; none: as a hold.")] = "none"
    asleep: Annotated[str, Key(one_of("record", "wake"), "Asleep: whatever is done to the button.")] = "record"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalsConfig:
    """What the officer sees, feels and hears."""

    light: Annotated[
        bool, Key(Flag(), "Both lights. Without, and without tones, the camera is covert.", wrong=False)
    ] = True
    tone: Annotated[bool, Key(Flag(), "Tones.", wrong=False)] = True
    vibration: Annotated[str, Key(one_of("off", "normal", "strong"), "Vibration; strong lasts twice as long.")] = (
        "normal"
    )
    reminder_s: Annotated[int, Key(Whole("seconds; 0: none", 0, 3600), "It says this often that it records.")] = 120


def takes_the_panel(mistake: Mistake) -> bool:
    """Whether button, trigger or what shows to the officer may lack for it, or stand on another's line."""
    panel = {"panel", *(f"panel.{key.name}" for key in fields(PanelConfig) if key.name not in _BESIDE)}
    first, *others = mistake.keys
    contested = others if first.startswith("panel.") else ()
    return not panel.isdisjoint({first, mistake.meant, *contested}) or "signals.light" in mistake.instead


def contradictions(panel: PanelConfig, gestures: GesturesConfig, signals: SignalsConfig) -> list[Mistake]:
    """What each key allows alone, but not together."""
    return [
        *_lines_used_twice(panel),
        *_pulled_the_other_way(panel),
        *_order(gestures),
        *_what_no_hand_can(panel, gestures),
        *_unnoticed(panel, gestures, signals),
    ]


def _lines_used_twice(panel: PanelConfig) -> Iterator[Mistake]:
    used = dict[int, str]()
    for name in ("button", "dock", "trigger", "light", "status_light", "vibration", "tone"):
        number = getattr(panel, name)
        if number != NO_LINE and number in used:
            keys = (f"panel.{name}", f"panel.{used[number]}")
            words = f"line {number} is that of panel.{used[number]} already"
            yield Mistake(keys, words, f"used: panel.{name} = {NO_LINE}", {f"panel.{name}": NO_LINE})
        used.setdefault(number, name)


def _pulled_the_other_way(panel: PanelConfig) -> Iterator[Mistake]:
    """An input that is down at the high level rests at the low one."""
    for name in ("button", "dock", "trigger") if panel.chip not in ("", "synthetic") else ():
        number, level = getattr(panel, name), f"{name}_active_low"
        if number in _PULLED_UP and not getattr(panel, level):
            words = f"line {number} is pulled up on the board, so panel.{level} = false does not work there"
            keys = (f"panel.{name}", f"panel.{level}")
            yield Mistake(keys, words, f"used: panel.{name} = {NO_LINE}", {f"panel.{name}": NO_LINE})


def _order(gestures: GesturesConfig) -> Iterator[Mistake]:
    order = {"debounce_ms": 1, "hold_ms": 1, "long_ms": 1, "stuck_s": 1000}
    for (first, unit), (then, longer) in pairwise(order.items()):
        if getattr(gestures, first) * unit >= getattr(gestures, then) * longer:
            keys = (f"gestures.{then}", f"gestures.{first}")
            words = f"must be longer than gestures.{first} ({getattr(gestures, first)} ms)"
            plain = GesturesConfig()
            instead = {f"gestures.{key}": getattr(plain, key) for key in order}
            yield defaults(keys, words, instead)


def _what_no_hand_can(panel: PanelConfig, gestures: GesturesConfig) -> Iterator[Mistake]:
    """A camera with a button begins and ends a recording by it."""
    if not panel.chip or panel.button == NO_LINE:
        return
    for mode, deed, gesture in (("idle", "record", "press"), ("recording", "stop", "hold")):
        keys = tuple(f"{mode}_{name}" for name in _GESTURES)
        if all(getattr(gestures, key) != deed for key in keys):
            words = f'no gesture does {deed}, and panel.button is there; did you mean {mode}_{gesture} = "{deed}"?'
            first = f"{mode}_{gesture}"
            rest = [f"gestures.{key}" for key in keys if key != first]
            keys = (f"gestures.{first}", *rest, "panel.chip", "panel.button")
            yield Mistake(keys, words, f'used: gestures.{first} = "{deed}"', {f"gestures.{first}": deed})


def has_motor(panel: PanelConfig) -> bool:
    """Whether there is one to vibrate; of a camera whose panel is none, or its twin, nothing else is known."""
    return panel.chip in ("", "synthetic") or panel.vibration != NO_LINE


def _unnoticed(panel: PanelConfig, gestures: GesturesConfig, signals: SignalsConfig) -> Iterator[Mistake]:
    """What leaves no sign of an alarm."""
    stealth = [key for key in _MODAL if getattr(gestures, key) == "stealth"]
    visible = signals.light or signals.tone
    if not has_motor(panel):
        words = f"no motor, no light and no tone: nobody would notice an alarm; a motor's line is wanted, not {NO_LINE}"
        if not visible:
            yield Mistake(("panel.vibration", "panel.chip", "signals.light", "signals.tone"), words, AS_IT_IS)
        for key in stealth:
            # A long hold that does nothing of its own is a hold, which may stop: whoever wants to hide wants no such.
            words = f"stealth without a motor (panel.vibration = {NO_LINE}) leaves no sign of anything"
            instead = f'used: gestures.{key} = "tell"', {f"gestures.{key}": "tell"}
            yield Mistake((f"gestures.{key}", "panel.vibration", "panel.chip"), words, *instead)
    elif signals.vibration == "off":
        instead = 'used: signals.vibration = "normal"', {"signals.vibration": "normal"}
        words = 'off, with no light and no tone: nobody would notice an alarm; did you mean "normal"?'
        if not visible:
            yield Mistake(("signals.vibration", "signals.light", "signals.tone"), words, *instead)
        for key in stealth:
            words = 'stealth without vibration leaves no sign of anything; did you mean signals.vibration = "normal"?'
            yield Mistake((f"gestures.{key}", "signals.vibration"), words, *instead)
