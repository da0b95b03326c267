"""The officer's side of the recorder: the panel's edges become gestures, gestures commands, and what is so becomes
light, vibration and tone.

It has a thread of its own beside the recorder's loop and waits for no disk: a light that goes out because something
stalls must not wait for what stalls. All that it wants done it puts into the loop's turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from agent.clock import Clock
from agent.commands import Commands
from agent.config import Config
from agent.controls.base import Line, Panel
from agent.controls.configured import bindings, timing
from agent.controls.gestures import Edge, Gesture, Gestured
from agent.controls.hands import ORDER_NS, Hands
from agent.controls.looks import Looks
from agent.controls.machine import Contact, Deed, Effect, Event, Facts, Machine, Owed, Told, Triggered, step
from agent.controls.panel import NoPanel, open_panel
from agent.controls.patterns import Cue, Levels
from agent.controls.presses import LetGo, Press
from agent.controls.vigil import FOUND
from agent.deeds import Before, Did, came_of
from agent.diary import BLOCKING
from agent.errors import DeviceError
from agent.events import Actor
from agent.journal import Faults
from agent.loop import Asked, Loop
from agent.model import NS
from agent.rest import Rest
from agent.resume import Resume
from agent.signals import Signals
from agent.status import Life
from agent.stealth import Stealth
from agent.takes import Takes
from agent.vault import Vault

LOG = logging.getLogger("bodycam.officer")
REOPEN_NS = 2 * NS
DID_NS = 5 * NS
"""So long the status says what a hand, a contact, a trigger or a command did."""
KEPT = (Deed.RECORD, Deed.STOP, Deed.DOCK)
"""Over a recorder that is killed before their turn came."""
PANEL = "panel"
LINES = tuple(Line)


class Officer:
    """`step` may be called from any thread, one at a time; `start` does so as often as controls/looks.py says. `dock`
    puts the camera into the dock or takes it out, in the loop's turn; `vault` is there once the recorder has started;
    `resume` is told, in the loop's turn, that a hand was on the button, and has what the life before had not done.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        life: Life,
        takes: Takes,
        rest: Rest,
        vault: Callable[[], Vault | None],
        dock: Callable[[bool], object],
        resume: Resume,
        panel: Panel | DeviceError | None = None,
        lacks: str | None = None,
    ) -> None:
        """`panel` as it was opened before anything else; None: it is opened here. `lacks`: what of it the
        configuration's mistakes took away, in words.
        """
        self._config, self._clock, self._loop, self._faults, self._life = config, clock, loop, faults, life
        self._takes, self._rest, self._vault, self._dock, self._resume = takes, rest, vault, dock, resume
        self._presses, self._owed, self._begun_ns = resume.presses, resume.presses.left, clock.monotonic_ns()
        self._panel: Panel = NoPanel()
        self._lacks = lacks
        self._reopen_ns: int | None = None
        self._hand = Hands(timing(config.gestures))
        self._left: list[tuple[Line, Edge]] = []
        """What a panel that went had still told."""
        self._machine = Machine(bindings(config.gestures))
        self._looks, self._signals = Looks(), Signals(config.signals, clock, loop, life)
        self._signals.stir = self._looks.stir
        self.stealth = Stealth(config, clock, loop, takes, self._signals, rest.kept)
        self._told: dict[str, str] = {}
        self._did = Did("", 0)
        self._commands = Commands(loop, life, takes, resume, self._tell_did)
        self._asked = 0
        self._hand_ns: int | None = None
        self._lock, self._count = threading.RLock(), threading.Lock()
        self._thread: threading.Thread | None = None
        self.beside: Callable[[], object] = lambda: None
        """Called by its thread, in each turn."""
        self.stealth.begin()
        self._take_panel(panel)

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=PANEL, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Everything off, the lines given back."""
        self._looks.end()
        if self._thread:
            self._thread.join(2)
        self._panel.close()

    def _run(self) -> None:
        moves, rests_ns = True, None
        while not self._looks.over(moves, rests_ns):
            moves = True
            try:
                self.beside()
                self.step()
                # A panel is looked for, too, or what was asked for is being done.
                moves = not self._hand.rests or self._asked > 0 or self._reopen_ns is not None
                rests_ns = self._signals.rests_ns(self._clock.monotonic_ns())
            except Exception:
                # A defect of ours must not take the button away for the rest of the shift.
                LOG.exception("the panel's turn failed")

    def _take_panel(self, panel: Panel | DeviceError | None) -> None:
        """One that is not there is a fault, and looked for again."""
        try:
            if isinstance(panel, DeviceError):
                raise panel
            self._panel, self._reopen_ns = panel or open_panel(self._config.panel), None
            self._panel.stir = self._looks.stir
        except DeviceError as err:
            self._lose_panel(err)
        else:
            self._tell(PANEL, self._lacks)

    def _lose_panel(self, err: DeviceError) -> None:
        self._left += self._panel.take()
        self._panel.close()
        self._panel = NoPanel()
        self._reopen_ns = self._clock.monotonic_ns() + REOPEN_NS
        self._tell(PANEL, f"{err.message}; {err.hint}")

    # -- in each turn ----------------------------------------------------------------------------------------------

    def step(self) -> Levels:
        """Hands first, then what is so, then what is shown."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            if self._reopen_ns is not None and now_ns >= self._reopen_ns:
                self._take_panel(None)
            try:
                self._hands(now_ns)
                self._tell_hand(self._hand.hand_ns)
                told, verdict = self._signals.look(self._machine.state, self._machine.facts.wanted)
                for what in FOUND:
                    self._tell(what, verdict.troubles.get(what))
                self._panel.show(told)
            except DeviceError as err:
                self._lose_panel(err)
                told = Levels()
            except Exception:
                # Whatever is shown, nobody has looked whether it is still so.
                self._panel.show(Levels())
                raise
            return told

    def _hands(self, now_ns: int) -> None:
        """Levels first: of what changes meanwhile the edge is there. Raises DeviceError where the panel is gone, once
        all is done that it had told.
        """
        self._learn()
        levels: dict[Line, bool | None] = dict.fromkeys(LINES)
        gone: DeviceError | None = None
        try:
            levels = {line: self._panel.is_down(line) for line in LINES}
        except DeviceError as err:
            gone = err
        read_ns = self._clock.monotonic_ns()
        edges, self._left = [*self._left, *self._panel.take()], []
        for did in self._hand.look(now_ns, edges, levels, lambda: self._machine.habits, read_ns):
            if isinstance(did, Contact):
                self._happens(did, Actor.DOCK)
            elif not isinstance(did, Edge):
                self._happens(did, Actor.OFFICER)
            elif did.down:
                # A hand that came before it and is not clear yet: what begins now is to reach back to that.
                self._tell_hand(self._hand.hand_ns)
                self._happens(Triggered(self._config.panel.trigger_name, did.mono_ns), Actor.RECORDER)
        self._settle(now_ns)
        if gone:
            raise gone

    def _settle(self, now_ns: int) -> None:
        """What the life before this one had not done is done as soon as it is clear whether the camera was docked
        meanwhile: that ends it, as it ends what is recorded. No longer than for a hand: a contact may be loose.
        """
        if not self._owed or (self._hand.dock_moves and now_ns - self._begun_ns < ORDER_NS):
            return
        owed, self._owed = self._owed, ()
        for press in owed:
            if self._machine.facts.docked and not press.docked:
                forgone = replace(press, ends=(LetGo("docked", Actor.DOCK, now_ns),))
                self._order("recording", partial(self._resume.forgo, forgone))
            else:
                self._happens(Owed(press.trigger, press.mono_ns), press.actor)

    def _tell_hand(self, since_ns: int | None) -> None:
        """After what it meant, if that is clear now."""
        if since_ns != self._hand_ns:
            self._hand_ns = since_ns
            if since_ns is not None:
                self._takes.reach.hear(since_ns)
            self._loop.post("officer", lambda: self._takes.reach.hand(since_ns))

    def _learn(self) -> None:
        """What the recorder is, where it has done all that was asked of it."""
        if self._asked and not self._life.over:
            return
        life, faults = self._life, self._life.faults.shown()
        facts = Facts(
            starting=life.starting,
            opening=life.sees() is None,
            recording=life.records or life.goes_on,
            wanted=life.wanted is not None,
            broke_off=life.wanted is not None and life.wanted.continues is not None,
            ending=life.records and life.ends is not None,
            muted=life.muted_ns is not None,
            asleep=life.asleep,
            docked=life.docked,
            blocked=not faults.keys().isdisjoint(BLOCKING),
        )
        self._machine, _ = step(self._machine, Told(facts))

    def _happens(self, event: Event, actor: Actor) -> list[Did]:
        self._machine, effects = step(self._machine, event)
        did = [self._do(effect, actor) for effect in effects]
        if isinstance(event, Gestured):
            # After what the hand asked for, which must not wait until the log has taken this.
            self._loop.post("officer", self._resume.answered)
        return did

    # -- what is to be done ----------------------------------------------------------------------------------------

    def gesture(self, name: str) -> dict[str, Any]:
        """As a hand on the button would, now; from any thread. Returns once it is done, with what came of it; raises
        DeviceError where it is not after 90 s. It is done all the same.
        """
        with self._lock:
            self._learn()
            now_ns, mode = self._clock.monotonic_ns(), self._machine.mode
            deeds: list[Did] = []
            for number, felt in enumerate(self._machine.bindings.by_hand(mode, Gesture(name))):
                after_ns = now_ns if number else None
                deeds += self._happens(Gestured(felt, now_ns, self._machine.mode, after_ns), Actor.CTL)
        if self._life.over is None:
            self._loop.wait("officer", dict)
        return {"gesture": name, "mode": mode.value, "does": [did.what for did in deeds]}

    def _do(self, effect: Effect, actor: Actor) -> Did:
        reason, at_ns, facts = effect.reason, effect.mono_ns, self._machine.facts
        self._did = did = Did(effect.deed.value, self._clock.monotonic_ns())
        orders: dict[Deed, tuple[str, Callable[[], object]]] = {
            Deed.RECORD: ("recording", lambda: self._record(reason, actor, at_ns)),
            Deed.STOP: ("stop", lambda: self._stop(reason, actor, at_ns)),
            Deed.MARK: ("mark", lambda: self._takes.mark(reason, actor, at_ns)),
            Deed.MUTE: ("mute", lambda: self._takes.mute(actor)),
            Deed.UNMUTE: ("mute", lambda: self._takes.unmute(actor)),
            Deed.SLEEP: ("sleep", lambda: self._rest.sleep(self._vault(), actor, reason)),
            Deed.WAKE: ("sleep", lambda: self._rest.wake(actor, reason)),
            Deed.DOCK: ("dock", lambda: self._dock(True)),
            Deed.UNDOCK: ("dock", lambda: self._dock(False)),
        }
        # Then nothing has a turn any more. Where the disk never took anything, the next start does what waits.
        kept = self._vault() is None and effect.deed in (*KEPT, Deed.UNDOCK)
        over = self._life.over is not None and not kept
        if effect.deed in orders:
            if effect.deed not in (Deed.DOCK, Deed.UNDOCK):
                # Until the first lens is open, or the end of the last one written, whoever asks is told that it waits.
                opens = self._life.loading and (facts.starting or facts.opening) and not facts.blocked
                waits = (opens or self._life.closing) and effect.deed is Deed.RECORD
                self._signals.cue(Cue.REFUSED if over else Cue.LATER if waits else Cue.HEARD)
            if effect.deed is Deed.RECORD:
                # Before the loop's turn comes, which may wait for a disk.
                self._takes.reach.hear(at_ns)
                ends = (LetGo("shutdown", Actor.RECORDER, at_ns),) if over else ()
                self._presses.keep(Press(reason, actor, at_ns, self._machine.facts.docked, ends))
            elif effect.deed in (Deed.STOP, Deed.DOCK):
                docks = effect.deed is Deed.DOCK
                self._resume.ends(LetGo("docked" if docks else reason, actor, at_ns, docks), spare=self._owed)
            what, action = orders[effect.deed]
            if over:
                did.what = Cue.REFUSED.value
            else:
                if self._life.over and effect.deed is Deed.RECORD:
                    # It begins anew, since its disk takes nothing: the press waits for that.
                    did.what = Cue.LATER.value
                self._order(what, partial(self._done, effect, did, action))
        elif effect.deed is Deed.FELT:
            self._signals.cue(Cue.HEARD)
        elif effect.deed is Deed.TELL:
            self._signals.cue(Cue.BEGUN if self._life.records else Cue.LATER if facts.wanted else Cue.ENDED)
        elif effect.deed is Deed.STEALTH and over:
            did.what = Cue.REFUSED.value
            self._signals.cue(Cue.REFUSED)
        elif effect.deed is Deed.STEALTH:
            self.stealth.turn(None, actor, reason)
        else:
            words = "the button is stuck, or its contact is loose: it is not believed"
            self._tell("button", words if effect.deed is Deed.STUCK else None)
        return did

    def _done(self, effect: Effect, did: Did, action: Callable[[], object]) -> None:
        """In the loop's turn, where it shows what comes of it. What was kept of it until then is over."""
        failed, before = True, Before.of(self._life)
        try:
            action()
            failed = False
        finally:
            did.what, did.mono_ns = came_of(effect.deed, self._life, before, failed), self._clock.monotonic_ns()
            if failed:
                self._signals.cue(Cue.LATER if did.what == Cue.LATER.value else Cue.REFUSED)
            if effect.deed in KEPT:
                self._presses.done(effect.mono_ns)

    def _stop(self, reason: str, actor: Actor, at_ns: int) -> None:
        """No hand ends what it cannot see: it confirms what broke off before its turn came, or could not begin yet."""
        if self._life.wanted and not self._life.recording:
            self._record(reason, actor, at_ns)
        else:
            self._takes.stop_later(self._vault(), reason, actor)

    def _record(self, reason: str, actor: Actor, at_ns: int) -> None:
        try:
            self._rest.record(self._vault(), reason, actor, at_ns)
        finally:
            self._takes.hearing.done(at_ns)

    def _order(self, what: str, action: Callable[[], object]) -> None:
        """In the loop's turn, whose facts are not believed until it has come."""
        with self._count:
            self._asked += 1

        def turn() -> None:
            try:
                action()
            finally:
                with self._count:
                    self._asked -= 1

        self._loop.post(what, turn)

    def _tell(self, what: str, words: str | None) -> None:
        """A fault of our own, or its end; said in the loop's turn, with the instant at which it was found."""
        if self._told.get(what) == words:
            return
        now_ns = self._clock.monotonic_ns()
        if words is None:
            del self._told[what]
            self._loop.post("officer", lambda: self._faults.cleared(what))
        else:
            self._told[what] = words
            self._loop.post("officer", lambda: self._faults.raised(what, words, now_ns))

    def commanded(self, command: str, reason: str, now_ns: int, what: str, action: Asked) -> dict[str, Any]:
        """In the loop's turn, from a control thread; as `Loop.ask`. What it ends is ended also should this process end
        before; what it records reaches back to `now_ns`, when it came. What it did the status says was done last, where
        it did anything. `reason`: of a stop or a recording.
        """
        return self._commands.ask(command, reason, now_ns, what, action, self._owed)

    def _tell_did(self, what: str) -> None:
        self._did = Did(what, self._clock.monotonic_ns())

    @property
    def busy(self) -> bool:
        """Something that hand or contact wanted, be it of the life before, has not been done yet. From any thread."""
        return self._asked > 0 or bool(self._owed)

    @property
    def stands_still(self) -> bool:
        """Something that has to move does not, by the last look. From any thread."""
        return self._signals.stands_still

    def shown(self) -> dict[str, Any]:
        """For `ctl status`, from any thread."""
        what, at_ns = self._did.what, self._did.mono_ns
        waits = self._machine.facts.wanted and not (self._life.records or self._life.over)
        what = Cue.LATER.value if waits and what == Deed.RECORD.value else what
        did = what if what and self._clock.monotonic_ns() - at_ns < DID_NS else None
        told = {"lights_by_hand": self._machine.lights_by_hand, "panel": self._config.panel.chip or "none"}
        return {"officer": {**self._signals.shown(), **told, "waits": waits, "did": did}}
