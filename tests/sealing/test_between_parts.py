"""A segment is sealed between the parts that follow it: on a card that syncs slowly, none waits behind a rotation."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import recording as recordings
from agent.formats.leaf import Kind
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.recording import Recording
from agent.sealing.closing import Closing
from agent.sealing.turns import TurnLock
from agent.station.layout import AgencyPaths
from tests.camera_kit import Desk, begin, check_log, failing, report
from tests.muxer_kit import Muxer

PART_NS = NS // 2


class SlowCard:
    """A disk that takes `sync_ns` for each sync, by the desk's clock; `since` counts them from then on."""

    def __init__(self, desk: Desk, patch: pytest.MonkeyPatch, sync_ns: int) -> None:
        self.syncs = 0
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, self._slow(desk, getattr(os, name), sync_ns))

    def _slow(self, desk: Desk, real: Callable[[int], None], sync_ns: int) -> Callable[[int], None]:
        def call(fd: int) -> None:
            self.syncs += 1
            desk.clock.now_ns += sync_ns
            real(fd)

        return call


def part_waits(desk: Desk, parts: int) -> list[int]:
    """How long each part waited from when it was due until it was durable, where what is owed is done between them as
    a recording does it.
    """
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.sealer.settle()
    desk.begin_media(name)
    zero, waits = desk.clock.now_ns, []
    for number in range(parts):
        due = zero + number * PART_NS
        desk.clock.now_ns = max(desk.clock.now_ns, due)
        part = MediaPart(number, os.urandom(400), number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000)
        desk.sealer.media(name, part)
        waits.append(desk.clock.now_ns - due)
        if desk.clock.now_ns < due + PART_NS and desk.sealer.owes:
            desk.sealer.settle(lambda until=due + PART_NS: desk.clock.now_ns >= until)
    return waits


