"""Sound against picture: flashes and beeps found in what came, their offset, and the latencies that would take it out.

Pure. A picture of stamp s shows a flash that came after the picture before it and not after s: one event says the
offset to a frame's length, several at chance say it better. The answer is the range in which most of them agree, never
a false point; a noise near a flash is a pair that does not. Only where all of the range is within the limit sound is in
step; where some of it is, too little was measured to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from agent.capture.sync import SoundTimeline
from agent.model import AUDIO_HZ, MOST_LATENCY_MS, NS, AudioBlock
from agent.selftest.line import Fault, Line, judged, skipped
from agent.selftest.listening import Facts, Heard, samples, settled

NAME = "avsync"
LIMIT_MS = 10.0
PLACED_MS = 10.0
RISE, FIELDS = 40.0, 0.2
"""Grey levels by which this share of the picture becomes brighter from one picture to the next: a light close to the
lens does that, no movement.
"""
QUIET_NS = 250_000_000
"""After a flash or a beep begins, the next one is at least so far."""
PAIR_NS = 400_000_000
EXACT_NS = 5_000_000
"""So far from the others a twin's beep is none of its own."""
LEAST_EVENTS = 3
LOUD, TIMES_LOUDER = 0.02, 6.0
PLACED_LIMIT = f"sound within {PLACED_MS:g} ms of its own stamps; none for sound against picture"
QUIETER = "hold a light that flashes as it beeps close to the lens, in a quiet dim room"
LIMIT = f"sound within {LIMIT_MS:g} ms of the picture"


@dataclass(frozen=True, slots=True)
class Stray:
    """A flash, counted from one, whose beep does not lie where those of most others do: `low_ms` to `high_ms` late."""

    flash: int
    low_ms: float
    high_ms: float

    def __str__(self) -> str:
        return f"flash {self.flash} ({self.low_ms:+.0f} to {self.high_ms:+.0f} ms)"


@dataclass(frozen=True, slots=True)
class Offset:
    """Of sound against picture, sound late is +. `low_ms` to `high_ms` is what most of the events leave possible."""

    events: int
    low_ms: float
    high_ms: float
    strays: tuple[Stray, ...] = ()

    @property
    def middle_ms(self) -> float:
        return (self.low_ms + self.high_ms) / 2

    @property
    def doubt_ms(self) -> float:
        return abs(self.high_ms - self.low_ms) / 2

    @property
    def is_agreed(self) -> bool:
        """Whether more than half of the events say so, and no fewer than are needed at all."""
        agreeing = self.events - len(self.strays)
        return agreeing >= LEAST_EVENTS and agreeing > len(self.strays)

    @property
    def is_in_step(self) -> bool | None:
        """None where what was measured leaves both possible."""
        if self.low_ms >= -LIMIT_MS and self.high_ms <= LIMIT_MS:
            return True
        return None if self.low_ms <= LIMIT_MS and self.high_ms >= -LIMIT_MS else False


@dataclass(frozen=True, slots=True)
class Setting:
    """`exact`: each flash begins with a picture, as the twin's does. `now_ms`: the latencies configured for picture and
    sound. `wanted`: how many events were asked for; None where nobody flashes anything.
    """

    exact: bool
    now_ms: tuple[int, int]
    wanted: int | None


def judge(picture: Facts, sound: Facts | None, setting: Setting) -> Line:
    if sound is None:
        return skipped(NAME, "there is no sound")
    if not picture.seen or not sound.heard:
        return skipped(NAME, "camera or microphone give nothing to compare")
    if setting.wanted is None:
        return _placed(sound)
    found = offset(picture, sound, setting.exact)
    if found is None or found.events < LEAST_EVENTS:
        seen = 0 if found is None else found.events
        told = f"{seen} flashes seen together with a beep, of {setting.wanted}"
        return judged(NAME, "", LIMIT, [Fault(told, QUIETER)])
    return _told(found, setting.now_ms, setting.wanted)


def _told(found: Offset, now_ms: tuple[int, int], wanted: int) -> Line:
    picture_ms, sound_ms = suggested(found, now_ms)
    figures = {
        "events": found.events,
        "against_picture": True,
        "offset_ms": round(found.middle_ms, 1),
        "doubt_ms": round(found.doubt_ms, 1),
        "video_latency_ms": picture_ms,
        "audio_latency_ms": sound_ms,
        "disagree": [asdict(stray) for stray in found.strays],
    }
    measured = (
        f"sound {found.middle_ms:+.1f} ms (± {found.doubt_ms:.1f}) against the picture over {found.events} events"
    )
    if found.strays:
        measured += f"; not where most are: {', '.join(map(str, found.strays))}"
    faults = []
    if not found.is_agreed:
        faults.append(Fault("flashes and beeps do not agree with each other", QUIETER))
    elif found.is_in_step is None:
        hint = f"measure again with more of them, at odd moments: --events {2 * wanted}"
        faults.append(Fault(f"not enough events to say whether it is within {LIMIT_MS:g} ms", hint))
    elif not found.is_in_step:
        faults.append(Fault("out of step", _mends(picture_ms, sound_ms)))
    return judged(NAME, measured, LIMIT, faults, figures=figures)


