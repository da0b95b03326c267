"""Shifts as an officer works them: out of the dock, hands and faults as they come, and into the dock again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent import takes
from agent.errors import DeviceError, StorageError
from agent.intake.report import IntakeEventKind
from agent.model import NS, SegmentState
from tests.month_model import CHARGED, COOL, DAY_NS, HOT, IDLE_S, KEEP_DAYS, LOW
from tests.month_trouble import Troubles
from tests.month_world import CARD_BYTES

MINUTE_S = 61.0
ALIKE = {
    IntakeEventKind.MICROPHONE_LOST: IntakeEventKind.MICROPHONE_BACK,
    IntakeEventKind.LENS_COVERED: IntakeEventKind.LENS_CLEAR,
    IntakeEventKind.PICTURE_FROZEN: IntakeEventKind.PICTURE_MOVES,
    IntakeEventKind.MICROPHONE_DEAF: IntakeEventKind.MICROPHONE_HEARS,
}
Deed = Callable[[random.Random], bool | None]
"""False where there was no occasion for it."""


@dataclass
class Shifts(Troubles):
    """Day after day. `fills` is the chance that something else takes the card's room, where it might."""

    fills: float = 0.1
    forgets: float = 0.1
    """The chance at each visit that the card loses what it had flushed, or is put back to an older image."""

    @property
    def deeds(self) -> tuple[Deed, ...]:
        return (
            *(self.record_and_stop,) * 4,
            self.record_for_minutes,
            *(self.record_and_lose_the_lens, self.record_and_cut, self.trigger, self.jam),
            *(self.chatter, self.nap, self.command, self.sleep_by_command, self.go_dark, self.lose_the_lens),
            *(self.lose_sound_or_sight, self.refuse_parts, self.refuse_events, self.fill_the_card, self.overheat),
            *(self.stall_the_disk, self.go_dark_and_back, self.ntp_sets_the_clock),
            *(self.pull_the_panel_off, self.lose_the_clock, self.step_the_clock, self.cut_idle, self.die, self.drain),
        )

    # -- a day -----------------------------------------------------------------------------------------------------

    def shift(self, draw: random.Random, hours: float) -> None:
        """Out of the dock, whatever happens, and into the dock again."""
        self.contact(False)
        left_s = hours * 3600
        while left_s > 0:
            pause_s = draw.uniform(20, 3_600)
            left_s -= pause_s
            self.idle(pause_s)
            deed = draw.choice(self.deeds)
            if deed(draw) is not False:
                self.counts[deed.__name__] += 1
        self.contact(True)
        self.visit(draw)
        self.idle(draw.uniform(600, 3_600))
        self.power_off(draw.randrange(3_600, 50_000))
        self.charge(CHARGED)

    def visit(self, draw: random.Random) -> None:
        """In the dock: a press records there too. Now and then the station cannot be reached, or somebody who is no
        station signs.
        """
        if draw.random() < 0.2:
            self.record_and_stop(draw)
            self.counts["press_in_the_dock"] += 1
        if draw.random() < 0.2:
            self.station_sets_the_clock(draw)
            self.counts["station_sets_the_clock"] += 1
        vault, unix_s = self.camera.vault, self.true_ns // NS
        vault.sealer.seal_open()
        waiting = self.card.names(SegmentState.SEALED)
        if draw.random() < 0.2:
            self.station.lie(vault, unix_s)
            self.turns(3)
            assert "receipt" in self.camera.faults(), "who signed it is no station"
            assert waiting <= self.card.names(SegmentState.SEALED)
            self.counts["false_receipt"] += 1
        if draw.random() < 0.2:
            self.counts["station_away"] += 1
            return
        self.deliver()
        self.idle(MINUTE_S)
        self._old_is_gone()
        if draw.random() < self.forgets:
            draw.choice([self.forget, self.roll_back])(draw)

    def _old_is_gone(self) -> None:
        """What is delivered goes by its age, but for what the log itself still needs."""
        vault = self.camera.vault
        for record in vault.spool.records(SegmentState.DELIVERED):
            needed = record.epoch == vault.epoch and record.end > vault._book.log.tiles_size
            assert needed or self.true_ns - self.delivered_ns[record.segment] <= KEEP_DAYS * DAY_NS + 3 * 60 * NS

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def lose_the_lens(self, draw: random.Random) -> None:
        """Nothing is recorded, and would not be after a press: that is an alarm too."""
        self._lens_goes()
        self.idle(draw.uniform(1, 100))
        self._lens_comes()

    def record_and_lose_the_lens(self, draw: random.Random) -> None:
        self.begin(draw)
        self.turns(draw.uniform(1, 8))
        self._lens_goes()
        self.turns(draw.uniform(1, 10))
        self._lens_comes()
        self.turns(2)
        self.end()

    def _lens_goes(self) -> None:
        self.camera.lens = DeviceError("no lens", "plug it in")
        self.camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
        self.must_alarm()
        self.model.wanted = self.model.recording
        self.model.lens = self.model.recording = False
        self.look()

    def _lens_comes(self) -> None:
        """It is looked for every two seconds. Ten changes in a minute would be a fault that comes and goes."""
        self.camera.lens = None
        self.no_alarm()
        self.model.recording |= self.model.wanted
        self.model.lens, self.model.wanted = True, False
        self.turns(65)
        self.look()

    def lose_sound_or_sight(self, draw: random.Random) -> None:
        """The recording goes on, without what is lost."""
        lost = draw.choice(list(ALIKE))
        self.begin(draw)
        self.turns(2)
        self.camera.tell(lost, "lost")
        self.must_alarm()
        self.camera.tell(ALIKE[lost], "back")
        self.no_alarm()
        self.end()
        self.counts[f"lose_sound_or_sight: {lost.value}"] += 1

    def refuse_parts(self, draw: random.Random) -> None:
        """The disk takes no part for a while; none is lost."""
        self.begin(draw)
        self.turns(3)

        def refused(*_: object) -> int:
            raise StorageError("refused")

        with self.patch.context() as patch:
            patch.setattr(self.camera.vault.sealer, "media", refused)
            self.card.refusing = True
            self.must_alarm()
        self.card.refusing = False
        self.camera.until_sealed()
        self.no_alarm()
        self.end()
        assert not self.camera.faults().keys() & {"media", "storage"}, "every part is there"

    def refuse_events(self, draw: random.Random) -> None:
        self.refuse(draw.randrange(8, 400), redock=False)

    def fill_the_card(self, draw: random.Random) -> bool:
        """Not often, so that something grows old on it."""
        if draw.random() >= self.fills:
            return False
        self.squeeze(draw)
        return True

    def squeeze(self, draw: random.Random) -> None:
        """Something else takes the room on the card, little by little: 20, 10 and 5 % are told. What a station has
        makes room for a recording; where nothing does, it ends, and nothing unsent is overwritten.
        """
        delivered = SegmentState.DELIVERED
        for edge in (20, 10, 5):
            self.card.leave(max(0, CARD_BYTES * (edge - 1) // 100 - self.card.held_bytes(delivered)))
            self.idle(MINUTE_S)
            assert self.camera.recorder.status()["room_percent"] < edge
            assert f"storage {edge} %" in self.warnings()
        while self.camera.vault.more_to_delete:
            # In portions, one a second.
            self.turns(1)
        unsent, needs = self.card.names(SegmentState.SEALED), self.camera.vault.sealer.settings.needs_bytes
        self.card.leave(max(0, needs - 1 - self.card.held_bytes(delivered)))
        with self.patch.context() as patch:
            # It waits in real time for a disk that takes nothing.
            patch.setattr(takes, "FINISH_S", 0.5)
            self.pressed(self.push(100))
            self.turns(12)
        assert self.camera.recorder.status()["recording"] is None
        assert "storage" in self.camera.faults()
        self.model.recording, self.model.full = False, True
        self.look()
        self.alarm_goes_on()
        assert unsent <= self.card.names(SegmentState.SEALED)
        self.card.other_bytes, self.model.full = 0, False
        self.idle(2 * MINUTE_S)
        # Until another recording is whole, what this one has lost is shown.
        self.record_and_stop(draw)
        self.no_alarm()

    def overheat(self, draw: random.Random) -> None:
        """Down the ladder, to another size of the picture and another recording; and up again, some time later."""
        self.begin(draw)
        self.warm(HOT)
        self.turns(8)
        assert "too hot" in self.warnings()
        assert self.camera.recorder.status()["ladder"]["step"] == 1
        self.turns(draw.uniform(1, 150))
        self.warm(COOL)
        self.turns(8)
        assert "too hot" not in self.warnings()
        self.end()

    def record_and_cut(self, draw: random.Random) -> None:
        self.begin(draw)
        self.turns(draw.uniform(1, 15))
        self.cut(draw.randrange(5, 3_000))

    def cut_idle(self, draw: random.Random) -> None:
        self.cut(draw.randrange(1, 20_000))

    def die(self, draw: random.Random) -> None:
        self.kill(draw.randrange(0, 120))

    def pull_the_panel_off(self, draw: random.Random) -> None:
        panel = self.camera.panel
        panel.gone = "the panel is gone"

        def open_panel(_: object) -> Any:
            if panel.gone:
                raise DeviceError(panel.gone, "put it back")
            return panel

        with self.patch.context() as patch:
            patch.setattr("agent.officer.open_panel", open_panel)
            self.turns(1)
            self.model.panel = False
            self.look()
            self.idle(draw.uniform(1, 200))
            panel.gone = ""
            self.turns(3)
        self.model.panel = True
        self.look()

    def lose_the_clock(self, draw: random.Random) -> None:
        """It records at once, and never claims a time that nobody vouches for; some time later it is set again."""
        if self.clock.utc_bound_ms is None:
            self.set_right()
        else:
            self.doubt_clock()
            self.step(draw.choice([-2 * 365 * 86_400, -3_600, 40, 86_400]))
        self.idle(2 * IDLE_S)
        assert ("clock not set" in self.warnings()) == (self.clock.utc_bound_ms is None)
        self.record_and_stop(draw)

    def step_the_clock(self, draw: random.Random) -> bool:
        """One that nobody vouches for may be anything."""
        if self.clock.utc_bound_ms is not None:
            return False
        self.step(draw.randrange(-86_400, 86_400))
        self.idle(IDLE_S)
        return True

    def drain(self, draw: random.Random) -> None:
        """The battery is low, and then at its end: what is recorded is ended and sealed before the power goes."""
        self.charge(LOW)
        self.idle(2 * IDLE_S)
        assert "battery low" in self.warnings()
        self.begin(draw)
        self.charge(2)
        self.turns(20)
        self.model.recording = self.model.wanted = self.model.muted = False
        assert self.camera.recorder.status()["recording"] is None
        assert (self.root / "poweroff").exists()
        self.power_off(draw.randrange(60, 20_000))
        self.charge(CHARGED)
