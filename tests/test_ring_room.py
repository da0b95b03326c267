"""A press where the card has room for a segment, and the ring holds more than that: what came since the press is kept,
and of the seconds before so many as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import RecordingConfig
from agent.errors import StorageError
from agent.model import NS, SegmentState
from agent.sealing.settings import BEGIN_BYTES
from agent.spool.retention import AT_ONCE
from agent.station.layout import AgencyPaths
from agent.status import CONTINUED, State, Wanted
from agent.vaultparts import sealer_settings
from tests.camera_kit import Desk
from tests.month_world import SmallCard
from tests.recorder_kit import make_config
from tests.test_cardroom import deliver
from tests.test_held_button import STEP_NS, Held, held

RESERVE, PART_BYTES = 1 << 21, 12_000
"""120 parts of half a second, with all that is around them, are a little less than what is reserved."""
LEFT_S = {0: 58 - 30, 1: 2 * 58 - 30, 2: 3 * 58 - 30}
"""A segment holds 58 s at least, and what is to come half a one."""


NearFull = Callable[[int], tuple[Held, SmallCard]]


@pytest.fixture
def near_full(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NearFull]:
    """A camera whose ring holds so many seconds, and its card, of whose room the test says what is left."""
    card = SmallCard(tmp_path / "spool", monkeypatch)
    with ExitStack() as cameras:
        yield lambda ring_s: (cameras.enter_context(held(agency, tmp_path, monkeypatch, pre_event_s=ring_s)), card)


def settings(ring_s: int, segment_s: int = 60, segment_mib: int = 64) -> RecordingConfig:
    return RecordingConfig(pre_event_s=ring_s, segment_s=segment_s, segment_mib=segment_mib)


@pytest.mark.parametrize("ring_s", [0, 2, 30, 60, 120])
@pytest.mark.parametrize(("segment_s", "segment_mib"), [(10, 64), (60, 64), (60, 16), (600, 512)])
def test_what_it_wants_is_just_enough_for_the_ring_and_half_a_segment(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring_s: int, segment_s: int, segment_mib: int
) -> None:
    config = make_config(agency, tmp_path, recording=settings(ring_s, segment_s, segment_mib))
    made = sealer_settings(config, tmp_path / "spool")
    made.open_dir.mkdir(parents=True)
    card = SmallCard(tmp_path / "spool", monkeypatch)
    card.leave(made.wants_bytes)
    assert made.holds_ns() >= ring_s * NS
    if made.wants_bytes > made.begins_bytes:
        card.leave(made.wants_bytes - 1)
        assert made.holds_ns() < ring_s * NS
    card.leave(made.begins_bytes - 1)
    assert made.holds_ns() == 0


def test_a_segment_that_holds_less_than_its_time_is_taken_for_what_it_holds(
    agency: AgencyPaths, tmp_path: Path
) -> None:
    """16 MiB are six and a half seconds of 20 Mbit/s."""
    config = make_config(agency, tmp_path, recording=settings(30, segment_mib=16))
    config = replace(
        config, video=replace(config.video, bitrate_kbps=20_000), audio=replace(config.audio, bitrate_kbps=96)
    )
    made = sealer_settings(config, tmp_path / "spool")
    assert made.media_reserve_bytes == 16 << 20
    assert made.reserve_ns / NS == pytest.approx((16 << 20) * 8 / 20_096_000 / 1.1, rel=0.01)
    assert made.wants_bytes - made.begins_bytes > 5 * made.media_reserve_bytes


@pytest.mark.parametrize("more", LEFT_S)
def test_there_is_room_for_as_much_as_it_says(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """Of the ring, and then of half a segment live; and not for as much again."""
    desk = Desk(agency, tmp_path / "spool", reserve_bytes=RESERVE).open()
    card, sealer = SmallCard(tmp_path / "spool", monkeypatch), desk.sealer
    card.leave(sealer.settings.begins_bytes + more * (sealer.settings.media_reserve_bytes + BEGIN_BYTES))
    holds_s = sealer.settings.holds_ns() // NS
    assert holds_s == LEFT_S[more]
    name = sealer.start_recording({"type": "record.start", "trigger": "test"})
    desk.begin_media(name)
    for number in range((holds_s + 30) * 2):
        desk.add(number, PART_BYTES)
    with pytest.raises(StorageError):
        for number in range((holds_s + 30) * 2, (holds_s + 30) * 4):
            desk.add(number, PART_BYTES)
    sealer.close()


@pytest.mark.parametrize(("more", "before_s"), [(0, 28), (1, 60)])
def test_a_long_ring_leaves_its_oldest_seconds_out_where_the_card_has_no_room_for_them(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, before_s: int
) -> None:
    card = SmallCard(tmp_path / "spool", monkeypatch)
    with held(agency, tmp_path, monkeypatch, pre_event_s=60) as made:
        camera, wants = made.camera, made.camera.vault.sealer.settings
        made.turns(65)
        card.leave(wants.begins_bytes + more * (wants.media_reserve_bytes + BEGIN_BYTES))
        made.turns(1)
        assert camera.is_(State.READY) and not camera.faults()
        pressed_ns = camera.clock.now_ns
        made.record(pressed_ns)
        made.turns(1)
        given = camera.intake.given
        assert abs(given[0] - (pressed_ns - before_s * NS)) <= NS, "at the key frame"
        assert given == list(range(given[0], given[0] + len(given) * STEP_NS, STEP_NS))
        start = camera.said("record.start")[-1]
        assert start["pre_event_ns"] == pressed_ns - given[0] if not more else 60 * NS
        left_s = 60 - start["pre_event_ns"] / NS
        faults = camera.faults().get("media", "")
        assert (f"the first {left_s:.1f} s" in faults and "the card has no room" in faults) is not more
        camera.recorder._stop("ctl")
        assert camera.said("record.stop")[-1]["lost_parts"] == pytest.approx(left_s * 2, abs=2)


def test_a_press_that_finds_no_room_waits_for_what_it_needs_to_begin_and_not_for_all_of_the_ring(
    agency: AgencyPaths, near_full: NearFull
) -> None:
    made, card = near_full(60)
    made.turns(2)
    deliver(agency, made.camera, 3 * AT_ONCE)
    there = len(card.names(SegmentState.DELIVERED))
    card.leave(made.camera.vault.sealer.settings.begins_bytes - 1)
    made.record(made.camera.clock.now_ns)
    assert there - len(card.names(SegmentState.DELIVERED)) in (AT_ONCE, AT_ONCE + 1)


def test_of_what_goes_on_by_itself_nothing_is_left_out(near_full: NearFull) -> None:
    made, card = near_full(60)
    camera, life = made.camera, made.camera.recorder._life
    made.turns(65)
    card.leave(camera.vault.sealer.settings.begins_bytes)
    life.wanted = Wanted(CONTINUED, "r0000000000-00000000", since_ns := camera.clock.now_ns - 50 * NS)
    made.turns(1)
    assert since_ns - NS <= camera.intake.given[0] <= since_ns and not camera.faults().get("media")


def test_nothing_since_the_press_is_left_out_however_late_its_turn_comes(near_full: NearFull) -> None:
    made, card = near_full(10)
    made.turns(12)
    pressed_ns = made.camera.clock.now_ns
    made.camera.recorder._takes.reach.hear(pressed_ns)
    made.turns(40)
    card.leave(made.camera.vault.sealer.settings.begins_bytes)
    made.record(pressed_ns)
    made.turns(0.5)
    assert pressed_ns - NS <= made.camera.intake.given[0] <= pressed_ns


def test_a_hand_that_is_there_long_before_a_trigger_does_not_cost_what_comes_after_it(near_full: NearFull) -> None:
    made, card = near_full(10)
    made.turns(12)
    made.camera.recorder._takes.reach.hand(made.camera.clock.now_ns)
    made.turns(50)
    card.leave(made.camera.vault.sealer.settings.begins_bytes)
    made.record(triggered_ns := made.camera.clock.now_ns)
    made.turns(0.5)
    assert abs(made.camera.intake.given[0] - (triggered_ns - LEFT_S[0] * NS)) <= NS


def test_what_a_station_has_makes_room_for_all_of_the_ring_before_anybody_presses(
    agency: AgencyPaths, near_full: NearFull, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A press itself waits for no more than it needs to begin."""
    made, card = near_full(60)
    camera, wants = made.camera, made.camera.vault.sealer.settings
    made.turns(2)
    deliver(agency, camera, 6)
    card.leave(wants.wants_bytes - 1)
    there = card.names(SegmentState.DELIVERED)
    with monkeypatch.context() as patch:
        patch.setattr(camera.vault, "start_recording", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            made.record(camera.clock.now_ns)
    assert card.names(SegmentState.DELIVERED) == there
    deliver(agency, camera, 1)
    made.turns(5)
    assert not there <= card.names(SegmentState.DELIVERED)
    made.turns(60)
    made.record(pressed_ns := camera.clock.now_ns)
    made.turns(0.5)
    assert pressed_ns - 61 * NS <= camera.intake.given[0] <= pressed_ns - 60 * NS
    assert not camera.faults()
