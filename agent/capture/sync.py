"""Blocks of sound with capture stamps in, one continuous stream of samples on the CLOCK_MONOTONIC timeline out.

Pure: no clock, no thread. Two rates meet here: samples counted by the sound card's crystal, stamps made by the kernel.
The crystal's drift is measured (drift.py) and taken out by playing a little faster or slower (resample.py). What that
cannot take out is corrected hard: a lasting step beyond a limit (the median of a few blocks: one late stamp is no
offset), gaps (exact silence) and overlaps (dropped), which the next stamp must confirm. All of it is counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median_low

import numpy as np

from agent.capture.drift import MAX_PPM, DriftEstimator
from agent.capture.resample import Resampler
from agent.model import AUDIO_HZ, NS, AudioBlock


@dataclass(frozen=True, slots=True)
class SyncLimits:
    """A stamp further off than `gap_ns`, from its place and from where those before it were, is believed once the next
    one agrees with it, or none comes; a filtered error beyond `drift_ns` is corrected hard, by that much. The first
    behind a burst, whose stamps say no more than when it was read, is believed where it is further off than `doubt_ns`,
    if the next one says the same within `agree_ns`; and when sound begins, the last `early_blocks` that do, before
    there are stamps enough to filter. A stamp more than `wild_ns` off is no stamp at all. `lag_ns` is how far sound may
    stay behind before silence takes its place. An offset is drawn out over `draw_s`, never by more than MAX_PPM beyond
    the crystal's own.
    """

    gap_ns: int = 20_000_000
    drift_ns: int = 10_000_000
    wild_ns: int = 10 * NS
    lag_ns: int = 200_000_000
    fill_ns: int = 150_000_000
    filter_blocks: int = 21
    doubt_ns: int = 8_000_000
    agree_ns: int = 4_000_000
    early_blocks: int = 4
    draw_s: float = 8.0
    fit_every_blocks: int = 12


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples for the stream: mono 16-bit, the first at `first_sample` (AUDIO_HZ ticks since zero)."""

    first_sample: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What was done to the sound. Offsets are of placed sound against its own capture stamps, in ms: sound late is +;
    `offset_max_ms` is the largest filtered one, so that one jittering stamp is not taken for an offset. `drift_ppm` is
    the sound card's crystal as measured, + where it is slow; `stretched_ms` is by how much longer the sound became by
    taking that out (- shorter). `wild_stamps` counts those that were not believed.
    """

    offset_mean_ms: float
    offset_max_ms: float
    silence_ms: float
    gaps: int
    overlaps: int
    overlap_ms: float
    corrections: int
    wild_stamps: int
    drift_ppm: float
    stretched_ms: float


class SoundTimeline:
    """Places sound; `zero_ns` is sample 0. Each returned Sound begins where the one before it ended."""

    def __init__(self, zero_ns: int, limits: SyncLimits | None = None) -> None:
        self._zero_ns = zero_ns
        self._limits = limits or SyncLimits()
        self._gap = _samples(self._limits.gap_ns)
        self._drift = _samples(self._limits.drift_ns)
        self._doubt, self._agree = _samples(self._limits.doubt_ns), _samples(self._limits.agree_ns)
        self._doubted, self._fresh = False, True
        self._wild = _samples(self._limits.wild_ns)
        self._next: int | None = None
        self._resampler, self._estimator = Resampler(), DriftEstimator()
        self._step = 1.0
        self._fed = self._stretched = 0
        self._recent: deque[float] = deque(maxlen=self._limits.filter_blocks)
        self._held: AudioBlock | None = None
        self._filled = False
        self._lost_at_ns: int | None = None
        self._blocks = self._gaps = self._overlaps = self._corrections = self._wild_stamps = 0
        self._silence = self._overlap = 0
        self._error_sum = 0.0
        self._error_max = 0.0

    @property
    def begun(self) -> bool:
        return self._next is not None

    @property
    def starved(self) -> bool:
        """True while silence stands in for sound that did not come."""
        return self._filled

    @property
    def lost_at_ns(self) -> int | None:
        """Where the silence began that still lasts, or lasted until the last block."""
        return self._lost_at_ns

    @property
    def end_ns(self) -> int | None:
        """The instant up to which sound has been placed."""
        return None if self._next is None else self._zero_ns + self._next * NS // AUDIO_HZ

    def starves_at_ns(self) -> int | None:
        """When silence must be fed if nothing comes until then."""
        end_ns = self.end_ns
        return None if end_ns is None else end_ns + self._limits.lag_ns

    def begin(self, mono_ns: int) -> None:
        """Begin without sound: silence will follow. Nothing where the stream has begun."""
        if self._next is None:
            self._next = self._sample_at(mono_ns)
            self._filled, self._lost_at_ns = True, mono_ns

    def feed(self, block: AudioBlock) -> list[Sound]:
        """Place one block; the answer may hold silence before it, or be empty: where all of it was too late, and where
        it waits for the next one to confirm its stamp, which comes out with that.
        """
        if self._next is None:
            self._next = self._sample_at(block.mono_ns)
        placed = self._settle(block.mono_ns)
        error = self._exact(block.mono_ns) - self._expected()
        if abs(error) > self._wild:
            self._wild_stamps += 1
            return placed + self._play_on(block.pcm)
        if self._filled:
            return placed + self._begin_again(block, error)
        if self._strays(error):
            self._held = block
            return placed
        self._doubted = False
        self._recent.append(error)
        filtered = self._filtered() or self._early()
        self._error_max = max(self._error_max, abs(filtered))
        if abs(filtered) > self._drift:
            self._corrections += 1
            self._fresh = False
            return placed + self._jump(block.pcm, round(self._expected() + filtered))
        self._follow(block.mono_ns)
        self._measure(error)
        return placed + self._play(block.pcm)

    def rest(self) -> list[Sound]:
        """The block that waits for one that will not come, if there is one."""
        return self._settle(None)

    @property
    def waiting(self) -> int:
        """Samples that wait for the next stamp."""
        return len(self._held.pcm) // 2 if self._held else 0

    def _settle(self, next_ns: int | None) -> list[Sound]:
        """What waits comes out: in the place of its stamp where the next one confirms that, else as what follows."""
        held, self._held = self._held, None
        if held is None:
            return []
        error = self._exact(held.mono_ns) - self._expected()
        if next_ns is not None:
            after = self._exact(next_ns) - self._expected() - len(held.pcm) // 2 / self._step
            # Those of a burst are up to a block nearer to each other.
            near = max(self._gap, len(held.pcm) // 2) if abs(error) > self._gap else self._agree
            apart = abs(after - error) > near
            if apart or not self._strays(after) or (after > 0) != (error > 0):
                self._wild_stamps += abs(error) > self._gap
                self._doubted = False
                return self._play_on(held.pcm)
        self._doubted = error < -self._gap
        self._gaps += error > 0
        self._overlaps += error < 0
        return self._jump(held.pcm, self._sample_at(held.mono_ns))

    def _strays(self, error: float) -> bool:
        """Off by more than stamps tremble, around wherever they do, once that is known: where a few that came in one
        burst said so, each would excuse the next, further off.
        """
        limit = self._doubt if self._doubted else self._gap
        return min(abs(error), abs(error - self._filtered())) > limit

    def _begin_again(self, block: AudioBlock, error: float) -> list[Sound]:
        """After silence that stood in for it."""
        self._fresh = True
        self._overlaps += error < 0
        placed = self._jump(block.pcm, self._sample_at(block.mono_ns))
        # Still inside what silence already covers: the sound is back only when some of it is heard.
        self._filled = not placed
        return placed

    def fill_to(self, now_ns: int) -> list[Sound]:
        """Feed silence where sound is more than `lag_ns` behind `now_ns`; then it is `fill_ns` behind, so that a late
        block loses little.
        """
        if self._next is None or now_ns - (self.end_ns or 0) <= self._limits.lag_ns:
            return []
        held = self._settle(None)
        if now_ns - (self.end_ns or 0) <= self._limits.lag_ns:
            return held
        if not self._filled:
            self._filled, self._lost_at_ns = True, self.end_ns
        rest = held + self._rest()
        return rest + self._emit_silence(self._sample_at(now_ns - self._limits.fill_ns) - self._next)

    def report(self) -> SyncReport:
        return SyncReport(
            offset_mean_ms=_ms(-self._error_sum / self._blocks) if self._blocks else 0.0,
            offset_max_ms=_ms(self._error_max),
            silence_ms=_ms(self._silence),
            gaps=self._gaps,
            overlaps=self._overlaps,
            overlap_ms=_ms(self._overlap),
            corrections=self._corrections,
            wild_stamps=self._wild_stamps,
            drift_ppm=round(self._estimator.ppm, 2),
            stretched_ms=_ms(self._stretched),
        )

    def _filtered(self) -> float:
        enough = len(self._recent) > self._limits.filter_blocks // 2
        return median_low(self._recent) if enough else 0.0

    def _early(self) -> float:
        """When sound has just begun, what the last stamps say with one voice."""
        self._fresh &= len(self._recent) <= self._limits.filter_blocks // 2
        last = list(self._recent)[-self._limits.early_blocks :]
        if not self._fresh or len(last) < self._limits.early_blocks or max(last) - min(last) > self._agree:
            return 0.0
        return median_low(last)

    def _jump(self, pcm: bytes, to: int) -> list[Sound]:
        """What waits comes out, then the block, which begins at that sample: after silence, or without its head."""
        sounds = self._rest()
        self._recent.clear()
        assert self._next is not None
        move = to - self._next
        if move > 0:
            sounds += self._emit_silence(move)
        if move < 0:
            self._overlap += min(-move, len(pcm) // 2)
            pcm = pcm[-move * 2 :]
        if pcm:
            self._estimator.add(self._fed, self._next)
        self._measure(0.0)
        return sounds + self._play(pcm)

    def _play_on(self, pcm: bytes) -> list[Sound]:
        """As what follows, whatever its stamp says."""
        self._filled = False
        self._measure(0.0)
        return self._play(pcm)

    def _follow(self, mono_ns: int) -> None:
        """Hear what the stamp says of the crystal, and now and then choose the speed anew."""
        self._estimator.add(self._fed, self._exact(mono_ns))
        if self._blocks % self._limits.fit_every_blocks:
            return
        place = self._estimator.place(self._fed)
        if place is None:
            return
        offset = place - self._expected()
        drawn = min(max(offset / (self._limits.draw_s * AUDIO_HZ), -MAX_PPM / 1e6), MAX_PPM / 1e6)
        if self._resampler.passes and abs(offset) < 0.5 and abs(self._estimator.ppm) < 0.5:
            return
        self._step = 1 / (1 + self._estimator.ppm / 1e6 + drawn)

    def _expected(self) -> float:
        """Where the next input sample comes to lie if nothing is done."""
        return (self._next or 0) + self._resampler.waiting / self._step

    def _play(self, pcm: bytes) -> list[Sound]:
        sound = self._resampler.process(np.frombuffer(pcm, "<i2"), self._step)
        self._fed += len(pcm) // 2
        self._stretched += len(sound) - len(pcm) // 2
        return self._emit(sound.tobytes())

    def _rest(self) -> list[Sound]:
        """What the resampler still holds: what follows does not continue it."""
        sound = self._resampler.flush()
        self._stretched += len(sound)
        self._estimator.restart()
        return self._emit(sound.tobytes())

    def _emit_silence(self, samples: int) -> list[Sound]:
        self._silence += samples
        return self._emit(bytes(samples * 2))

    def _emit(self, pcm: bytes) -> list[Sound]:
        if not pcm:
            return []
        first = self._next or 0
        self._next = first + len(pcm) // 2
        return [Sound(first, pcm)]

    def _measure(self, residual: float) -> None:
        self._blocks += 1
        self._error_sum += residual

    def _exact(self, mono_ns: int) -> float:
        return (mono_ns - self._zero_ns) * AUDIO_HZ / NS

    def _sample_at(self, mono_ns: int) -> int:
        return ((mono_ns - self._zero_ns) * AUDIO_HZ + NS // 2) // NS


def _samples(ns: int) -> int:
    return ns * AUDIO_HZ // NS


def _ms(samples: float) -> float:
    return round(samples * 1000 / AUDIO_HZ, 3)
