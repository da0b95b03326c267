"""How many pictures a camera captured that never came: by the driver's numbers, else by the stamps. Pure.

The numbers are exact. So nearly is a sensor that says with each picture how long it takes for one (libcamera's
FrameDuration). The stamps alone are an estimate (`sure` is False): what is usual is learned from the first pictures,
and not from what was asked for; one whose stamp is out of order came all the same.

A camera that takes longer for each picture in the dark looks just like one that loses every other. One whose rate is
pinned (libcamera's FrameDurationLimits) should not take longer: a whole number of usual intervals is counted, however
long that lasts, and never becomes what is usual. Nor is one believed that gives a whole number of the intervals asked
for from its first picture on: what is usual is what comes, and what was asked for is counted. One that nobody pins is
believed after half a second.

A camera that is asked for another rate follows late: what was asked for before is still under way through libcamera's
queue and the sensor's. So nothing is judged until it has followed, or has had time to (`_IN_FLIGHT` pictures); then
each interval is, by the rate of its time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
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

    def __init__(self, fps: float, pinned: bool = True) -> None:
        """`pinned`: it takes no longer for a picture than it is asked to, or than it began with."""
        self._asked_ns, self._pinned = NS / fps, pinned
        self._usual_ns: float | None = None
        self._fewer = False
        self._intervals: deque[float] = deque(maxlen=30)
        self._strange: deque[float] = deque(maxlen=_LEARN)
        self._apart: deque[float] = deque(maxlen=_LEARN)
        self._told_ns = 0
        self._learned = False
        self._unjudged: list[_Span] = []
        self._before: list[float] = []
        self._patience = _LEARN
        self._last: tuple[int, int | None] | None = None
        self._ordered_ns: int | None = None
        self._disordered = 0
        self.exact = True
        self.sure = True
        """Whether driver or sensor vouched for what `missed` said last; else pictures may have been lost, or never
        captured.
        """

    def ask(self, fps: float) -> None:
        """The camera is asked for this rate from now on, and follows when it does. Again is no change."""
        if NS / fps == self._asked_ns:
            return
        self._before.append(self._usual_ns or self._asked_ns)
        self._asked_ns, self._usual_ns = NS / fps, None
        self._patience = len(self._unjudged) + _IN_FLIGHT + _LEARN

    @property
    def usual_ns(self) -> float:
        """From one captured picture to the next; as asked, until that is known."""
        return self._usual_ns or self._asked_ns

    @property
    def longest_ns(self) -> float:
        """What the next picture may take: the usual, what is asked for by now, or what it may still be at; and no less
        than the last ones took, those that were lost between them included.
        """
        came_ns = median(self._apart) if self._apart else 0
        return max(came_ns, self._asked_ns, self._usual_ns or max(self._before, default=0))

    def missed(self, mono_ns: int, number: int | None, takes_ns: int | None = None) -> int:
        """Pictures that were captured between the last one and this one; those of intervals that could not be judged
        yet come with the one that allows it. `takes_ns` is how long the sensor says that it takes for this one.
        """
        last, self._last = self._last, (mono_ns, number)
        self.exact = self.exact and number is not None
        by_stamps = self._by_stamps(mono_ns, takes_ns)
        self.sure = takes_ns is not None
        if last is None:
            return 0
        since_ns = mono_ns - last[0]
        if not self.exact or number is None or last[1] is None:
            return by_stamps
        grown = (number - last[1]) % _WRAP
        self.exact = 1 <= grown <= _FASTEST * max(0, since_ns) / self._asked_ns + _FASTEST
        self.sure = self.sure or self.exact
        return grown - 1 if self.exact else by_stamps

    def _by_stamps(self, mono_ns: int, takes_ns: int | None) -> int:
        """Whole usual intervals, or such as the sensor tells: of the two between which its rate changed the longer."""
        told_ns = max(self._told_ns, takes_ns) if takes_ns else 0
        self._told_ns = takes_ns or 0
        since_ns = None if self._ordered_ns is None else mono_ns - self._ordered_ns
        if since_ns is None or not 0 < since_ns <= _SILENT_NS:
            self._disordered += since_ns is not None
            if since_ns is None or self._disordered > _DISORDERED:
                self._ordered_ns, self._disordered = mono_ns, 0
            return 0
        span = _Span(since_ns, self._disordered + 1)
        self._ordered_ns, self._disordered = mono_ns, 0
        self._apart.append(span.interval_ns)
        if told_ns:
            return self._as_told(span, told_ns)
        if self._usual_ns is None:
            self._unjudged.append(span)
            return self._judge() if self._is_known() else 0
        missed = span.missed(self._due_ns)
        self._learn(span)
        return missed

    @property
    def _due_ns(self) -> float:
        """From one picture to the next that is counted as missed where it does not come."""
        return self._asked_ns if self._fewer else self.usual_ns

    def _is_known(self) -> bool:
        """Whether what is usual now is: the one new rate has come, or time for it is over."""
        if len(self._unjudged) >= self._patience:
            return True
        newest = self._unjudged[-_LEARN:]
        there = all(s.is_like(self._asked_ns) and not s.missed(self._asked_ns) for s in newest)
        return there and len(newest) == _LEARN and len(self._before) == 1

    def _as_told(self, span: _Span, told_ns: float) -> int:
        spans, self._unjudged = [*self._unjudged, span], []
        self._before.clear()
        self._settle([told_ns])
        self._fewer = False
        return sum(span.missed(told_ns) for span in spans)

    def _judge(self) -> int:
        spans, self._unjudged = self._unjudged, []
        before, self._before = self._before, []
        newest = spans[-_LEARN:]
        known = self._known(newest, before) if self._pinned else None
        self._settle([known] if known else [span.interval_ns for span in newest])
        return _missed_of(spans, [*before, self._due_ns])

    def _known(self, newest: list[_Span], before: list[float]) -> float | None:
        """The longest of the rates that it may have now, of which these are whole numbers. That it keeps to one from
        before, or to the one first asked for, takes a picture that shows it.
        """
        shown = [*before] if self._learned else [self._asked_ns]
        fits = [self._asked_ns] if self._learned else []
        fits += [usual_ns for usual_ns in shown if any(not span.missed(usual_ns) for span in newest)]
        return max((r for r in fits if sum(span.is_like(r) for span in newest) >= _LEARN - 1), default=None)

    def _settle(self, intervals: Iterable[float]) -> None:
        self._intervals.clear()
        self._intervals.extend(intervals)
        self._strange.clear()
        self._usual_ns, self._learned = median(self._intervals), True
        asked = _Span(round(self._usual_ns), 1)
        self._fewer = self._pinned and asked.is_like(self._asked_ns) and asked.missed(self._asked_ns) > 0

    def _learn(self, span: _Span) -> None:
        assert self._usual_ns is not None
        if not self._pinned:
            self._intervals.append(span.interval_ns)
        elif span.is_like(self._usual_ns):
            self._intervals.append(span.since_ns / (span.came + span.missed(self._usual_ns)))
        else:
            self._strange.append(span.interval_ns)
            if len(self._strange) == _LEARN and _are_alike(self._strange):
                self._settle(list(self._strange))
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


def _are_alike(intervals: Collection[float]) -> bool:
    usual_ns = median(intervals)
    return all(abs(interval - usual_ns) <= _ALIKE * usual_ns for interval in intervals)


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
