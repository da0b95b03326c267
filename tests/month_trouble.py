"""What a card and a clock do to a camera that records: a disk that does not answer, a clock that is set, a card that
forgot what it had said was there.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import threading
from dataclasses import dataclass
from typing import Any

from agent.apply import apply
from agent.dock import services as dock
from agent.model import NS, SegmentState
from tests.life_model import Fork
from tests.month_hands import Hands
from tests.month_world import STATES, RootsClock, TrueClock
from tests.test_services import StationTwin


@dataclass
class Troubles(Hands):
    def stall_the_disk(self, draw: random.Random) -> None:
        """It takes a part and does not answer for a while; none is lost."""
        self.begin(draw)
        self.turns(3)
        sealer, answers = self.camera.vault.sealer, threading.Event()
        media = sealer.media

        def stalled(*arguments: Any) -> Any:
            answers.wait(60)
            return media(*arguments)

        with self.patch.context() as patch:
            patch.setattr(sealer, "media", stalled)
            self.card.stalling = True
            self.must_alarm()
            assert "durable" in self.camera.faults(), "and says why"
        self.card.stalling = False
        answers.set()
        self.camera.until_sealed()
        self.no_alarm()
        parts = self.camera.recorder.status()["parts"]
        self.turns(2)
        assert self.camera.recorder.status()["parts"] > parts, "it goes on"
        self.end()
        assert not self.camera.faults().keys() & {"media", "storage", "durable"}, "every part is there"

    def go_dark_and_back(self, draw: random.Random) -> None:
        """In the middle of a recording, by command: what is recorded is the same, whatever is shown of it."""
        self.begin(draw)
        for on in (not self.stealth, self.stealth):
            self.turns(draw.uniform(2, 8))
            parts = self.camera.recorder.status()["parts"]
            self.stealth = on
            self.ctl(do="stealth", text="on" if on else "off")
            shown = self.watch(2)
            assert self.camera.recorder.status()["officer"]["stealth"] is on
            lit = self.config.signals.light and not on
            assert any(levels.light for levels in shown) is lit, "dark at once, and lit again"
            assert self.camera.recorder.status()["parts"] > parts
        self.end()

    def ntp_sets_the_clock(self, draw: random.Random) -> None:
        """While it records the wall clock jumps, forth or back; what is recorded does not."""
        self._mistake_the_clock(draw)
        self.begin(draw)
        self.turns(draw.uniform(2, 8))
        before, wrong_s = self._timeline(), self.wrong_ns // NS
        self.set_right()
        self.turns(draw.uniform(2, 8))
        (name, now_ns, media_ns), (was, was_ns, had_ns) = self._timeline(), before
        assert name == was, "it is the same recording"
        assert abs(media_ns - had_ns - (now_ns - was_ns)) <= NS, "as long as it took, by the clock that nobody sets"
        assert "clock not set" not in self.warnings()
        self.counts["ntp_sets_the_clock " + ("back" if wrong_s > 0 else "forth")] += 1
        self.end()

    def _mistake_the_clock(self, draw: random.Random) -> None:
        if self.clock.utc_bound_ms is not None:
            self.doubt_clock()
            self.step(draw.choice([-86_400, -3_600, -40, 40, 3_600, 86_400]))

    def station_sets_the_clock(self, draw: random.Random) -> None:
        """In the dock, by the time that it signs: never while something is recorded, and then at once."""
        self._mistake_the_clock(draw)
        vault, twin = self.camera.vault, StationTwin(self.agency, TrueClock(lambda: self.true_ns))
        uploader = dock.Services(
            vault.spool.root, twin, self.clock.boot_id, self.clock.monotonic_ns, lambda low, high: low
        )
        asked = vault.spool.root / "apply"
        if draw.random() < 0.5:
            # It was to be set, and somebody presses before root comes.
            self._hear_the_time(uploader)
            assert list(asked.glob("*.clock"))
        self.begin(draw)
        self._hear_the_time(uploader)
        wrong_ns = self.wrong_ns
        self._root_comes()
        assert self.wrong_ns == wrong_ns and not list(asked.glob("*.clock")), "nobody sets it now"
        assert "clock not set" in self.warnings()
        self.end()
        self._root_comes()
        assert abs(self.wrong_ns) <= (self.clock.utc_bound_ms or 0) * NS // 1000, "it is right, as well as it says"
        self.turns(2)
        assert "clock" not in self.camera.faults()
        assert "clock not set" not in self.warnings()

    def _hear_the_time(self, uploader: dock.Services) -> None:
        """An answer that came too late is asked for again."""
        for _ in range(3):
            self.turns(1)
            uploader.step()
        self.turns(1)

    def _root_comes(self) -> None:
        user = pwd.getpwuid(os.getuid()).pw_name
        apply(self.config.spool.dir / "apply", self.root / "agent.toml", user, RootsClock(self.clock, self.jumped))

    def _timeline(self) -> tuple[Any, int, int]:
        self.camera.until_sealed()
        recording = self.camera.recorder._life.recording
        assert recording
        return recording.name, self.clock.now_ns, recording.progress().media_ns

    # -- a card that lies ------------------------------------------------------------------------------------------

    def forget(self, draw: random.Random) -> None:
        """In the dock: what the card had flushed, and a station has seen, is gone with the next power cut. So the next
        epoch begins; what the old one left on the card is still owed.
        """
        vault, was = self.camera.vault, self.camera.vault.epoch
        vault.sealer.seal_open()
        image = self.root / "image"
        shutil.copytree(vault.spool.root, image, ignore=shutil.ignore_patterns("*.sock", "still"))
        self.record_and_stop(draw)
        vault.sealer.seal_open()
        self.station.take(vault, self.true_ns // NS)
        self.turns(3)
        self._drop()
        self._put_back(image)
        self._power_on(draw.randrange(5, 3_000))
        self._start()
        assert self.camera.vault.epoch == was + 1
        assert "epoch" in self.camera.faults()
        assert [r for r in self.camera.vault.spool.records(SegmentState.SEALED) if r.epoch == was], "is still owed"
        self.record_and_stop(draw)
        self.counts["forget"] += 1

    def roll_back(self, draw: random.Random) -> None:
        """In the dock: all of the card is put back to an older image, by somebody or by a card that forgets. Nothing on
        it says so: the old log goes on, beside what a station has of it, and says other things. At the next visit the
        station tells; so the next epoch begins, and both histories land.
        """
        self.deliver()
        vault, was = self.camera.vault, self.camera.vault.epoch
        vault.sealer.seal_open()
        image, before = self.root / "image", self.card.names(SegmentState.SEALED)
        shutil.copytree(vault.spool.root, image, ignore=shutil.ignore_patterns("*.sock", "still"))
        self.record_and_stop(draw)
        vault.sealer.seal_open()
        one = self._sealed_since(before, was)
        self.station.take(vault, self.true_ns // NS)
        self.turns(3)
        self._drop()
        shutil.rmtree(self.config.spool.dir)
        shutil.move(image, self.config.spool.dir)
        self._know_the_card()
        self._power_on(draw.randrange(5, 3_000))
        self._start()
        assert self.camera.vault.epoch == was and "epoch" not in self.camera.faults(), "nobody can know yet"
        self.record_and_stop(draw)
        vault = self.camera.vault
        vault.sealer.seal_open()
        self.station.take(vault, self.true_ns // NS)
        self.turns(3)
        assert vault.epoch == was + 1, "the station knows more of it"
        other = self._sealed_since(before, was)
        assert was in self.station.forked and not other.keys() & self.station.receipted.keys(), "nothing is signed for"
        assert "epoch" in self.camera.faults()
        self.deliver()
        self.forks.append(Fork(one | other, (len(self.boots) - 2, len(self.boots) - 1)))
        self.counts["roll_back"] += 1

    def _sealed_since(self, before: set[str], epoch: int) -> dict[str, range]:
        records = self.camera.vault.spool.records(SegmentState.SEALED)
        return {r.segment: range(r.first, r.end) for r in records if r.epoch == epoch and r.segment not in before}

    def _put_back(self, image: Any) -> None:
        """All but what the station had said: that was written long before."""
        spool = self.config.spool.dir
        for state in STATES:
            shutil.rmtree(spool / state.value)
            shutil.move(image / state.value, spool / state.value)
        for log in (image / "log").iterdir():
            if log.is_dir():
                told = spool / "log" / log.name / "cosigned"
                if told.exists():
                    shutil.copyfile(told, log / "cosigned")
                shutil.rmtree(spool / "log" / log.name)
                shutil.move(log, spool / "log" / log.name)
        shutil.rmtree(image)
        self._know_the_card()

    def _know_the_card(self) -> None:
        """What lies on it now is not what lay there before."""
        sealed, delivered = (self.card.names(state) for state in (SegmentState.SEALED, SegmentState.DELIVERED))
        self.held = sealed | delivered
        for name in sealed:
            self.delivered_ns.pop(name, None)

    def deliver(self) -> None:
        """All that is sealed, of every log."""
        waiting = self.card.names(SegmentState.SEALED)
        self.station.take(self.camera.vault, self.true_ns // NS)
        self.turns(3)
        assert not waiting & self.card.names(SegmentState.SEALED), "all is delivered"
        assert "receipt" not in self.camera.faults()
        self._all_epochs_land()
        self.counts["delivered"] += 1

    def _all_epochs_land(self) -> None:
        """After a visit: nothing of an earlier log is left, and nothing says that there is."""
        vault = self.camera.vault
        assert [r.segment for r in vault.spool.records(SegmentState.SEALED) if r.epoch < vault.epoch] == []
        assert "epoch" not in self.camera.faults()
