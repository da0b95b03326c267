"""The line about the microphone: level, clock, the crystal's error, lost sound. Pure.

What it hears is judged by the recorder's own rule (capture/watch.py), and by its loudest tenth of a second: a
converter without a microphone gives noise of about one step of 16 bits, which no rule of silence to the bit finds. A
quiet room is louder than that through any microphone whose volume is set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from agent.capture.drift import DriftEstimator
from agent.capture.watch import CLIPPED, CLIPPED_SHARE, HOLD_NS, SoundWatch, Watched
from agent.clock import Clock
from agent.model import AUDIO_HZ, NS
from agent.selftest.line import Fault, Line, failed, judged, skipped
from agent.selftest.listening import Facts, samples, settled
from agent.selftest.stamps import follows

NAME = "microphone"
MAX_PPM = 300.0
MAX_JUMP_MS, SPAN = 20.0, 5
FULL_SCALE = 32_768
FLOOR_DBFS = -84.0
"""Two steps of 16 bits."""
WINDOW = AUDIO_HZ // 10
LIMIT = (
    f"its loudest tenth of a second above {FLOOR_DBFS:.0f} dBFS, never {HOLD_NS // NS} s silent to the bit, at most "
    f"{CLIPPED_SHARE:.0%} clipped; crystal within {MAX_PPM:.0f} ppm; none lost; stamps of CLOCK_MONOTONIC"
)


def judge(facts: Facts | None, clock: Clock) -> Line:
    if facts is None:
        return skipped(NAME, 'none is configured ([audio] source = "none")')
    if facts.error:
        return failed(NAME, facts.error, LIMIT)
    if not facts.heard:
        why = facts.ended or "no sound came in all that time"
        return judged(NAME, "", LIMIT, [Fault(f"{facts.name}: {why}", "plug it in, or name another in [audio]")])
    sound = samples(facts.heard)
    found = pace(facts)
    domain = follows([heard.age_ns for heard in facts.heard], clock)
    peak, mean = _decibel(float(np.abs(sound.astype(np.int32)).max())), _decibel(_rms(sound))
    loudest = _decibel(_loudest(sound))
    age_ms = median(heard.age_ns for heard in facts.heard) / 1e6
    figures = {
        "peak_dbfs": round(peak, 1),
        "rms_dbfs": round(mean, 1),
        "loudest_dbfs": round(loudest, 1),
        "drift_ppm": None if found.ppm is None else round(found.ppm, 1),
        "drift_doubt_ppm": round(found.doubt_ppm, 1),
        "overruns": facts.dropped,
        "largest_jump_ms": round(found.jump_ms, 1),
        "clock": domain,
        "stamp_age_ms": round(age_ms, 1),
    }
    crystal = "too little sound for the crystal"
    if found.ppm is not None:
        crystal = f"crystal {found.ppm:+.0f} ppm (± {found.doubt_ppm:.0f})"
    measured = (
        f"{facts.name}: peak {peak:.1f} dBFS, mean {mean:.1f}, loudest {loudest:.1f}, {crystal}, "
        f"{facts.dropped} overruns, stamps of {domain or 'no clock known here'}"
    )
    return judged(NAME, measured, LIMIT, _faults(facts, sound, found, domain), figures=figures)


def _faults(facts: Facts, sound: NDArray[np.int16], pace: Pace, domain: str | None) -> list[Fault]:
    found = []
    if _deaf(facts) or (sound == sound[0]).all():
        found.append(Fault("digital silence", "switch it on: a microphone that works is never silent to the bit"))
    elif _decibel(_loudest(sound)) <= FLOOR_DBFS:
        hint = "speak while it listens; else its cable, or a higher [audio] capture_percent"
        found.append(Fault("nothing but the noise of a converter", hint))
    if float((np.abs(sound.astype(np.int32)) >= CLIPPED).mean()) > CLIPPED_SHARE:
        # What is set by hand the next opening sets back.
        found.append(Fault("clipped", "a lower [audio] capture_percent, then measure again"))
    if pace.ppm is None:
        found.append(Fault("it fell silent", "check its cable"))
    elif abs(pace.ppm) - pace.doubt_ppm > MAX_PPM:
        found.append(Fault("its crystal is off", "another sound card: this one's clock is faulty"))
    if facts.dropped:
        found.append(Fault("overruns", "another USB port, or less load"))
    if pace.jump_ms > MAX_JUMP_MS:
        found.append(Fault(f"sound is missing or doubled by {pace.jump_ms:.0f} ms", "another USB port, or less load"))
    if domain != "CLOCK_MONOTONIC":
        found.append(Fault("stamps of the wrong clock", "take it through ALSA instead of a sound server"))
    return found


def _deaf(facts: Facts) -> bool:
    watch = SoundWatch()
    return any(what is Watched.DEAF and begins for h in facts.heard for what, begins, _ in watch.hear(h.mono_ns, h.pcm))


def _loudest(sound: NDArray[np.int16]) -> float:
    """The root mean square of the loudest tenth of a second."""
    windows = [sound[first : first + WINDOW] for first in range(0, max(1, len(sound) - WINDOW + 1), WINDOW)]
    return max(_rms(window) for window in windows)


@dataclass(frozen=True, slots=True)
class Pace:
    """`ppm` is the crystal's error, + where it is slow, None from too little sound; `doubt_ppm` three standard errors
    of that. `jump_ms` is the largest step of the stamps against the count of samples.
    """

    ppm: float | None
    doubt_ppm: float
    jump_ms: float


def pace(facts: Facts) -> Pace:
    estimator, counted = DriftEstimator(), 0
    first_ns, points = facts.heard[0].mono_ns, []
    for block in settled(facts.heard):
        stamped = (block.mono_ns - first_ns) * AUDIO_HZ / NS
        estimator.add(counted, stamped)
        points.append((counted, stamped - counted))
        counted += len(block.pcm) // 2
    smooth = _smooth([off for _, off in points])
    jump = max((abs(after - before) for before, after in zip(smooth, smooth[SPAN:], strict=False)), default=0.0)
    if estimator.place(counted) is None:
        return Pace(None, 0.0, jump * 1000 / AUDIO_HZ)
    count, off = np.array(points, dtype=float).T
    rest = off - estimator.ppm / 1e6 * count
    # Stamps that lie together err together: a tenth of them counts.
    error = float(rest.std() / (count.std() * math.sqrt(len(points) / 10)))
    return Pace(estimator.ppm, 3 * error * 1e6, jump * 1000 / AUDIO_HZ)


def _smooth(values: list[float]) -> list[float]:
    """Medians of a few: one late stamp is no jump."""
    return [median(values[n : n + SPAN]) for n in range(max(0, len(values) - SPAN + 1))]


def _rms(sound: NDArray[np.int16]) -> float:
    return float(np.sqrt((sound.astype(np.float64) ** 2).mean()))


def _decibel(amplitude: float) -> float:
    """Against full scale; -99 for nothing at all."""
    return 20 * math.log10(amplitude / FULL_SCALE) if amplitude else -99.0
