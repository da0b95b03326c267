"""A button that is held: what was seen since it went down is in the recording that begins at its release, however long
it was held, and in the seconds before as ever. Simulated time, a real ring.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.configtogether import SLACK_S
from agent.controls.base import Line
from agent.controls.gestures import Edge, Habits, Mode, Recogniser, Timing
from agent.errors import DeviceError
from agent.eventbody import Actor
from agent.intake.delivery import Delivery, Tally
from agent.media.prebuffer import Prebuffer
from agent.model import NS, VIDEO_HZ, EncodedPacket, Track
from agent.station.layout import AgencyPaths
from agent.status import State, Wanted
from tests.recorder_desk import Camera, DeskIntake

MS = 1_000_000
ZERO_NS = 1_000 * NS
STEP_NS = NS // 20
KEY_EVERY = 20
TIMING = Timing(30 * MS, 400 * MS, 1500 * MS, 5000 * MS, 20 * NS)


def picture(mono_ns: int, size: int = 100) -> EncodedPacket:
    number = (mono_ns - ZERO_NS) // STEP_NS
    pts = (mono_ns - ZERO_NS) * VIDEO_HZ // NS
    return EncodedPacket(Track.VIDEO, pts, VIDEO_HZ // 20, number % KEY_EVERY == 0, bytes(size))


class RingIntake(DeskIntake):
    """Its ring is a real one. Of what it delivers the recorder has the first picture, and `given` all."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        settings = arguments[2]
        ring = Prebuffer(settings.pre_event_s, settings.ring_bytes)
        self.delivery = Delivery(ring, {Track.VIDEO}, print, print, print)
        self.given: list[int] = []
        self.delivery.start()

    def attach(
        self, sink: Callable[[EncodedPacket], None], since_mono_ns: int, silent_before_mono_ns: int | None = None
    ) -> Tally:
        self.since_ns, self.silent_before_ns, self.given = since_mono_ns, silent_before_mono_ns, []

        def take(packet: EncodedPacket) -> None:
            self.given.append(ZERO_NS + packet.pts_ns)
            if len(self.given) == 1:
                sink(packet)
                begun.set()

        begun = threading.Event()
        tally = self.delivery.attach(take, since_mono_ns - ZERO_NS)
        # A desk's muxer gives its parts when the test says so: not before its first picture.
        assert begun.wait(30)
        return tally

    def keep(self, since_mono_ns: int | None) -> None:
        self.delivery.keep(None if since_mono_ns is None else since_mono_ns - ZERO_NS)

    def begins(self, since_mono_ns: int) -> int:
        found_ns = self.delivery.begins(since_mono_ns - ZERO_NS)
        assert found_ns is not None
        return ZERO_NS + found_ns

    def detach(self, until_mono_ns: int | None = None) -> bool:
        assert until_mono_ns
        return self.delivery.detach(until_mono_ns - ZERO_NS, 0, 5)

    def stop(self) -> bool:
        return self.delivery.stop(5)


class Held:
    """A camera whose lens gives twenty pictures a second."""

    def __init__(self, camera: Camera, picture_bytes: int) -> None:
        self.camera, self._bytes = camera, picture_bytes
        self._next_ns = camera.clock.now_ns // STEP_NS * STEP_NS

    def turns(self, seconds: float) -> None:
        self.camera.turns(seconds, self.see)

    def see(self) -> bool:
        while self._next_ns <= self.camera.clock.now_ns:
            if self.camera.intake:
                self.camera.intake.delivery.publish([picture(self._next_ns, self._bytes)], may_wait=False)
            self._next_ns += STEP_NS
        return False

    def hold(self, seconds: float) -> int:
        """The instant at which it went down."""
        down_ns = self.camera.clock.now_ns
        self.camera.panel.pull(Line.BUTTON, True, down_ns)
        self.turns(seconds)
        self.camera.panel.pull(Line.BUTTON, False, self.camera.clock.now_ns)
        self.turns(1)
        return down_ns

    @contextmanager
    def without_a_disk(self, seconds: float) -> Iterator[None]:
        """It refuses for so long after what is done meanwhile; then it takes all again, and the recorder its turns."""
        recorder = self.camera.recorder
        vault, recorder._vault = recorder._vault, None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(recorder, "_open", lambda: None)
            yield
            self.turns(seconds)
        recorder._vault = vault
        self.turns(2)

    def record(self, pressed_ns: int) -> None:
        """As by a command that comes to its turn now."""
        self.camera.recorder._takes.record(self.camera.vault, "command", Actor.CTL, pressed_ns)

    @property
    def ring_s(self) -> float:
        return float(self.camera.intake.delivery.ring_state()[0])


@contextmanager
def held(
    agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch, picture_bytes: int = 100, **wanted: Any
) -> Iterator[Held]:
    camera = Camera(agency, root, patch, **wanted)
    patch.setattr("agent.lens.Intake", RingIntake)
    camera.start()
    made = Held(camera, picture_bytes)
    yield made
    camera.recorder.close()


