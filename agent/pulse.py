"""Whether the recorder gets anywhere: what its supervisor's watchdog is fed with (systemd.service(5), WatchdogSec=).

A turn of the loop may well wait for a disk; a process that was stopped records nothing, and only its guard puts its
lights out (controls/guard.py). So the panel's thread, which waits for nothing, feeds each second, and only as long as
the loop's last beat allows: the unit's WatchdogSec= is short, and LOOP_NS is not.

A timer would go on feeding it while pictures or parts stand still for a reason that nobody found. What is known and
shown, a lens that is unplugged or a disk that stalls, is no reason to start anew: that would lose what waits in memory.
A driver that does not let go of a device that was open is one, once nothing is recorded any more: no other try in this
process gets it back. One that hangs at its first opening would hang in the next process, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.model import NS

STILL_NS = 10 * NS
LOOP_NS = 45 * NS
"""Longer than what gets on in a turn that goes well stands still: at most as long as the end of a recording waits for a
disk that stalls.
"""
FEED_NS = NS
SLOWED_BY = ("camera", "storage", "encryption", "recording")
"""Faults with which pictures or parts may stand still."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What moves while all is well. `pictures` counts those encoded, None where none are to come; `durable_bytes` is
    None while nothing is recorded; `shown` tells that a fault of lens or storage is; `stuck` that a device is held by
    what was to let go of it.
    """

    pictures: int | None
    durable_bytes: int | None
    shown: bool
    stuck: bool = False


class Pulse:
    """Asked at the end of each turn of the loop, which is the first sign of life."""

    def __init__(self) -> None:
        self._pictures = _Moving()
        self._durable = _Moving()
        self._stuck = _Moving()

    def beats(self, signs: Signs, mono_ns: int) -> bool:
        """False where pictures or parts have stood still for ten seconds and no fault says why, or a device has been
        stuck for so long.
        """
        if not self._stuck.moves(0 if signs.stuck else None, mono_ns):
            return False
        moving = [self._pictures.moves(signs.pictures, mono_ns), self._durable.moves(signs.durable_bytes, mono_ns)]
        return signs.shown or all(moving)


class Feeding:
    """`beat` by the loop, `due` asked by the panel's thread in each of its turns."""

    def __init__(self) -> None:
        self._beat_ns: int | None = None
        self._fed_ns: int | None = None

    def beat(self, mono_ns: int) -> None:
        """The loop got somewhere, or begins."""
        self._beat_ns = mono_ns

    def due(self, mono_ns: int) -> bool:
        """Whether to feed now; then it counts as done."""
        if self._beat_ns is None or mono_ns - self._beat_ns >= LOOP_NS:
            return False
        if self._fed_ns is not None and mono_ns - self._fed_ns < FEED_NS:
            return False
        self._fed_ns = mono_ns
        return True


class _Moving:
    def __init__(self) -> None:
        self._last: int | None = None
        self._since_ns = 0

    def moves(self, value: int | None, mono_ns: int) -> bool:
        """Whether it is not expected to, or has within STILL_NS."""
        if value is None or value != self._last:
            self._last, self._since_ns = value, mono_ns
            return True
        return mono_ns - self._since_ns < STILL_NS
