"""The watchdog is fed by what gets done, and not where pictures or parts stand still for no reason that is shown."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.errors import DeviceError
from agent.intake.report import IntakeEventKind
from agent.lens import Lens
from agent.model import NS
from agent.notify import EXTEND_S
from agent.pulse import LOOP_NS, STILL_NS, Feeding, Pulse, Signs
from agent.station.layout import AgencyPaths
from tests.recorder_desk import Camera, DeskIntake

LOOP_S = LOOP_NS // NS


def beats(
    pulse: Pulse, at_ns: int, pictures: int | None = None, durable: int | None = None, shown: bool = False
) -> bool:
    return pulse.beats(Signs(pictures, durable, shown), at_ns)


def test_pictures_that_come_are_a_pulse_and_those_that_stopped_are_none() -> None:
    pulse = Pulse()
    assert all(beats(pulse, n * NS, pictures=30 * n) for n in range(60))
    assert beats(pulse, 59 * NS + STILL_NS - 1, pictures=30 * 59)
    assert not beats(pulse, 59 * NS + STILL_NS, pictures=30 * 59)
    assert beats(pulse, 59 * NS + STILL_NS + 1, pictures=30 * 59 + 1)


def test_parts_must_become_durable_while_pictures_come() -> None:
    pulse = Pulse()
    assert all(beats(pulse, n * NS, pictures=n, durable=7) for n in range(10))
    assert not beats(pulse, STILL_NS, pictures=10, durable=7)
    assert beats(pulse, STILL_NS + 1, pictures=11, durable=8)


@pytest.mark.parametrize("pictures", [None, 5])
def test_a_fault_that_is_shown_is_no_reason_to_start_anew(pictures: int | None) -> None:
    pulse = Pulse()
    assert all(beats(pulse, n * NS, pictures, durable=7, shown=True) for n in range(60))
    assert not beats(pulse, 60 * NS, pictures, durable=7)


def test_a_device_that_does_not_let_go_is_one() -> None:
    pulse = Pulse()
    stuck, free = Signs(None, None, shown=True, stuck=True), Signs(None, None, shown=True)
    assert all(pulse.beats(stuck, n * NS) for n in range(10))
    assert not pulse.beats(stuck, STILL_NS)
    assert pulse.beats(free, STILL_NS + 1)
    assert pulse.beats(stuck, STILL_NS + 2)


def test_a_camera_that_sleeps_or_waits_for_its_lens_lives() -> None:
    pulse = Pulse()
    assert beats(pulse, 0, pictures=5)
    assert all(beats(pulse, n * NS) for n in range(1, 60))
    # Woken, it has all its time again.
    assert beats(pulse, 60 * NS, pictures=5)
    assert beats(pulse, 60 * NS + STILL_NS - 1, pictures=5)


def test_the_recorder_feeds_its_watchdog_by_pictures_and_by_a_fault_that_is_shown(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("agent.recorder.notify", said.append)
    seen = [0]
    monkeypatch.setattr(DeskIntake, "pictures", property(lambda self: seen[0]))
    camera = Camera(agency, tmp_path, monkeypatch).start()

    def fed(seconds: int, moving: bool = False) -> int:
        before = said.count("WATCHDOG=1")
        for _ in range(4 * seconds):
            seen[0] += moving
            camera.ticks(1)
            camera.recorder.officer.beside()
        return said.count("WATCHDOG=1") - before

    assert "READY=1" in said
    assert fed(60, moving=True) == 60
    # It may be a long turn: of a loop that gets nowhere, the last beat is believed so long.
    assert fed(10 + LOOP_S) in range(LOOP_S, LOOP_S + 11)
    assert fed(60) == 0
    assert fed(10, moving=True) == 10
    camera.recorder._faults.raised("media", "the first 6.0 s are lost")
    assert fed(10 + LOOP_S) in range(LOOP_S, LOOP_S + 11)
    assert fed(60) == 0, "what was lost is no reason why anything stands still"
    camera.recorder._faults.raised("camera", "no picture for 2 s")
    assert fed(60) == 60
    camera.recorder.close()


def test_it_feeds_it_no_more_where_a_lens_that_was_lost_is_held_by_its_own_driver(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("agent.recorder.notify", said.append)
    busy: list[DeviceError] = []

    def open_it(_: DeskIntake) -> None:
        if busy:
            raise busy[0]

    monkeypatch.setattr(DeskIntake, "start", open_it)
    camera = Camera(agency, tmp_path, monkeypatch).start()
    with monkeypatch.context() as held:
        held.setattr(DeskIntake, "stop", lambda intake: False)
        busy.append(DeviceError("busy", "end the program that uses it"))
        camera.tell(IntakeEventKind.CAMERA_LOST, "no picture for 1.8 s")
        camera.ticks(4)
    assert "camera" in camera.faults()

    def fed(seconds: int) -> int:
        before = said.count("WATCHDOG=1")
        for _ in range(4 * seconds):
            camera.ticks(1)
            camera.recorder.officer.beside()
        return said.count("WATCHDOG=1") - before

    # Tries that fail by themselves let go of nothing that was held before.
    assert fed(11 + LOOP_S) in range(LOOP_S, LOOP_S + 12)
    assert fed(60) == 0
    busy.clear()
    camera.ticks(12)
    assert "camera" not in camera.faults() and fed(10) == 10
    camera.recorder.close()


def test_it_feeds_it_where_a_device_hangs_that_was_never_open(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process would meet the same."""
    said: list[str] = []
    monkeypatch.setattr("agent.recorder.notify", said.append)

    def hang(_: DeskIntake) -> None:
        raise DeviceError("no answer within 10 s", "look at its cable")

    monkeypatch.setattr(DeskIntake, "start", hang)
    monkeypatch.setattr(DeskIntake, "stop", lambda intake: False)
    camera = Camera(agency, tmp_path, monkeypatch).start()
    assert camera.recorder._lens.stuck
    before = said.count("WATCHDOG=1")
    for _ in range(4 * 2 * LOOP_S):
        camera.ticks(1)
        camera.recorder.officer.beside()
    assert said.count("WATCHDOG=1") - before == 2 * LOOP_S and "camera" in camera.faults()
    camera.recorder.close()