@pytest.mark.parametrize("pre_event_s", [0, 10])
def test_however_long_it_was_held_all_since_it_went_down_is_recorded_and_the_seconds_before(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pre_event_s: int
) -> None:
    chance = random.Random(pre_event_s)
    with held(agency, tmp_path, monkeypatch, pre_event_s=pre_event_s) as made:
        camera = made.camera
        for seconds in (0.1, 5.0, 10.0, chance.uniform(2, 19)):
            made.turns(pre_event_s + chance.uniform(1, 2))
            down_ns = made.hold(seconds)
            assert camera.is_(State.RECORDING)
            made.turns(0.5)
            camera.recorder._stop("ctl")
            given = camera.intake.given
            assert given[0] <= down_ns - pre_event_s * NS, f"{(given[0] - down_ns) / NS:+.2f} s of a hold of {seconds}"
            assert given == list(range(given[0], given[0] + len(given) * STEP_NS, STEP_NS)), "and none is missing"
        made.turns(3)
        assert made.ring_s < max(pre_event_s, 3) + SLACK_S + 1.5, "nothing more is kept than ever"
        starts = camera.said("record.start")
        assert [start["pre_event_ns"] for start in starts[1:]] == [pre_event_s * NS] * 3


def test_a_button_that_is_stuck_keeps_nothing(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=0) as made:
        made.turns(2)
        made.camera.panel.pull(Line.BUTTON, True, made.camera.clock.now_ns)
        made.turns(19)
        assert made.ring_s > 18
        made.turns(3)
        assert "button" in made.camera.faults() and made.ring_s < 5 + SLACK_S


def test_what_is_kept_of_a_held_button_never_needs_more_memory_than_the_ring_has(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, picture_bytes=10_000, pre_event_s=0, ring_mib=1) as made:
        made.turns(4)
        made.hold(15)
        assert made.camera.is_(State.RECORDING)
        assert made.camera.intake.delivery.ring_state()[1] <= 1 << 20