@pytest.mark.parametrize("sync_ms", [20, 100, 200, 300])
def test_a_part_waits_for_itself_and_one_sync_more_also_where_it_begins_a_segment(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync_ms: int
) -> None:
    """For the one of a step, or that of its segment's head. Even where a dozen syncs take as long as many parts, all of
    the segments are sealed, in order.
    """
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=20 * NS).open())
    card = SlowCard(desk, monkeypatch, sync_ms * NS // 1_000)
    waits = part_waits(desk, 92)
    assert card.syncs > 92
    # The clock's own microseconds come on top.
    assert max(waits) < 2 * sync_ms * NS // 1_000 + NS // 1_000
    # Not only at the stop: the event segment, and each that ended in the 46 s, after 18.
    assert len(desk.spool.records(SegmentState.SEALED)) == 3
    assert len(list(desk.spool.open_dir.glob("*.tar"))) == 1
    assert not desk.sealer.owes
    desk.sealer.seal_open()
    assert not desk.sealer.owes
    check_log(desk)
    assert failing(report(desk)) == []


def test_the_tiles_may_be_flushed_while_leaves_are_added(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any step: what is on the disk then is the log's head of some size that it had, and its tiles."""
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    for number in range(300):
        part = MediaPart(number, b"x", number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000)
        desk.sealer.media(name, part)
        if number % 3 == 0:
            # The event segment, and then the flush that is asked for here, a step at a time.
            desk.sealer.settle(lambda: True)
        if number % 40 == 0:
            desk.sealer._closing.owe_tiles()
        size = desk.tiles.durable_size
        assert size == 0 or desk.sealer.root_at(size)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.seal_open()
    check_log(desk)
    assert failing(report(desk)) == []


def test_a_part_that_comes_while_a_segment_is_sealed_goes_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a recording's own thread: after the step that is being done."""
    order: list[str] = []
    in_step, go = threading.Event(), threading.Event()
    step, media = Closing.step, desk.sealer.media

    def slow_step(closing: Closing) -> None:
        order.append("step")
        in_step.set()
        assert go.wait(30)
        step(closing)

    def counted(recording: str, part: MediaPart) -> int:
        order.append("part")
        return media(recording, part)

    monkeypatch.setattr(Closing, "step", slow_step)
    monkeypatch.setattr(desk.sealer, "media", counted)
    go.set()
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    go.clear()
    order.clear()
    in_step.clear()
    made: list[Muxer] = []

    def make(_: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
        made.append(Muxer(on_init, on_part, 0))
        return made[0]

    info = StreamInfo(320, 180, b"", None, desk.clock.monotonic_ns())
    recording = Recording(name, desk.sealer, info, make, lambda err: None, desk.clock, recordings.HELD_BYTES)
    recording.sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
    made[0].give(1)
    assert in_step.wait(30)
    made[0].give(2)
    go.set()
    recording.finish(30)
    assert desk.sealer.stop_recording(name, {"type": "record.stop"}, recording.offered).parts == 3
    assert order[:4] == ["part", "step", "part", "part"]
    assert order.count("step") > 5
    check_log(desk)


def test_what_is_said_while_parts_wait_comes_after_the_one_that_is_being_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a card that is too slow, for minutes: else whoever tells it to be given less waits for all of them."""
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    real, asks, over, here = os.fdatasync, threading.Event(), threading.Event(), threading.get_ident()
    first, parts = desk.log.next_index, 0

    def waits() -> bool:
        """What is to be said."""
        return asks.is_set() and desk.sealer._lock._next.locked()

    def slow(fd: int) -> None:
        nonlocal parts
        if threading.get_ident() != here:
            parts += 1
            # Longer than anybody takes to come; without turns each part would wait it out.
            end = time.monotonic() + 2
            while not (over.is_set() or waits()) and time.monotonic() < end:
                time.sleep(0.001)
        real(fd)

    def give() -> None:
        number = 0
        while not over.is_set():
            desk.sealer.media(name, MediaPart(number, b"x", number * PART_NS, PART_NS, number == 0, 15, 24_000))
            number += 1

    monkeypatch.setattr(os, "fdatasync", slow)
    thread = threading.Thread(target=give)
    thread.start()
    try:
        for said in range(30):
            before = parts
            asks.set()
            index = desk.sealer.event(Kind.EVENT, {"type": "heartbeat"}, name)
            asks.clear()
            assert index - first - said - before <= 1
    finally:
        over.set()
        thread.join(30)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.seal_open()
    check_log(desk)
    assert failing(report(desk)) == []


def test_who_has_the_turn_has_it_again_though_another_waits() -> None:
    turns, taken = TurnLock(), list[str]()

    def wait() -> None:
        with turns.in_turn():
            taken.append("the other")

    other = threading.Thread(target=wait, daemon=True)
    with turns:
        other.start()
        end = time.monotonic() + 30
        while not turns._next.locked() and time.monotonic() < end:
            time.sleep(0.001)
        assert turns._next.locked()
        with turns.in_turn(), turns, turns.in_turn():
            taken.append("who has it")
    other.join(30)
    assert taken == ["who has it", "the other"]


@pytest.mark.wide
@pytest.mark.parametrize("cut", range(1, 18, 2))
def test_a_cut_between_any_two_steps_loses_nothing(agency: AgencyPaths, tmp_path: Path, cut: int) -> None:
    """After each part one step of what is owed, and no more: the power goes after so many of them, past a rotation."""
    desk = begin(Desk(agency, tmp_path / "spool", segment_ns=4 * NS).open())
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    for number in range(cut):
        part = MediaPart(number, os.urandom(400), number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000)
        desk.sealer.media(name, part)
        if desk.sealer.owes:
            desk.sealer.settle(lambda: True)
    again = begin(Desk(agency, desk.root, clock=desk.clock).open())
    assert [(r.cut_recording, r.parts) for r in again.outcome.recovered if r.cut_recording] == [(name, cut)]
    again.sealer.seal_open()
    check_log(again)
    assert failing(report(again)) == []
