"""Mute: exact silence between two instants, whatever the microphone gives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from agent.capture.sync import Sound
from agent.media.encoder import AAC_FRAME, AacEncoder
from agent.model import AUDIO_HZ, NS, EncodedPacket, Track

BEYOND = 2 * AAC_FRAME
"""So many samples on either side of an interval are silent, too: a frame of AAC decodes from its own samples and those
of both its neighbours (ISO/IEC 14496-3, the window of the MDCT), and none of the interval is to sound of what surrounds
it.
"""
HELD = BEYOND + AAC_FRAME
"""So many samples wait in front of the encoder: a mute reaches back over BEYOND of them, and comes to be known a little
later, or a source stamps a little in the future. Where both together are more than a frame, 21 ms, what surrounds a
mute may sound into its begin.
"""


class Mute:
    """Intervals in samples of the sound's timeline; what is placed in them, and up to BEYOND of them, becomes zeros.
    Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._intervals: list[tuple[int, int | None]] = []
        self._held, self._next = bytearray(), 0

    def begin(self, at_ns: int) -> None:
        """From `at_ns` of the timeline on, until `end`. Again is no change."""
        with self._lock:
            if not self._open:
                self._intervals.append((at_ns * AUDIO_HZ // NS - BEYOND, None))

    def end(self, at_ns: int) -> None:
        """Sound again from `at_ns` on."""
        with self._lock:
            if self._open:
                first, _ = self._intervals.pop()
                self._intervals.append((first, -(-at_ns * AUDIO_HZ // NS) + BEYOND))

    @property
    def _open(self) -> bool:
        return bool(self._intervals) and self._intervals[-1][1] is None

    def over(self, sound: Sound) -> Sound:
        """What does not wait any longer, those in an interval zero. Sound comes in order, each where the last ended."""
        with self._lock:
            if not self._held:
                self._next = sound.first_sample
            self._held += sound.pcm
            return self._release(max(0, len(self._held) // 2 - HELD))

    def rest(self) -> Sound:
        """What waits: no more will come."""
        with self._lock:
            return self._release(len(self._held) // 2)

    def _release(self, samples: int) -> Sound:
        """What ended before it is forgotten."""
        first, last = self._next, self._next + samples
        self._next, pcm = last, self._held[: 2 * samples]
        del self._held[: 2 * samples]
        self._intervals = [i for i in self._intervals if i[1] is None or i[1] > first]
        for begin, end in self._intervals:
            head, tail = max(begin, first) - first, min(last if end is None else end, last) - first
            if head < tail:
                pcm[2 * head : 2 * tail] = bytes(2 * (tail - head))
        return Sound(first, bytes(pcm))


def silenced(sink: Callable[[EncodedPacket], None], until_ns: int) -> Callable[[EncodedPacket], None]:
    """`sink`, for which all sound before `until_ns` of the timeline is silence, though it was encoded long since: each
    packet that holds some of it is replaced whole, and the one after it, which still overlaps with it.
    """
    encoder = AacEncoder()
    silence = (encoder.encode(0, bytes(8 * AAC_FRAME)) + encoder.flush())[-1].data
    until = until_ns * AUDIO_HZ // NS + BEYOND

    def hear(packet: EncodedPacket) -> None:
        quiet = packet.track is Track.AUDIO and packet.pts < until
        sink(replace(packet, data=silence) if quiet else packet)

    return hear