def test_sound_that_is_kept_only_after_a_press_is_kept_from_the_hand_on(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the hand wanted something else, no recording ever has it."""
    with held(agency, tmp_path, monkeypatch, pre_event_s=0, pre_event_sound=False) as made:
        camera = made.camera
        made.turns(1)
        assert camera.intake.muted
        camera.panel.pull(Line.BUTTON, True, camera.clock.now_ns)
        made.turns(3)
        assert not camera.intake.muted
        # What it comes to is nothing: a contact that is stuck.
        made.turns(20)
        assert camera.intake.muted
        camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
        let_go_ns = camera.recorder._life.rested_ns
        made.turns(2)
        down_ns = made.hold(4)
        assert camera.is_(State.RECORDING) and not camera.intake.muted
        assert camera.intake.silent_before_ns == let_go_ns is not None and let_go_ns < down_ns


def test_a_press_that_waits_for_the_lens_or_the_disk_keeps_what_came_since(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=0) as made:
        camera = made.camera
        made.turns(1)
        with made.without_a_disk(8):
            down_ns = made.hold(0.1)
            assert not camera.is_(State.RECORDING)
        assert camera.is_(State.RECORDING) and camera.intake.given[0] <= down_ns


# -- no hand, or a slow card ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaf_s", [0.3, 3.0])
def test_what_the_start_leaf_takes_is_not_taken_from_the_seconds_before(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaf_s: float
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=10) as made:
        camera = made.camera
        append = camera.vault.start_recording

        def slow(body: Any) -> Any:
            camera.clock.now_ns += round(leaf_s * NS)
            made.see()
            return append(body)

        monkeypatch.setattr(camera.vault, "start_recording", slow)
        for phase in range(0, KEY_EVERY, 3):
            made.turns(12 + phase * STEP_NS / NS)
            pressed_ns = camera.clock.now_ns
            camera.recorder._loop.post("ctl", lambda at_ns=pressed_ns: made.record(at_ns))
            made.turns(0.5)
            assert camera.intake.given[0] <= pressed_ns - 10 * NS
            camera.recorder._stop("ctl")


def test_a_press_that_came_a_while_ago_has_all_its_seconds(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=4) as made:
        for phase in range(0, KEY_EVERY, 3):
            made.turns(8 + phase * STEP_NS / NS)
            pressed_ns = made.camera.clock.now_ns - 1_600 * MS
            made.record(pressed_ns)
            made.turns(0.5)
            assert made.camera.intake.given[0] <= pressed_ns - 4 * NS
            made.camera.recorder._stop("ctl")


def test_a_trigger_that_waits_for_the_disk_keeps_what_came_before_it(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=2) as made:
        camera = made.camera
        made.turns(4)
        pressed_ns = camera.clock.now_ns
        with made.without_a_disk(15), pytest.raises(DeviceError, match="no picture yet"):
            camera.recorder._takes.record(None, "trigger", Actor.CTL, pressed_ns)
        assert camera.is_(State.RECORDING) and camera.intake.given[0] <= pressed_ns - 2 * NS


@pytest.mark.parametrize("apart_ms", [0, 40, 300])
def test_what_a_trigger_begins_reaches_back_to_a_press_that_was_not_clear_yet(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart_ms: int
) -> None:
    """A press that may be the first of two is told after the trigger that came meanwhile."""
    with held(agency, tmp_path, monkeypatch, pre_event_s=0) as made:
        camera = made.camera
        made.turns(4)
        down_ns = camera.clock.now_ns
        camera.panel.pull(Line.BUTTON, True, down_ns)
        made.turns(apart_ms / 1000)
        camera.panel.pull(Line.TRIGGER, True, max(camera.clock.now_ns, down_ns + 10 * MS))
        made.turns(0.2)
        camera.panel.pull(Line.BUTTON, False, camera.clock.now_ns)
        made.turns(2)
        assert camera.is_(State.RECORDING) and camera.intake.given[0] <= down_ns
        (start,) = camera.said("record.start")
        assert start["trigger"] != "button" and start["pre_event_ns"] == start["mono_ns"] - down_ns


def test_a_recording_that_broke_off_goes_on_from_there_however_long_the_disk_refuses(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, pre_event_s=0) as made:
        camera = made.camera
        made.turns(4)
        broke_off_ns = camera.clock.now_ns - NS // 2
        camera.recorder._life.wanted = Wanted("continued", "r0000000001-00000000", since_ns=broke_off_ns)
        with made.without_a_disk(15):
            pass
        assert camera.is_(State.RECORDING) and camera.intake.given[0] <= broke_off_ns


def test_the_start_leaf_tells_no_more_seconds_than_the_ring_had(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held(agency, tmp_path, monkeypatch, picture_bytes=10_000, pre_event_s=10, ring_mib=1) as made:
        made.turns(15)
        pressed_ns = made.camera.clock.now_ns
        made.record(pressed_ns)
        made.turns(0.5)
        (start,) = made.camera.said("record.start")
        assert start["pre_event_ns"] == pressed_ns - made.camera.intake.given[0] < 6 * NS


# -- the pure parts ------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(edges=st.lists(st.integers(5, 25_000), max_size=12), double=st.booleans())
def test_whatever_a_hand_does_what_it_is_taken_for_began_no_earlier_than_was_kept(
    edges: list[int], double: bool
) -> None:
    """At each gesture that comes out, the hand was known since at least the instant that it counts from."""
    recogniser, habits = Recogniser(TIMING), Habits(Mode.IDLE, double=double)
    now, down, known_ns = ZERO_NS, False, None
    for wait_ms in edges:
        down, at_ns, end_ns = not down, now, now + wait_ms * MS
        pending = [Edge(at_ns, down)]
        while now < end_ns:
            for found in recogniser.feed(now, pending, habits):
                if type(found).__name__ == "Gestured":
                    assert known_ns is not None and known_ns <= found.mono_ns
            pending = []
            known_ns = recogniser.hand_ns
            assert known_ns is None or now - known_ns <= TIMING.stuck_ns + TIMING.double_ns + NS
            now += 20 * MS
    for _ in range(30):
        recogniser.feed(now, [Edge(now, False)] if down else [], habits)
        now, down = now + 20 * MS, False
    assert recogniser.hand_ns is None


@settings(max_examples=30)
@given(
    keep_s=st.floats(0, 4),
    kept_s=st.floats(0, 20),
    sizes=st.lists(st.integers(10, 2_000), min_size=1, max_size=50),
    arena=st.sampled_from((20_000, 1 << 20)),
)
def test_the_ring_reaches_back_to_the_instant_that_is_kept_or_as_far_as_it_has_room(
    keep_s: float, kept_s: float, sizes: list[int], arena: int
) -> None:
    ring = Prebuffer(keep_s, arena)
    delivery = Delivery(ring, {Track.VIDEO}, print, print, print)
    since_ns = round(5 * NS)
    for number in range(round((5 + kept_s) * 20)):
        if number == 5 * 20:
            oldest = ring.start_at(since_ns)
            delivery.keep(since_ns)
        delivery.publish([picture(ZERO_NS + number * STEP_NS, sizes[number % len(sizes)])], may_wait=False)
        assert ring.bytes_used <= arena
    start = ring.start_at(since_ns)
    if kept_s >= 1 and arena == 1 << 20:
        assert start and oldest and start.video_pts <= since_ns * VIDEO_HZ // NS
    delivery.keep(None)
    delivery.publish([picture(ZERO_NS + round((5 + kept_s) * 20) * STEP_NS)], may_wait=False)
    assert ring.seconds <= keep_s + 2
