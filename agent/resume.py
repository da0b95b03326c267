"""What goes on where the recorder ended without a stop: killed by its watchdog, or for memory. Nobody had stopped what
was being recorded, so it goes on by itself in a recording that names it, and the officer is told that seconds are
missing, until a hand or the dock answers.

What is being recorded is kept beside the control socket and counts within one boot, as agent/controls/kept.py does
it: on a camera it lies in memory, so nothing here waits for the card, and the card tells nothing of it. Beside
it lies what no log was told while a disk refused, for the next life to tell it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from agent import durable, events
from agent.clock import Clock
from agent.config import Config
from agent.controls.presses import LetGo, Press, Presses
from agent.errors import StorageError
from agent.events import Actor, Cleared, Fault
from agent.journal import Faults, Journal, Owed
from agent.lens import Lens
from agent.model import NS
from agent.status import CONTINUED, Life, Reason, Wanted

FILE = "goes-on"
FAULT = "restart"
STORAGE = "storage"
OWED = "refused"
"""Beside it, while a disk refuses: what no log could be told, for the life after this one to tell it."""
MAX_FAULTS = 16
MAX_TEXT = 1000
"""Characters, as many as the log takes; each may come to twelve bytes."""
MAX_OWED_BYTES = 1 << 20
MAX_STARTS = 30
WITHIN_NS = 600 * NS
"""Starts that came so close on each other may have one cause."""
MAX_WAIT_S = 30
"""Nor longer than a recording reaches back, so that the wait itself costs nothing."""


@dataclass(frozen=True, slots=True)
class Kept:
    """`recording`: what ran, or broke off; else somebody pressed at `pressed_ns`, and nothing could be recorded yet.
    `starts`: when the recorder took something up before; `reasons`: what else wanted it (`status.Reason`), and
    `sound`: whether it was on, by whom, and since when; what is in no log of the recording yet. All on this boot's
    monotonic clock.
    """

    recording: str | None
    starts: tuple[int, ...] = ()
    trigger: str = ""
    actor: str = Actor.RECORDER.value
    pressed_ns: int | None = None
    reasons: tuple[tuple[str, str, int, str | None], ...] = ()
    sound: tuple[tuple[bool, str, int], ...] = ()

    @property
    def what(self) -> str | int | None:
        """As what an end of it names it (agent/controls/presses.py)."""
        return self.pressed_ns if self.recording is None else self.recording


class Resume:
    """In the loop's turn. `begin` once, before the lens is opened."""

    def __init__(self, config: Config, clock: Clock, faults: Faults, journal: Journal, life: Life, lens: Lens) -> None:
        directory = config.control.socket.parent
        self._journal = journal
        self._owing: Owed | None = None
        self._path, self._clock, self._faults, self._life, self._lens = directory / FILE, clock, faults, life, lens
        self._reach_s = config.recording.pre_event_s
        self._owed = directory / OWED
        self._starts = self._before = tuple[int, ...]()
        self._kept: Kept | None = None
        self.presses, self._begun, self._handed_on = Presses(directory, clock.boot_id), False, False

    def begin(self) -> None:
        """Where the life before this one was cut: record again, as muted as it was, and say so."""
        self._kept = kept = self._read()
        self._begun, now = True, self._clock.monotonic_ns()
        for press in self.presses.forgone:
            self.forgo(press)
        stopped = self._was_stopped(kept)
        if self.presses.left and (stopped or kept is None or kept.recording is None):
            self._faults.raised(FAULT, "the recorder ended before a press had its turn, and started anew")
        if stopped or kept is None:
            return
        reasons = tuple(Reason(text, Actor(by), at_ns, tag) for text, by, at_ns, tag in kept.reasons)
        if kept.recording is None:
            self._starts = self._before = kept.starts
            self._life.wanted = Wanted(
                kept.trigger, actor=Actor(kept.actor), pressed_ns=kept.pressed_ns, reasons=reasons
            )
            # All that this life hears came after the press.
            self._lens.unmute(now)
            return
        recent = tuple(at for at in kept.starts if now - WITHIN_NS < at <= now)
        self._starts, self._before = (*recent, now)[-MAX_STARTS:], recent
        at_ns = now + wait_ns(len(recent), self._reach_s)
        sound = tuple((on, Actor(by), since_ns) for on, by, since_ns in kept.sound)
        self._life.wanted = Wanted(CONTINUED, kept.recording, at_ns=at_ns, reasons=reasons, sound=sound)
        if sound and not sound[-1][0]:
            _, self._life.muted_by, self._life.muted_ns = sound[-1]
            self._lens.mute(now)
        else:
            self._lens.unmute(now)
        again = f", {len(recent) + 1} times in ten minutes" if recent else ""
        self._faults.raised(
            FAULT, f"the recorder ended without a stop while it recorded {kept.recording}, and started anew{again}"
        )

    def _was_stopped(self, kept: Kept | None) -> bool:
        """Whether somebody had ended what the life before this one recorded, or was to record, when it was cut: the
        log says who.
        """
        stopped = self.presses.stopped
        ends = [stop.end for stop in stopped if kept and stop.what == kept.what]
        for stop in stopped:
            if stop.end not in ends:
                self.presses.done(stop.end.mono_ns)
        if kept is None or not ends:
            return False
        # Its turn would have come first.
        end = min(ends, key=lambda end: end.mono_ns)
        trigger = kept.trigger if kept.recording is None else CONTINUED
        self._journal.say(events.RecordForgone(end.reason, end.actor, end.mono_ns, trigger, kept.recording))
        with suppress(StorageError):
            self.keep()
            for end in ends:
                self.presses.done(end.mono_ns)
        return True

    @property
    def due(self) -> bool:
        """What is kept is not what is so; where it is the next life's, nothing here is so any more."""
        return not self._handed_on and (self._wish() != self._kept or self._journal.owed() != self._owing)

    def keep(self) -> None:
        """What is to go on, should this process end now, and what no log was told. Raises StorageError."""
        self.owe()
        wish = self._wish()
        if wish == self._kept:
            return
        if wish and wish.what is not None:
            # Before it is to go on. Who ends it from here on sees it.
            runs, before = self._life.recording is not None, self._kept.what if self._kept else None
            self.presses.became(wish.what, {before, self._life.pressed_ns if runs else wish.pressed_ns} - {None}, runs)
        if wish is None:
            durable.remove(self._path)
        else:
            told = {"boot": self._clock.boot_id, **asdict(wish)}
            durable.write_file(self._path, json.dumps(told).encode(), 0o600)
        self._kept = wish

    def owe(self) -> None:
        """What the disk has not taken by now; where it cannot be kept, in the next turn."""
        owed = self._journal.owed()
        if owed == self._owing:
            return
        faults = [[fault.what, fault.detail[:MAX_TEXT], fault.mono_ns] for fault in owed.faults[:MAX_FAULTS]]
        marks = [[mark.text[:MAX_TEXT], mark.actor.value, mark.mono_ns, mark.tag, of] for mark, of in owed.marks]
        told = {"boot": self._clock.boot_id, "faults": faults, "marks": marks, "others": owed.others}
        with suppress(StorageError, OSError):
            if owed == Owed():
                self._owed.unlink(missing_ok=True)
            else:
                durable.write_file(self._owed, json.dumps(told).encode(), 0o600)
            self._owing = owed

    def end(self, refused: bool) -> None:
        """The recorder ends as it was asked to, and with it what waited; or to begin anew, since the disk `refused`:
        then the next start takes it up, as it does a press that had no turn before the start was over.
        """
        forgone: Wanted | None = None
        if refused and not self._life.parts:
            # Nothing that recording did: this start is none of those that may have one cause.
            self._starts = self._before
        if not refused:
            forgone, self._life.wanted = self._life.wanted, None
        with suppress(StorageError):
            if self.due:
                self.keep()
        # What the lens still tells as it is closed has the recorder look whether all is kept.
        self._handed_on = refused
        for press in () if refused or not self._begun else self.presses.forget():
            self.forgo(press)
        if forgone:
            self._journal.say(forgone.forgone("shutdown", Actor.RECORDER, self._clock.monotonic_ns()))

    def settle(self) -> None:
        """As `Journal.settle`, last of all: who pressed since `end` is not heard any more. Raises StorageError."""
        for press in self.presses.forget() if self._begun else ():
            self.forgo(press)
        self._journal.settle()

    def forgo(self, press: Press) -> None:
        """It is not done, and the log says who let go of it."""
        end = press.let_go or LetGo("shutdown", Actor.RECORDER, press.mono_ns)
        self._journal.say(events.RecordForgone(end.reason, end.actor, end.mono_ns, press.trigger))
        self.presses.done(press.mono_ns)

    def tell(self) -> bool:
        """Before the disk is asked: says what the life before this one could say nowhere. True where its disk refused:
        that is shown until this life's takes something; whatever else it was went with that life.
        """
        found = durable.read_of_boot(self._owed, self._clock.boot_id, MAX_OWED_BYTES)
        if found is None:
            return False
        try:
            faults = [(str(what), str(detail), int(found_ns)) for what, detail, found_ns in found["faults"]]
            marks = [(_reason(*mark), None if of is None else str(of)) for *mark, of in found.get("marks", ())]
            others = int(found["others"])
        except durable.UNREADABLE:
            return False
        for what, detail, found_ns in faults:
            if what == STORAGE:
                self._faults.raised(what, detail, found_ns)
            else:
                # Not as this life's own: that would wait a minute where the same is found now, and may be cleared here.
                self._journal.say(Fault(what, detail, 1, found_ns))
                self._journal.say(Cleared(what))
        for (text, by, at_ns, tag), recording in marks:
            self._journal.say(events.Mark(text, Actor(by), at_ns, tag), recording)
        self._journal.missed(max(0, others))
        return STORAGE in self._faults

    def ends(self, end: LetGo, spare: Sequence[Press]) -> None:
        """From any thread. Should this process end before its turn: of the presses that wait, but for `spare`, none is
        done, and what runs, or is just being begun, does not go on; nor, where it `waits`, what broke off, or cannot
        begin yet.
        """
        self.presses.let_go(end, spare)
        ran, wanted = self._life.recording, self._life.wanted
        what: str | int | None = self._life.begins_ns
        if wanted and wanted.what is not None:
            what = wanted.what if end.waits else None
        if what is not None:
            self.presses.stop(what, end)
        # Looked at once more: what waited may have begun meanwhile.
        if recording := self._life.recording or ran:
            self.presses.stop(recording.name, end)

    def answered(self) -> None:
        """Somebody has a hand on the camera, or put it into the dock: told is told."""
        self._faults.cleared(FAULT)

    def _wish(self) -> Kept | None:
        life, wanted = self._life, self._life.wanted
        name = life.recording.name if life.recording else wanted.continues if wanted else None
        if life.ends:
            return None
        waiting = wanted.reasons if wanted else ()
        reasons = tuple((text[:MAX_TEXT], by.value, at_ns, tag) for text, by, at_ns, tag in waiting)
        if name is not None:
            sound = tuple((on, by.value, at_ns) for on, by, at_ns in (wanted.sound if wanted else life.silence))
            return Kept(name, self._starts, reasons=reasons, sound=sound)
        if wanted is None or wanted.pressed_ns is None:
            return None
        trigger, actor = wanted.trigger[:MAX_TEXT], wanted.actor.value
        return Kept(None, self._starts, trigger, actor, wanted.pressed_ns, reasons)

    def _read(self) -> Kept | None:
        """What cannot be read says nothing."""
        told = durable.read_of_boot(self._path, self._clock.boot_id)
        if told is None:
            return None
        try:
            name, starts = told["recording"], tuple(map(int, told["starts"]))
            reasons = tuple(_reason(*reason) for reason in told.get("reasons", ()))
            if isinstance(name, str):
                sound = tuple((on is True, Actor(by).value, int(at_ns)) for on, by, at_ns in told["sound"])
                return Kept(name, starts, reasons=reasons, sound=sound)
            trigger, actor = str(told["trigger"]), Actor(told["actor"]).value
            return Kept(None, starts, trigger, actor, int(told["pressed_ns"]), reasons)
        except durable.UNREADABLE:
            return None


def _reason(text: str, by: str, at_ns: int, tag: str | None = None) -> tuple[str, str, int, str | None]:
    return str(text), Actor(by).value, int(at_ns), None if tag is None else str(tag)


def wait_ns(before: int, reach_s: int) -> int:
    """Before it records again: nothing the first time; more each time, so that what ends the recorder by its very
    recording leaves it time for whatever else a camera does. A recording reaches `reach_s` back.
    """
    return min(MAX_WAIT_S, reach_s, 2**before) * NS if before else 0
