"""A stop while what lay before the press is still on its way to the disk: the press and what follows are kept, however
slow the card. Simulated time, a real ring.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from agent import headway, notify
from agent import recording as recordings
from agent.controls.vigil import LIMIT_NS
from agent.intake import delivery as deliveries
from agent.intake.delivery import Tally
from agent.intake.report import IntakeEventKind
from agent.model import NS, EncodedPacket, MediaPart, StreamInfo
from agent.pulse import LOOP_NS
from agent.sealing.closing import Closing
from agent.station.layout import AgencyPaths
from agent.takes import Takes
from tests.recorder_desk import Camera
from tests.test_held_button import STEP_NS, ZERO_NS, RingIntake, picture

PIECE = NS // 2 // STEP_NS
"""Pictures in half a second."""


class WholeIntake(RingIntake):
    """All that it delivers comes to the recorder."""

    def attach(
        self, sink: Callable[[EncodedPacket], None], since_mono_ns: int, silent_before_mono_ns: int | None = None
    ) -> Tally:
        return self.delivery.attach(sink, since_mono_ns - ZERO_NS)


class Muxer:
    """A part of each half second, and what is left at the end, by which time it has been given `had` pictures."""

    def __init__(self, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> None:
        self._on_init, self._on_part = on_init, on_part
        self._zero_ns: int | None = None
        self._pictures: list[EncodedPacket] = []
        self.had = self._parts = 0
        self.closes: Callable[[], object] = lambda: None
        self.stands_at, self.stands, self.go_on = -1, threading.Event(), threading.Event()

    def push(self, packet: EncodedPacket) -> None:
        if self._zero_ns is None:
            self._zero_ns = packet.pts_ns
            self._on_init(b"ftyp-and-moov")
        if self.had == self.stands_at:
            self.stands.set()
            assert self.go_on.wait(30)
            return
        self.had += 1
        self._pictures.append(packet)
        if len(self._pictures) == PIECE:
            self._part()

    def close(self) -> None:
        self.go_on.set()
        self.closes()
        if self._pictures:
            self._part()

    def _part(self) -> None:
        assert self._zero_ns is not None
        pictures, self._pictures = self._pictures, []
        start_ns = pictures[0].pts_ns - self._zero_ns
        part = MediaPart(self._parts, b"x" * 900, start_ns, len(pictures) * STEP_NS, pictures[0].key, len(pictures), 0)
        self._parts += 1
        self._on_part(part)


class Flushing:
    """A camera that records so many seconds of ring, of which its disk takes nothing yet."""

    def __init__(
        self, agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, ring_s: int, stands_at: int = -1
    ) -> None:
        self._stands_at = stands_at
        self.camera = camera = Camera(agency, root, patch, pre_event_s=ring_s)
        patch.setattr("agent.lens.Intake", WholeIntake)
        patch.setattr(Takes, "_make_muxer", self._muxer)
        camera.start()
        self._next_ns = camera.clock.now_ns // STEP_NS * STEP_NS
        self.see(ring_s)
        self.disk = threading.Event()
        asked, media = threading.Event(), camera.vault.sealer.media
        patch.setattr(camera.vault.sealer, "media", lambda *told: (asked.set(), self.disk.wait(30), media(*told))[2])
        camera.recorder._record("ctl")
        assert asked.wait(30)
        self.recording = camera.recorder._life.recording

    def _muxer(self, info: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
        self.muxer = Muxer(on_init, on_part)
        self.muxer.stands_at = self._stands_at
        return self.muxer

    def see(self, seconds: float) -> None:
        """So many more seconds of pictures."""
        self.camera.clock.now_ns += round(seconds * NS)
        while self._next_ns <= self.camera.clock.now_ns:
            self.camera.intake.delivery.publish([picture(self._next_ns)], may_wait=False)
            self._next_ns += STEP_NS

    def end(self) -> None:
        self.disk.set()
        self.camera.recorder.close()


@pytest.fixture
def flushing(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun = list[Flushing]()

    def begin(*told: int) -> Flushing:
        begun.append(Flushing(agency, tmp_path, monkeypatch, *told))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.mark.parametrize("ring_s", [60, 120])
def test_a_stop_in_the_flush_keeps_the_press_and_all_up_to_the_stop(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch, ring_s: int
) -> None:
    """The disk takes nothing until all of it is out of the ring: a part is held up by it for as long as it may be, and
    more than a few are.
    """
    monkeypatch.setattr(recordings, "SOFT_BYTES", 2_000)
    monkeypatch.setattr(recordings, "SOFT_S", 30.0)
    taken = flushing(ring_s)
    taken.see(2)
    taken.muxer.closes = taken.disk.set
    assert taken.camera.recorder._stop("ctl")["whole"]
    assert taken.muxer.had * STEP_NS > (ring_s + 2) * NS - 2 * STEP_NS
    (stop,) = taken.camera.said("record.stop")
    assert stop["lost_parts"] == 0 and taken.camera.faults() == {}
    assert taken.camera.recorder.status()["media_s"] == pytest.approx(ring_s + 2, abs=0.1)


class Card:
    """Takes a part at each look at the end of a recording, and so many seconds by the camera's clock for it."""

    def __init__(self, taken: Flushing, patch: pytest.MonkeyPatch, seconds: float) -> None:
        self.taken, self._seconds = taken, seconds
        self._may = threading.Semaphore(0)
        self.fed: list[bool] = []
        """Whether the watchdog still was, each time."""
        self._media = taken.camera.vault.sealer.media
        patch.setattr(taken.camera.vault.sealer, "media", self._take)
        patch.setattr(recordings, "waited", self._waited)

    def _take(self, name: str, part: MediaPart) -> int:
        assert self._may.acquire(timeout=30)
        clock = self.taken.camera.clock
        clock.now_ns += round(self._seconds * NS)
        self.fed.append(self.taken.camera.recorder._feeding.due(clock.now_ns))
        return int(self._media(name, part))

    def _waited(self, wait: Callable[[float], bool], moved: Callable[[], object], still_s: float) -> bool:
        def look(_: float) -> bool:
            before = moved()
            # The one on its way since before the end, then each.
            (self._may.release if self.taken.disk.is_set() else self.taken.disk.set)()
            while not wait(0.001):
                if moved() != before:
                    return False
            return True

        return headway.waited(look, moved, still_s)


