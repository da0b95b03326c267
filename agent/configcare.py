"""The sections of the configuration that say how the camera looks after itself: [watch], [power] and
[ladder].
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from agent.configrules import FilePath, Flag, Key, Mistake, Text, TextList, Whole, defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig:
    """Whether there is anything to see and to hear."""

    enabled: Annotated[
        bool, Key(Flag(), "Show and log a covered lens, a frozen picture and a dead microphone, within 5 s.")
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerConfig:
    """Battery and heat: what is logged and shown, and when the camera asks to be switched off."""

    battery: Annotated[
        str,
        Key(
            Text('"auto", "none", or a name in power_supply', r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,60}"),
            'The battery that the camera runs on; "auto" takes the first there is. A camera without one is fine; of '
            "one whose gauge tells no percentage its own word counts (capacity_level), and one that tells neither is "
            "the fault `power`.",
        ),
    ] = "auto"
    thermometer: Annotated[
        str,
        Key(
            Text('"auto", "none", or the type of a thermal zone', r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,60}"),
            'How hot the camera is, by "cpu-thermal" or the like; "auto" takes the hottest zone.',
        ),
    ] = "auto"
    sysfs_dir: Annotated[
        Path, Key(FilePath("directory"), "Where the kernel shows both: power_supply and thermal are looked for here.")
    ] = Path("/sys/class")
    low_percent: Annotated[int, Key(Whole("percent of the battery", 1, 99), "At this much or less it is low.")] = 20
    critical_percent: Annotated[
        int,
        Key(
            Whole("percent of the battery", 0, 50), "At this much or less, and not charging, it is critical; 0: never."
        ),
    ] = 4
    power_off: Annotated[
        bool,
        Key(
            Flag(),
            "Critical for 10 s: end the recording with its reason, seal what is open, and ask bodycam-poweroff.path to "
            "switch off. A press after that still records, for as long as there is power.",
        ),
    ] = True
    hot_celsius: Annotated[int, Key(Whole("degrees Celsius", 30, 120), "From here on it is hot: see [ladder].")] = 75
    critical_celsius: Annotated[
        int, Key(Whole("degrees Celsius", 31, 125), "From here on too hot: down the ladder without waiting.")
    ] = 85
    report_s: Annotated[
        int,
        Key(Whole("seconds", 60, 86_400), "Battery and heat are logged this often, and when their level changes."),
    ] = 600

    def contradictions(self) -> list[Mistake]:
        """What each key allows alone, but not together."""
        mistakes = []
        if self.critical_percent >= self.low_percent:
            keys = ("power.critical_percent", "power.low_percent")
            mistakes.append(_both(keys, f"{self.critical_percent} is not below low_percent"))
        if self.critical_celsius <= self.hot_celsius:
            keys = ("power.critical_celsius", "power.hot_celsius")
            mistakes.append(_both(keys, f"{self.critical_celsius} is not above hot_celsius"))
        return mistakes


def _both(keys: tuple[str, ...], words: str) -> Mistake:
    plain = PowerConfig()
    return defaults(keys, words, {key: getattr(plain, key.partition(".")[2]) for key in keys})


_STEP = re.compile(r"([0-9]{1,3})/([0-9]{1,3})/([0-9]{1,3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderConfig:
    """What is given up in steps where heat, encoder, disk or battery ask for it. Each step is logged with its cause."""

    enabled: Annotated[
        bool, Key(Flag(), "Step down. Without it an encoder that is too slow drops pictures, which are counted.")
    ] = True
    steps: Annotated[
        tuple[str, ...],
        Key(
            TextList(
                Text("BITRATE/RATE/SIZE in percent of [video], each at most that of the step above", _STEP.pattern)
            ),
            "From the mildest on. Bitrate and rate change inside a recording. Another size of the picture ends it, "
            "once the disk has nearly all of it, and begins another one that names it. A slow disk alone takes no "
            "size, which would spare it nothing beside the bitrate; a clip keeps its size.",
        ),
    ] = ("70/100/100", "50/50/100", "35/50/50")
    down_s: Annotated[
        int, Key(Whole("seconds", 1, 600), "While it is hot, one step more after this; the rest is met within 5 s.")
    ] = 60
    up_s: Annotated[
        int,
        Key(Whole("seconds", 1, 3600), "One step back after so long without a cause; longer where that did not hold."),
    ] = 60

    def shares(self) -> tuple[tuple[int, int, int], ...]:
        """(bitrate, rate, size) of each step in percent; the first is what [video] says."""
        found = [_STEP.fullmatch(step) for step in self.steps if self.enabled]
        return ((100, 100, 100), *((int(m[1]), int(m[2]), int(m[3])) for m in found if m))

    def contradictions(self) -> list[Mistake]:
        """What each key allows alone, but not together."""
        mistakes, keys = [], ("ladder.steps", "ladder.enabled")
        instead = "used: the default steps", {"ladder.steps": LadderConfig().steps}
        for before, after in pairwise(self.shares()):
            shown = "/".join(map(str, after))
            if min(after) < 10:
                mistakes.append(Mistake(keys, f"{shown}: less than 10 percent is no picture", *instead))
            if any(b > a for a, b in zip(before, after, strict=True)):
                mistakes.append(Mistake(keys, f"{shown} is more than the step above it", *instead))
        return mistakes
