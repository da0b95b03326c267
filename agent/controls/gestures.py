"""From the edges of one button to what was meant: a press, a double press, a hold, a long hold. Pure: the time comes
with the edges.

What is found does not depend on how often it is asked: each decision is made at its own instant, from the edges alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.model import Member


class Gesture(Member):
    """What a hand does with one button."""

    PRESS = "press"
    DOUBLE = "double"
    HOLD = "hold"
    LONG = "long"


class Mode(Member):
    """What a gesture means depends on what the camera does when the button goes down. BROKEN_OFF: a recording did, and
    goes on by itself as soon as it can; until then nothing is recorded.
    """

    IDLE = "idle"
    RECORDING = "recording"
    BROKEN_OFF = "broken off"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True)
class Edge:
    """From `mono_ns` on the button is down, or up."""

    mono_ns: int
    down: bool


@dataclass(frozen=True, slots=True)
class Timing:
    """`debounce_ns`: a contact that rests for so long has made up its mind. `double_ns`: from the release to the second
    press. Down for `hold_ns` is a hold, for `long_ns` a long one, for `stuck_ns` a defect.
    """

    debounce_ns: int
    double_ns: int
    hold_ns: int
    long_ns: int
    stuck_ns: int


@dataclass(frozen=True, slots=True)
class Habits:
    """What is listened for in a mode. Without `double` a press waits for no second one, without `long` a hold is one
    however long. All of it is done when the button is released: one that is stuck does nothing.
    """

    mode: Mode
    double: bool = False
    long: bool = False


@dataclass(frozen=True, slots=True)
class Gestured:
    """The hand began at `mono_ns`, in this mode. `after_ns`: so soon after another gesture, which began then and was
    told at once (a double press and a hold always are), that a hand may mean both as one.
    """

    gesture: Gesture
    mono_ns: int
    mode: Mode
    after_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """Let go now, it is this gesture; the button is down since `mono_ns`."""

    gesture: Gesture
    mono_ns: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """The button is down since `mono_ns`, or its contact flutters since then; what it says is not believed."""

    mono_ns: int


@dataclass(frozen=True, slots=True)
class Freed:
    """It is up again."""

    mono_ns: int


Found = Gestured | Reached | Stuck | Freed


@dataclass(frozen=True, slots=True)
class _Press:
    """One that is over, and may be the first of two; `after_ns` as of what it is told as."""

    mono_ns: int
    up_ns: int
    mode: Mode
    after_ns: int | None = None


class Recogniser:
    """Feed it edges in order, and the time when there are none."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._raw, self._raw_ns = False, 0
        self._burst_ns: int | None = None
        """When the contact last left its rest; None while it rests."""
        self._down_ns: int | None = None
        self._habits = Habits(Mode.IDLE)
        self._first: _Press | None = None
        self._told: _Press | None = None
        """The last that was told without waiting for another, be it a hold or a double press."""
        self._reached: Gesture | None = None
        self._stuck = False

    @property
    def hand_ns(self) -> int | None:
        """Since when there is a hand of which it is not clear yet what it means: the button is down, or was and may be
        again for a double press. None where there is none, and where the button is not believed.
        """
        if self._stuck:
            return None
        closing_ns = self._burst_ns if self._raw else None
        begun = (self._first.mono_ns if self._first else None, self._down_ns, closing_ns)
        return min((at_ns for at_ns in begun if at_ns is not None), default=None)

    @property
    def due_ns(self) -> tuple[int, ...]:
        """When time alone may decide, if no edge comes first; some of it may be over."""
        timing, due = self._timing, list[int]()
        if self._first:
            due.append(self._first.up_ns + timing.double_ns + 1)
        if self._down_ns is not None:
            due += [self._down_ns + after_ns for after_ns in (timing.hold_ns, timing.long_ns, timing.stuck_ns)]
        if self._burst_ns is not None:
            due += [self._raw_ns + timing.debounce_ns, self._burst_ns + timing.stuck_ns]
        return tuple(due)

    def feed(self, now_ns: int, edges: Sequence[Edge], habits: Habits) -> list[Found]:
        """What became clear up to `now_ns`. A button that goes down is taken as the `habits` of this call say."""
        found: list[Found] = []
        for edge in edges:
            at_ns = max(edge.mono_ns, self._raw_ns)
            found += self._until(at_ns, habits)
            if edge.down != self._raw:
                self._burst_ns = at_ns if self._burst_ns is None else self._burst_ns
                self._raw, self._raw_ns = edge.down, at_ns
        return found + self._until(max(now_ns, self._raw_ns), habits)

    def _until(self, now_ns: int, habits: Habits) -> list[Found]:
        found: list[Found] = []
        began_ns = self._burst_ns
        if began_ns is not None and now_ns - self._raw_ns >= self._timing.debounce_ns:
            self._burst_ns = None
            if self._raw and self._down_ns is None:
                self._go_down(began_ns, habits)
            elif not self._raw and self._down_ns is not None:
                found += self._come_up(self._down_ns, began_ns)
            elif not self._raw and self._stuck:
                found += self._free(began_ns)
        return found + self._due(now_ns, self._burst_ns)

    def _go_down(self, at_ns: int, habits: Habits) -> None:
        self._down_ns, self._reached, self._habits = at_ns, None, habits

    def _free(self, at_ns: int) -> list[Found]:
        self._stuck, self._down_ns = False, None
        return [Freed(at_ns)]

    def _come_up(self, down_ns: int, up_ns: int) -> list[Found]:
        if self._stuck:
            return self._free(up_ns)
        self._down_ns = None
        first, self._first = self._first, None
        held = self._held(up_ns - down_ns)
        if held:
            self._told = _Press(down_ns, up_ns, self._habits.mode)
            return [*self._single(first), Gestured(held, down_ns, self._habits.mode)]
        if first:
            self._told = _Press(first.mono_ns, up_ns, first.mode)
            return [Gestured(Gesture.DOUBLE, first.mono_ns, first.mode, first.after_ns)]
        told, self._told = self._told, None
        soon = told is not None and down_ns - told.up_ns <= self._timing.double_ns
        press = _Press(down_ns, up_ns, self._habits.mode, told.mono_ns if told and soon else None)
        if not self._habits.double:
            self._told = press
            return self._single(press)
        self._first = press
        return []

    def _held(self, length_ns: int) -> Gesture | None:
        if length_ns < self._timing.hold_ns:
            return None
        return Gesture.LONG if self._habits.long and length_ns >= self._timing.long_ns else Gesture.HOLD

    @staticmethod
    def _single(press: _Press | None) -> list[Found]:
        return [Gestured(Gesture.PRESS, press.mono_ns, press.mode, press.after_ns)] if press else []

    def _due(self, now_ns: int, moving_since_ns: int | None) -> list[Found]:
        """What time alone decides. A contact that moves since before the instant of a decision puts it off."""

        def passed(at_ns: int) -> bool:
            return now_ns >= at_ns and (moving_since_ns is None or moving_since_ns >= at_ns)

        timing, found = self._timing, list[Found]()
        if self._down_ns is None:
            first = self._first
            if first and now_ns > first.up_ns + timing.double_ns and passed(first.up_ns + timing.double_ns + 1):
                self._first = None
                found += self._single(first)
            if moving_since_ns is not None and not self._stuck and now_ns - moving_since_ns >= timing.stuck_ns:
                self._stuck = True
                found.append(Stuck(moving_since_ns))
            return found
        for gesture, after_ns in ((Gesture.HOLD, timing.hold_ns), (Gesture.LONG, timing.long_ns)):
            due = self._reached is None if gesture is Gesture.HOLD else self._habits.long
            if due and not self._stuck and self._reached is not gesture and passed(self._down_ns + after_ns):
                self._reached = gesture
                found.append(Reached(gesture, self._down_ns))
        if not self._stuck and passed(self._down_ns + timing.stuck_ns):
            self._stuck = True
            first, self._first = self._first, None
            found += [*self._single(first), Stuck(self._down_ns)]
        elif not self._stuck and moving_since_ns is not None and now_ns - moving_since_ns >= timing.stuck_ns:
            self._stuck = True
            found.append(Stuck(moving_since_ns))
        return found
