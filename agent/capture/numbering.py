"""How many pictures a camera captured that never came: by the driver's numbers, else by the stamps. Pure.

The numbers are exact. The stamps are an estimate: a camera that takes longer for each picture in the dark looks, for
half a second, like one that loses every other. What is usual is learned from its first pictures, and not from what it
was asked for; one whose stamp is out of order came all the same.

A camera that is asked for another rate follows late: what was asked for before is still under way through libcamera's
queue and the sensor's. So nothing is judged until it has followed, or has had time to (`_IN_FLIGHT` pictures); then
each interval is, by the rate of its time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from agent.model import NS

_WRAP = 1 << 32
_FASTEST = 4
"""So many times faster than agreed no camera captures: numbers that say so mean something else."""

_LEARN = 5
"""So many intervals say what is usual."""
_IN_FLIGHT = 12
"""So many pictures at most still come at the rate before: picamera2 queues six for video, libcamera's pipeline and the
sensor's delayed controls hold some three more.
"""
_ALIKE = 0.2
"""An interval is one of a rate, or a whole number of them, where it is off by at most so much of one."""
_SILENT_NS = 2 * NS
"""A camera that gives nothing for longer is lost, and told as such: whether it captured meanwhile, no stamp says."""
_DISORDERED = 5
"""So many stamps in a row that follow no others are the new order."""


class Numbering:
    """Feed it each picture as it comes. `exact` is True as long as the driver's numbers can be believed: they grow, and
    no faster than pictures can be captured; once they did not, stamps are counted instead.
    """

    def __init__(self, fps: float) -> None:
        self._asked_ns = NS / fps
        self._usual_ns: float | None = None
        self._intervals: deque[float] = deque(maxlen=30)
        self._unjudged: list[_Span] = []
        self._before: list[float] = []
        self._patience = _LEARN
        self._last: tuple[int, int | None] | None = None
        self._ordered_ns: int | None = None
        self._disordered = 0
        self.exact = True

    def ask(self, fps: float) -> None:
        """The camera is asked for this rate from now on, and follows when it does. Again is no change."""
        if NS / fps == self._asked_ns:
            return
        self._before.append(self._usual_ns or self._asked_ns)
        self._asked_ns, self._usual_ns = NS / fps, None
        self._patience = len(self._unjudged) + _IN_FLIGHT + _LEARN

    @property
    def longest_ns(self) -> float:
        """What the next picture may take: the usual, where that is known, or the longest of what it may be."""
        return self._usual_ns or max(self._asked_ns, *self._before, 0)

    def missed(self, mono_ns: int, number: int | None) -> int:
        """Pictures that were captured between the last one and this one; those of intervals that could not be judged
        yet come with the one that allows it.
        """
        last, self._last = self._last, (mono_ns, number)
        self.exact = self.exact and number is not None
        by_stamps = self._by_stamps(mono_ns)
        if last is None:
            return 0
        since_ns = mono_ns - last[0]
        if not self.exact or number is None or last[1] is None:
            return by_stamps
        grown = (number - last[1]) % _WRAP
        self.exact = 1 <= grown <= _FASTEST * max(0, since_ns) / self._asked_ns + _FASTEST
        return grown - 1 if self.exact else by_stamps

    def _by_stamps(self, mono_ns: int) -> int:
        """Whole usual intervals, which may change with the light."""
        since_ns = None if self._ordered_ns is None else mono_ns - self._ordered_ns
        if since_ns is None or not 0 < since_ns <= _SILENT_NS:
            self._disordered += since_ns is not None
            if since_ns is None or self._disordered > _DISORDERED:
                self._ordered_ns, self._disordered = mono_ns, 0
            return 0
        span = _Span(since_ns, self._disordered + 1)
        self._ordered_ns, self._disordered = mono_ns, 0
        if self._usual_ns is None:
            self._unjudged.append(span)
            return self._judge() if self._is_known() else 0
        missed = span.missed(self._usual_ns)
        self._learn(span)
        return missed

    def _is_known(self) -> bool:
        """Whether what is usual now is: the one new rate has come, or time for it is over."""
        if len(self._unjudged) >= self._patience:
            return True
        newest = self._unjudged[-_LEARN:]
        there = all(s.is_like(self._asked_ns) and not s.missed(self._asked_ns) for s in newest)
        return there and len(newest) == _LEARN and len(self._before) == 1

    def _judge(self) -> int:
        spans, self._unjudged = self._unjudged, []
        before, self._before = self._before, []
        self._intervals.clear()
        for span in spans[-_LEARN:]:
            self._learn(span)
        return _missed_of(spans, [*before, self._usual_ns or self._asked_ns])

    def _learn(self, span: _Span) -> None:
        self._intervals.append(span.interval_ns)
        self._usual_ns = median(self._intervals)


@dataclass(frozen=True, slots=True)
class _Span:
    """From one stamp to the next that is later, and how many pictures came in it, that one included."""

    since_ns: int
    came: int

    @property
    def interval_ns(self) -> float:
        return self.since_ns / self.came

    def missed(self, usual_ns: float) -> int:
        return max(0, round(self.since_ns / usual_ns) - self.came)

    def is_like(self, usual_ns: float) -> bool:
        """Whether it took about as long as the pictures that came, and those that were missed, take."""
        captured = self.came + self.missed(usual_ns)
        return abs(self.since_ns - captured * usual_ns) <= _ALIKE * usual_ns


def _missed_of(spans: list[_Span], rates_ns: list[float]) -> int:
    """How many were missed where these intervals were usual, one after the other, from pictures on that are not known:
    as most of the spans fit, and the fewest of what fits as well, since nobody is accused on a guess. The one span in
    which the rate changed may be of any length.
    """
    best = [(0, 0)] * len(rates_ns)
    for span in spans:
        fewest = min(span.missed(usual_ns) for usual_ns in rates_ns)
        changed = [(unlike, missed + fewest) for unlike, missed in accumulate(best, min)]
        stayed = [
            (unlike + (not span.is_like(usual_ns)), missed + span.missed(usual_ns))
            for (unlike, missed), usual_ns in zip(best, rates_ns, strict=True)
        ]
        best = [stayed[0], *map(min, stayed[1:], changed)]
    return min(best)[1]