def test_nothing_is_fed_before_the_first_beat_nor_long_after_the_last() -> None:
    feeding = Feeding()
    assert not feeding.due(0)
    feeding.beat(NS)
    assert [feeding.due(NS + n * NS // 4) for n in range(5)] == [True, False, False, False, True]
    assert feeding.due(NS + LOOP_NS - 1) and not feeding.due(NS + LOOP_NS)


def test_the_watchdog_has_patience_while_the_lens_is_opened_first(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("agent.notify.notify", said.append)
    monkeypatch.setenv("WATCHDOG_USEC", "15000000")
    monkeypatch.setattr(Lens, "open", lambda *_: said.append("opened"))
    camera = Camera(agency, tmp_path, monkeypatch).start()
    # What is on the disk comes first.
    recovered = f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}"
    assert said == [recovered, "WATCHDOG_USEC=90000000", "opened", "WATCHDOG_USEC=15000000"]
    camera.recorder.close()


def test_the_thread_of_button_and_lights_feeds_while_the_loop_waits(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = threading.Event()
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.ticks(1)
    monkeypatch.setattr("agent.recorder.notify", lambda said: fed.set() if said == "WATCHDOG=1" else None)
    recorder, waiting, over = camera.recorder, threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        over.wait(30)

    recorder._loop.post("recorder", wait)
    loop = threading.Thread(target=recorder.run)
    loop.start()
    assert waiting.wait(30) and recorder._loop.busy_ns is not None
    fed.clear()
    camera.clock.now_ns += 2 * NS
    recorder.officer.start()
    assert fed.wait(3) and not over.is_set()
    recorder.stop()
    over.set()
    loop.join(30)
    recorder.close()
