"""Whether the light may be lit: parts become durable, pictures come, the recorder acts. Whether the camera is ready, as
it says: pictures come, and the recorder acts. Pure.

Looked at from beside the recorder's loop, which may itself be waiting for the disk that is the trouble.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.controls.lag import Lag, Lasting
from agent.model import NS
from agent.notify import FIRST_OPEN_S

LIMIT_NS = 1_700_000_000
"""Parts come each half second, at most each second. What stands still for longer is told within two seconds."""
TURN_NS = 1_500_000_000
"""So long a turn of the loop may take; what it hangs in may have begun a quarter of a second before."""
ANSWER_NS = 1_100_000_000
"""So long what a press would need may take to answer. It is asked twice a second, in a turn of the loop."""
BUSY_NS = 30 * NS
"""A turn of the loop that takes so long is one that hangs, also where no press is answered at once: it opens devices,
and in the dock it reads what the station brings. The first lens may take as long as the watchdog waits for it.
"""
START_NS = 2 * NS
"""So long one piece of what is read and written at a start may take, until the log is open: a sync, a mebibyte, an
entry, an answer of the TPM. What passes `bodycam-agent selftest` takes no longer.
"""
OPENS_AGAIN_NS = 5 * NS
"""So long a lens gets that is opened again, be it for a press that wakes."""
FOUND = DURABLE, PICTURES, LOOP, WAITING = "durable", "pictures", "loop", "waiting"
"""What is found here, as faults are named."""
STILL = f"nothing that is recorded has become durable for {LIMIT_NS / NS:g} s"
LATE = "what is recorded becomes durable more than 2 s late; is the disk too slow?"
LOST = "media"
"""The fault of what is lost of a recording."""
COSTLY = ("camera", "encryption", "lens", LOST, "microphone", "picture", "recording", "sound", "storage")
"""Faults with which something is not recorded that should be, or would not be after a press."""
IDLE_COSTLY = (*COSTLY, "log", "panel")
"""Those of a camera that waits: where the disk refuses the log, a press would be refused as well; while it records,
parts tell. A panel that lacks takes nothing from what is recorded.
"""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What moves while all is well: durable `parts` of this recording, `pictures` of it, or of the ring; None while no
    lens is open. `lost_parts`: so many of it are lost. `behind_ns`: so much of what was recorded is not durable yet.
    `busy_ns`: since when the loop is in one turn; `closing`: it makes all that was recorded durable in it, however long
    that takes, and ends it: what is `settled` of that moves once all parts are durable; `probing_ns`: since when it
    asks for what a press would need; `answer_ns`: how long the last answer took. `wanted`: a recording is to begin,
    since somebody asked for it, or another broke off; `loading`: the first lens is not open yet, which takes its time,
    nor does the camera sleep; `starting`: nor is the log; `reopening`: a lens is being opened again on purpose.
    """

    recording: str | None = None
    parts: int = 0
    behind_ns: int | None = None
    pictures: int | None = None
    busy_ns: int | None = None
    closing: bool = False
    settled: int = 0
    probing_ns: int | None = None
    answer_ns: int = 0
    wanted: bool = False
    loading: bool = False
    starting: bool = False
    reopening: bool = False
    docked: bool = False
    lost_parts: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`durable`: what comes now is recorded, and becomes durable. `troubles`: what was found here, in words. `alarm`:
    something is wrong that costs evidence.
    """

    durable: bool
    troubles: Mapping[str, str]
    alarm: bool


class Vigil:
    """Look often: what is found depends on when it last moved."""

    def __init__(self) -> None:
        self._recording: str | None = None
        self._sees = self._closing = False
        self._since_ns = 0
        self._parts = _Moving()
        self._lag = Lag()
        self._words: str | None = None
        self._unanswered = Lasting()
        self._pictures = _Moving()
        self._waits_ns: int | None = None
        self._reopens_ns: int | None = None

    def look(self, now_ns: int, vitals: Vitals, read_ns: int | None = None) -> Verdict:
        """`vitals`: how they were somewhen from `now_ns` to `read_ns`. Who looks may come late in the midst of that:
        what moved has moved until `read_ns`, what did not stands still until `now_ns` at least.
        """
        read_ns = now_ns if read_ns is None else read_ns
        sees = vitals.pictures is not None
        if vitals.closing is not self._closing:
            # They are counted elsewhere from here on.
            self._pictures, self._closing = _Moving(), vitals.closing
        if (vitals.recording, sees) != (self._recording, self._sees):
            self._unanswered = Lasting()
            if vitals.recording != self._recording:
                self._parts, self._lag = _Moving(), Lag()
            self._pictures = _Moving()
            self._recording, self._sees, self._since_ns = vitals.recording, sees, read_ns
        troubles = {}
        late = self._late(now_ns, vitals, read_ns)
        if late:
            troubles[DURABLE] = late
        if vitals.pictures is not None and self._pictures.still_ns(now_ns, vitals.pictures, read_ns) > LIMIT_NS:
            troubles[PICTURES] = f"no picture has come for {LIMIT_NS / NS:g} s"
        stands = self._stands(now_ns, vitals, sees and not vitals.docked)
        if stands:
            troubles[LOOP] = stands
        saves = bool(vitals.recording) and vitals.parts > 0 and not vitals.closing
        alarm = bool(troubles) or _costs(vitals, saves)
        opens = vitals.loading or self._reopens(now_ns, read_ns, vitals.reopening)
        if self._waits(now_ns, read_ns, vitals.wanted and not (vitals.recording or opens or alarm)):
            troubles[WAITING] = f"nothing has been recorded for {LIMIT_NS / NS:g} s that should be"
            alarm = True
        return Verdict(saves and not alarm, troubles, alarm)

    def _late(self, now_ns: int, vitals: Vitals, read_ns: int) -> str | None:
        """Why what is recorded is not durable in time, in words."""
        if not vitals.recording:
            return None
        still = self._parts.still_ns(now_ns, vitals.parts + vitals.settled, read_ns) > LIMIT_NS
        behind_ns, begun = vitals.behind_ns, vitals.parts > 0
        late = behind_ns is not None and self._lag.is_late(now_ns, behind_ns, begun)
        if not (still or late):
            # What was late as its end began has not been caught up by that: nobody measures it any more.
            self._words = self._words if vitals.closing and self._words == LATE else None
        elif self._words is None:
            # What was found first: on a disk that is slow, each write would change them.
            self._words = STILL if still else LATE
        return self._words

    def _reopens(self, now_ns: int, read_ns: int, reopening: bool) -> bool:
        """Whether a lens is being opened again, and may take as long as it does."""
        if not reopening:
            self._reopens_ns = None
        elif self._reopens_ns is None:
            self._reopens_ns = read_ns
        return self._reopens_ns is not None and now_ns - self._reopens_ns <= OPENS_AGAIN_NS

    def _waits(self, now_ns: int, read_ns: int, waits: bool) -> bool:
        """Whether it has for too long, and nothing else says why."""
        if not waits:
            self._waits_ns = None
        elif self._waits_ns is None:
            self._waits_ns = read_ns
        return self._waits_ns is not None and now_ns - self._waits_ns > LIMIT_NS

    def _stands(self, now_ns: int, vitals: Vitals, in_use: bool) -> str | None:
        """What the loop waits for too long, in words. `in_use`: a press is answered at once."""
        limit_ns = ANSWER_NS if in_use else BUSY_NS
        late = vitals.answer_ns > limit_ns or not self._in_time(now_ns, vitals.probing_ns, limit_ns)
        if self._unanswered.lasts(now_ns, late and not vitals.recording):
            return "encryption, signature or disk, asked for what a press would need, do not answer in time"
        limit_ns = TURN_NS if vitals.recording or in_use else _unused(vitals)
        # What is ended takes as long as the ring is long, and a dozen syncs; they tell whether that gets on.
        if not vitals.closing and not self._in_time(now_ns, vitals.busy_ns, limit_ns):
            return f"the recorder has been busy with one thing for more than {limit_ns / NS:g} s"
        return None

    def _in_time(self, now_ns: int, begun_ns: int | None, limit_ns: int) -> bool:
        """A turn that has opened a lens, or begun a recording, is judged from then on."""
        return begun_ns is None or now_ns - max(begun_ns, self._since_ns) <= limit_ns


def _costs(vitals: Vitals, saves: bool) -> bool:
    """Whether a fault is shown that costs evidence now. What this recording has lost is shown for as long as it lasts,
    and of what comes now its parts tell.
    """
    shown = vitals.faults.keys() - ({LOST} if saves and vitals.lost_parts else set())
    return not shown.isdisjoint(IDLE_COSTLY if vitals.recording is None else COSTLY)


def _unused(vitals: Vitals) -> int:
    """So long a turn may take in which no press is answered at once."""
    if vitals.starting:
        return START_NS
    return FIRST_OPEN_S * NS if vitals.loading else BUSY_NS


class _Moving:
    def __init__(self) -> None:
        self._last: int | None = None
        self._since_ns = 0

    def still_ns(self, now_ns: int, value: int, read_ns: int) -> int:
        if value != self._last:
            self._last, self._since_ns = value, read_ns
        return now_ns - self._since_ns