def _mends(picture_ms: int, sound_ms: int) -> str:
    """What to do about it. No more than a configuration takes is set: a mute has to come before the sound."""
    late = "microphone" if sound_ms > MOST_LATENCY_MS else "camera" if picture_ms > MOST_LATENCY_MS else None
    if late:
        return f"the {late} is more than {MOST_LATENCY_MS} ms late, which no latency_ms takes out: use another"
    return f"set [video] latency_ms = {picture_ms} and [audio] latency_ms = {sound_ms}, then measure again"


def _placed(sound: Facts) -> Line:
    """Without flash and beep: how far from their own stamps the timeline places sound."""
    timeline = SoundTimeline(sound.heard[0].mono_ns)
    for block in settled(sound.heard):
        timeline.feed(AudioBlock(block.mono_ns, block.pcm))
    report = timeline.report()
    measured = (
        f"sound at most {report.offset_max_ms:.1f} ms from its own stamps; NOT measured against the picture: --avsync"
    )
    faults = [Fault("sound jumps", "see the line of the microphone")] if report.corrections else []
    if report.offset_max_ms > PLACED_MS:
        faults.append(Fault("sound leaves its stamps", "see the line of the microphone"))
    figures = {
        "events": 0,
        "against_picture": False,
        "placed_max_ms": report.offset_max_ms,
        "corrections": report.corrections,
    }
    return judged(NAME, measured, PLACED_LIMIT, faults, figures=figures)


def suggested(found: Offset, now_ms: tuple[int, int]) -> tuple[int, int]:
    """The latencies of picture and sound that would take the offset out: what is late is stamped earlier. Where that is
    more than a configuration takes, the other's is less, if it has any: the one against the other is what was measured.
    """
    by = round(found.middle_ms)
    picture_ms, sound_ms = now_ms[0] + max(0, -by), now_ms[1] + max(0, by)
    beyond_ms = max(0, max(picture_ms, sound_ms) - MOST_LATENCY_MS)
    both_ms = min(beyond_ms, max(0, min(picture_ms, sound_ms)))
    return picture_ms - both_ms, sound_ms - both_ms


def offset(picture: Facts, sound: Facts, exact: bool) -> Offset | None:
    """None without a pair of flash and beep."""
    beeps = beep_onsets(sound.heard)
    late = dict[int, tuple[int, int]]()
    for number, (before_ns, first_ns) in enumerate(flash_onsets(picture), 1):
        nearest = min(beeps, key=lambda beep: abs(beep - first_ns), default=None)
        if nearest is not None and abs(nearest - first_ns) < PAIR_NS:
            late[number] = nearest - first_ns, nearest - before_ns
    if not late:
        return None
    if exact:
        usual = sorted(low for low, _ in late.values())[len(late) // 2]
        return _placed_at(late, usual, usual, EXACT_NS)
    return _placed_at(late, *narrowed(list(late.values())))


def narrowed(ranges: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Where most of them, one at least, lie upon each other; of several such places, from the first to the last."""
    upon = {low: [high for least, high in ranges if least <= low <= high] for low, _ in ranges}
    most = max(map(len, upon.values()))
    places = [(low, min(highs)) for low, highs in upon.items() if len(highs) == most]
    return min(low for low, _ in places), max(high for _, high in places)


def _placed_at(late: Mapping[int, tuple[int, int]], low: int, high: int, slack: int = 0) -> Offset:
    """`late`: from and to where each flash has its beep, in ns, by the flash's number."""
    apart = [(n, a, b) for n, (a, b) in late.items() if a > high + slack or b < low - slack]
    return Offset(len(late), low / 1e6, high / 1e6, tuple(Stray(n, a / 1e6, b / 1e6) for n, a, b in apart))


def flash_onsets(picture: Facts) -> list[tuple[int, int]]:
    """(stamp of the last picture without, of the first with) each flash."""
    found: list[tuple[int, int]] = []
    for before, after in pairwise(picture.seen):
        lit = float(((after.light - before.light) >= RISE).mean())
        if lit >= FIELDS and (not found or after.mono_ns - found[-1][1] >= QUIET_NS):
            found.append((before.mono_ns, after.mono_ns))
    return found


def beep_onsets(heard: list[Heard]) -> list[int]:
    """The instant of the first sample of each beep."""
    sound = np.abs(samples(heard).astype(np.float32)) / 32768
    if not len(sound):
        return []
    noise = float(np.median(sound))
    loud = np.flatnonzero(sound > max(LOUD, TIMES_LOUDER * noise))
    if not len(loud):
        return []
    # A beep begins where nothing loud was for a while, the beginning of what was heard apart.
    quiet = QUIET_NS * AUDIO_HZ // NS // 4
    starts = loud[np.flatnonzero(np.diff(loud, prepend=0) > quiet)]
    return [_instant(heard, int(start)) for start in starts]


def _instant(heard: list[Heard], sample: int) -> int:
    """When this sample was captured, as the stamp of its block says."""
    first = 0
    for block in heard:
        count = len(block.pcm) // 2
        if sample < first + count:
            return block.mono_ns + (sample - first) * NS // AUDIO_HZ
        first += count
    raise IndexError(sample)