@pytest.mark.parametrize(("ring_s", "how"), [(60, "ctl"), (120, "dock"), (120, "shutdown")])
def test_a_card_that_takes_long_for_all_of_it_loses_nothing_and_the_watchdog_waits(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch, ring_s: int, how: str
) -> None:
    """Minutes in all, and no part longer than a write may take."""
    taken = flushing(ring_s)
    recorder, clock, words = taken.camera.recorder, taken.camera.clock, list[int]()
    recorder._beat()
    card, begun_ns = Card(taken, monkeypatch, 25.0), clock.now_ns
    monkeypatch.setattr(notify, "notify", lambda word: words.append(clock.now_ns) if "EXTEND" in word else None)
    {"ctl": lambda: recorder._stop("ctl"), "dock": lambda: recorder._dock(True), "shutdown": recorder.close}[how]()
    assert clock.now_ns - begun_ns > 300 * NS and all(card.fed)
    assert recorder.status()["parts_lost"] == 0
    assert recorder.status()["media_s"] == pytest.approx(ring_s, abs=0.1)
    if how == "shutdown":
        # systemd waits for a stop that gets on, too.
        assert max(b - a for a, b in pairwise([begun_ns, *words, clock.now_ns])) < notify.EXTEND_S * NS


def test_systemd_waits_for_a_stop_by_hand_during_which_the_shutdown_came(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: EXTEND_TIMEOUT_USEC would put the watchdog off as well."""
    taken = flushing(60)
    recorder, clock, words, asked_ns = taken.camera.recorder, taken.camera.clock, list[int](), list[int]()
    card = Card(taken, monkeypatch, 10.0)
    take = taken.camera.vault.sealer.media

    def shut_down(name: str, part: MediaPart) -> int:
        if len(card.fed) == 2:
            # As SIGTERM's handler does.
            recorder.stop()
            asked_ns.append(clock.now_ns)
        return int(take(name, part))

    monkeypatch.setattr(taken.camera.vault.sealer, "media", shut_down)
    monkeypatch.setattr(notify, "notify", lambda word: words.append(clock.now_ns) if "EXTEND" in word else None)
    recorder._loop.post("stop", lambda: recorder._stop("ctl"))
    recorder.run()
    (begun_ns,) = asked_ns
    assert clock.now_ns - begun_ns > notify.EXTEND_S * NS and not recorder._life.recording
    assert min(words, default=0) > begun_ns
    assert max(b - a for a, b in pairwise([begun_ns, *words, clock.now_ns])) < LOOP_NS, "sooner than the unit's end"
    assert recorder.status()["parts_lost"] == 0


def tail(taken: Flushing, patch: pytest.MonkeyPatch, passes: Callable[[], None]) -> None:
    """A stop whose parts the disk takes once it has begun, and then what a rotation left and the end itself: at each
    step of that, so much `passes`.
    """
    step = Closing.step
    patch.setattr(recordings, "waited", lambda *told: (taken.disk.set(), headway.waited(*told))[1])
    patch.setattr(Closing, "step", lambda closing: (passes(), step(closing))[1])
    assert taken.camera.recorder._stop("ctl")["whole"]


def test_the_watchdog_waits_for_what_a_rotation_left_when_the_recording_ended(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, fed = flushing(5), list[bool]()
    recorder, clock = taken.camera.recorder, taken.camera.clock
    recorder._beat()

    def passes() -> None:
        clock.now_ns += 5 * NS
        fed.append(recorder._feeding.due(clock.now_ns))

    tail(taken, monkeypatch, passes)
    assert len(fed) * 5 * NS > LOOP_NS and all(fed)


def test_what_a_rotation_left_raises_no_alarm_when_the_recording_ended(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, alarms = flushing(5), list[bool]()
    recorder, clock = taken.camera.recorder, taken.camera.clock

    def passes() -> None:
        for _ in range(4):
            clock.now_ns += NS // 20
            recorder.officer.step()
            alarms.append(recorder.status()["officer"]["alarm"])

    tail(taken, monkeypatch, passes)
    assert len(alarms) * NS // 20 > LIMIT_NS and not any(alarms)


def at_once(patch: pytest.MonkeyPatch, where: object) -> None:
    """What stands still there is given up at once."""
    patch.setattr(where, "waited", lambda wait, moved, still_s: headway.waited(lambda _: wait(0.0), moved, still_s))


def test_what_does_not_come_out_of_memory_counts_as_lost_and_the_fault_says_why(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(monkeypatch, deliveries)
    taken = flushing(60, 1_000)
    taken.disk.set()
    assert taken.muxer.stands.wait(30)
    taken.see(2)
    assert not taken.camera.recorder._stop("ctl")["whole"]
    (stop,) = taken.camera.said("record.stop")
    # Of the 62 s it has 50.
    assert stop["lost_parts"] == 24
    status = taken.camera.recorder.status()
    assert status["faults"]["media"].endswith("could not be stored: the machine stood still while memory was emptied")
    assert status["media_s"] == 50.0 and status["parts_lost"] == 24
    assert 0 <= status["frames_captured"] - 1_240 <= 1
    assert status["frames_dropped"] == status["frames_captured"] - 1_000


def test_the_fault_says_that_the_disk_took_nothing_where_it_did_not(
    flushing: Callable[..., Flushing], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = flushing(10)
    at_once(monkeypatch, recordings)
    monkeypatch.setattr(recordings, "GRACE_S", 0.0)
    assert not taken.camera.recorder._stop("ctl")["whole"]
    assert taken.camera.faults()["media"].endswith("could not be stored: the disk took nothing for 30 s")
    (stop,) = taken.camera.said("record.stop")
    assert stop["lost_parts"] == 21


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_behind_a_muxer_that_failed_is_lost_only_where_nothing_goes_on_with_it(
    flushing: Callable[..., Flushing], goes_on: bool
) -> None:
    taken = flushing(10)
    taken.disk.set()

    def fails(packet: EncodedPacket) -> None:
        failed.set()
        raise ValueError("a defect")

    failed = threading.Event()
    taken.muxer.push = fails  # type: ignore[method-assign]
    taken.see(2)
    assert failed.wait(30)
    if goes_on:
        taken.camera.tell(IntakeEventKind.SINK_FAILED, "ValueError: a defect")
        taken.camera.ticks(1)
    else:
        assert not taken.camera.recorder._stop("ctl")["whole"]
        assert "ValueError: a defect" in taken.camera.faults()["media"]
    stop = taken.camera.said("record.stop")[0]
    assert stop["lost_parts"] == (0 if goes_on else 4)
