"""What is felt and heard: one thing at a time, and whole. Pure: what sounds, what is so, and the time give what sounds
next.

An alarm that begins cuts whatever sounds, and is whole: one beat of it alone would feel as a recording that begins.
Else the answer to a hand comes at once, one after the other, an alarm that is due again between them, and whole, too;
an answer that was cut comes once more behind the alarm. All else waits until what sounds is over and a rest after it;
what has been due for longest comes first, so that nothing hides anything else for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from agent.controls.patterns import ALARM, CUES, MS, REMINDER, WARNINGS, Beats, Cue, Look, Shown, Strength, Warn
from agent.model import NS, Member

REST_NS = 300 * MS
"""Between two things that are felt: twice as long as any pause within one."""
BREAK_NS = 200 * MS
"""Between what an alarm breaks into and the alarm: longer than any pause, and shorter than what is left of two seconds
once something is found to stand still (controls/vigil.py).
"""
STALE_NS = 5 * NS
"""An answer that comes later than this answers nothing: behind an alarm that is strong, and the answer before it."""


class Other(Member):
    """What comes again, besides warnings."""

    ALARM = "alarm"
    REMINDER = "reminder"


Sign = Cue | Warn | Other


SILENCE = (False, False)
"""Neither vibration nor tone."""


@dataclass(frozen=True, slots=True)
class Sounding:
    """`sign` since `since_ns`; it and the rest after it are over at `over_ns`. `due`: when each thing that is so comes
    next. `answered_ns`: the instant of the last cue that had its turn. `whole_ns`: until then nothing breaks in.
    """

    sign: Sign | None = None
    since_ns: int = 0
    over_ns: int = 0
    due: Mapping[Sign, int] = field(default_factory=dict)
    answered_ns: int = -1
    whole_ns: int = 0

    def on(self, now_ns: int, look: Look) -> tuple[bool, bool]:
        """Whether vibration and tone are on at `now_ns`."""
        if self.sign is None or now_ns >= self.over_ns:
            return SILENCE
        beats, since_ns = beats_of(self.sign, look), now_ns - self.since_ns
        return bool(beats.at(since_ns, stretch(look))), bool(beats.at(since_ns))


def stretch(look: Look) -> int:
    return 2 if look.vibration is Strength.STRONG else 1


def beats_of(sign: Sign, look: Look) -> Beats:
    """How a profile with this look says it."""
    if isinstance(sign, Cue):
        return CUES[sign]
    if isinstance(sign, Warn):
        return WARNINGS[sign]
    return ALARM if sign is Other.ALARM else Beats(REMINDER, look.reminder_s)


def takes_ns(sign: Sign, look: Look) -> int:
    """Until the next thing may be felt."""
    return beats_of(sign, look).length_ms(stretch(look)) * MS + REST_NS


def follow(before: Sounding, shown: Shown, look: Look, now_ns: int) -> Sounding:
    """What sounds at `now_ns`."""
    so = dict(_so(shown, look))
    due = {sign: before.due.get(sign, at_ns) for sign, at_ns in so.items()}
    here = before if [*due.items()] == [*before.due.items()] else replace(before, due=due)
    alarm_ns = here.due.get(Other.ALARM, now_ns + 1)
    if alarm_ns <= now_ns and alarm_ns == so[Other.ALARM]:
        # As long as it has not been felt once it is due since it began.
        begun = _begin(here, Other.ALARM, look, now_ns, BREAK_NS)
        return replace(begun, whole_ns=begun.over_ns)
    answering = isinstance(before.sign, Cue)
    sounds = now_ns < before.over_ns and (answering or before.sign in so)
    if sounds and (answering or now_ns < before.whole_ns):
        return here
    # Whoever presses again and again, since the light went out, is to feel why.
    if sounds or now_ns < alarm_ns:
        for cue, at_ns in shown.cues:
            if before.answered_ns < at_ns <= now_ns <= at_ns + STALE_NS:
                return replace(_begin(here, cue, look, now_ns), answered_ns=at_ns)
    if sounds:
        return here
    turns = [sign for sign, at_ns in here.due.items() if at_ns <= now_ns]
    if not turns:
        return here if here.sign is None else replace(here, sign=None)
    # An alarm before all else; of two that are due since the same instant the more important one.
    begun = _begin(here, min(turns, key=lambda sign: (sign is not Other.ALARM, here.due[sign])), look, now_ns)
    return replace(begun, whole_ns=begun.over_ns if answering and begun.sign is Other.ALARM else 0)


def _so(shown: Shown, look: Look) -> Iterator[tuple[Sign, int]]:
    """What is to come again and again, the most important first, and from when on."""
    if shown.alarm_ns is not None:
        yield Other.ALARM, shown.alarm_ns
    felt = shown.felt
    for warn in Warn if felt else ():
        if warn in felt:
            yield warn, shown.warnings[warn]
    if shown.begun_ns is not None and look.reminder_s:
        # Not at the begin: that has its own.
        yield Other.REMINDER, shown.begun_ns + look.reminder_s * NS


def _begin(before: Sounding, sign: Sign, look: Look, now_ns: int, rest_ns: int = REST_NS) -> Sounding:
    """What it breaks into comes once more; and after a rest, so that both are not taken for one."""
    due, cut, ends_ns, answered_ns = dict(before.due), before.sign, before.over_ns - REST_NS, before.answered_ns
    if cut is not None and now_ns < ends_ns:
        answered_ns -= isinstance(cut, Cue)
        due |= {cut: now_ns} if cut in due else {}
    every_s = beats_of(sign, look).every_s
    if every_s:
        due[sign] = now_ns + every_s * NS
    since_ns = now_ns if cut is None else max(now_ns, min(now_ns, ends_ns) + rest_ns)
    return Sounding(sign, since_ns, since_ns + takes_ns(sign, look), due, answered_ns)
