"""The recorder looks after itself: what heat, encoder, disk and battery cost the picture, said in the log; and how a
camera ends whose battery does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from agent.config import LadderConfig, PowerConfig
from agent.controls.patterns import Levels
from agent.errors import DeviceError, StorageError
from agent.events import Actor, Level
from agent.evidence.ledger import accounts_of
from agent.evidence.sources import collect
from agent.evidence.tiling import Doing
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import age
from agent.intake.report import IntakeEventKind
from agent.model import NS
from agent.power.twin import TwinBattery, TwinThermometer
from agent.power.watch import PowerWatch
from agent.recording import Progress
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.power.sysfs_kit import Tree
from tests.recorder_desk import Camera, DeskIntake
from tests.recorder_kit import RecorderProcess, make_config

HOT = "heat: 95.0 °C at twin"


class Cared(Camera):
    """A camera whose battery and heat are the test's."""

    def __init__(self, agency: AgencyPaths, root: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(agency, root, patch)
        self.gauge, self.thermometer = TwinBattery(), TwinThermometer()
        self.recorder._care._watch = PowerWatch(PowerConfig(), self.gauge, self.thermometer)

    def steps(self) -> list[tuple[int, int, int, str]]:
        """(step, bitrate, rate, size) of each that was logged."""
        return [(b["step"], b["bitrate_kbps"], b["fps"], f"{b['width']}x{b['height']}") for b in self.said("ladder")]


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cared]:
    made = Cared(agency, tmp_path, monkeypatch)
    made.start()
    yield made
    made.recorder.close()


def test_heat_takes_bitrate_rate_then_size_through_a_linked_recording_and_gives_them_back(camera: Cared) -> None:
    camera.thermometer.shows(60)
    name = camera.recorder._record("button", Actor.OFFICER)["recording"]
    camera.ticks(8)
    first = camera.intake
    camera.thermometer.shows(90)
    camera.ticks(4 * 9)
    assert camera.recorder._life.recording.name == name
    assert first.rates[-2:] == [(350, 0), (250, 15)]
    assert camera.recorder.status()["ladder"] == {
        "step": 2,
        "steps": 3,
        "causes": ["heat"],
        "bitrate_kbps": 250,
        "fps": 15,
        "size": "320x240",
    }
    camera.ticks(4 * 6)
    assert camera.is_(State.RECORDING)
    second = camera.recorder._life.recording.name
    assert second != name
    assert camera.intake is not first
    assert camera.intake.rates == [(175, 15)]
    assert (camera.recorder._lens._opened.width, camera.recorder._lens._opened.height) == (160, 120)
    camera.thermometer.shows(60)
    camera.ticks(4 * 61 * 4)
    assert camera.recorder.status()["ladder"]["step"] == 0
    assert camera.recorder._lens._opened.width == 320
    third = camera.recorder._life.recording.name
    camera.recorder._stop("button", Actor.OFFICER)
    assert camera.steps() == [
        *((1, 350, 30, "320x240"), (2, 250, 15, "320x240"), (3, 175, 15, "160x120")),
        *((2, 250, 15, "320x240"), (1, 350, 30, "320x240"), (0, 500, 30, "320x240")),
    ]
    down, *_, up = camera.said("ladder")
    assert down["reason"] == "heat: 90.0 °C at twin"
    assert up["reason"] == "back up: no heat for a while"
    starts, stops = camera.said("record.start"), camera.said("record.stop")
    assert [s.get("continues") for s in starts] == [None, name, second]
    assert third == camera.recorder.status()["recordings"][-1]
    assert [s["reason"] for s in stops] == [
        "another size of the picture: heat: 90.0 °C at twin",
        "another size of the picture: back up: no heat for a while",
        "button",
    ]
    assert [s["then"] for s in stops] == ["starting", "starting", "ready"]
    for stop, start in pairwise(sorted([*starts, *stops], key=lambda b: b["mono_ns"])[1:-1]):
        if stop["type"] == "record.stop":
            assert start["mono_ns"] - stop["mono_ns"] < NS // 2, "the next begins as soon as there is a picture"
    assert camera.faults() == {}


def test_a_mute_outlasts_another_size(camera: Cared) -> None:
    camera.recorder._record("button", Actor.OFFICER)
    camera.recorder._takes.mute(Actor.OFFICER)
    camera.thermometer.shows(95)
    camera.ticks(4 * 20)
    assert len(camera.recorder.status()["recordings"]) == 2
    assert camera.intake.muted
    camera.recorder._stop("button", Actor.OFFICER)
    assert len(camera.said("mute")) == 2


def test_an_encoder_that_is_behind_steps_down_before_pictures_are_lost(camera: Cared) -> None:
    camera.recorder._record("button", Actor.OFFICER)
    camera.intake.behind = True
    camera.ticks(2)
    camera.intake.behind = False
    camera.ticks(20)
    assert camera.recorder.status()["ladder"]["step"] == 0, "a hiccup is none"
    camera.intake.behind = True
    camera.ticks(6)
    camera.recorder._stop("button", Actor.OFFICER)
    (step,) = camera.said("ladder")
    assert step["reason"] == "encoder: pictures wait for it"


class Behind:
    """What the disk has not taken of a recording, as the test says: how far it is behind, and since when its oldest
    part waits.
    """

    def __init__(self, camera: Cared, patch: pytest.MonkeyPatch, behind_s: float = 0.0) -> None:
        recording = camera.recorder._life.recording
        assert recording
        self._camera, self._real = camera, recording.progress
        self.waits_s, self.behind_s = 0.0, behind_s
        self.refused: StorageError | None = None
        patch.setattr(recording, "progress", self._progress)
        patch.setattr(recording, "behind_ns", lambda newest_ns: round(self.behind_s * NS))
        camera.ticks(1)

    def _progress(self) -> Progress:
        oldest_ns = self._camera.clock.now_ns - round(self.waits_s * NS)
        return replace(self._real(), oldest_mono_ns=oldest_ns, refused=self.refused)

    @property
    def step(self) -> int:
        return int(self._camera.recorder.status()["ladder"]["step"])


def test_a_disk_that_is_slow_steps_down_and_one_that_refuses_does_not(
    camera: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.recorder._record("button", Actor.OFFICER)
    with monkeypatch.context() as patch:
        disk = Behind(camera, patch)
        for waits_s, refused, step in ((3.0, StorageError("broken"), 0), (1.5, None, 0), (2.5, None, 1)):
            disk.waits_s, disk.behind_s, disk.refused = waits_s, waits_s + 0.5, refused
            camera.ticks(2)
            assert disk.step == step
    camera.recorder._stop("button", Actor.OFFICER)
    assert camera.said("ladder")[0]["reason"] == "disk: parts wait for it"


@pytest.mark.parametrize(("gains", "steps"), [(1.0, False), (0.5, False), (0.0, True), (-0.5, True)])
def test_the_ring_of_a_press_steps_down_only_where_what_waits_becomes_no_less(
    camera: Cared, monkeypatch: pytest.MonkeyPatch, gains: float, steps: bool
) -> None:
    """Each part of it waits three seconds. `gains`: of what waits, so many go in a second, besides what comes in."""
    camera.recorder._record("button", Actor.OFFICER)
    with monkeypatch.context() as patch:
        disk = Behind(camera, patch, 30.0)
        disk.waits_s = 3.0
        for _ in range(4 * 20):
            disk.behind_s -= gains / 4
            camera.ticks(1)
        assert (disk.step > 0) is steps


def test_behind_the_ring_of_a_press_a_disk_that_is_slow_steps_down(
    camera: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is live waits, though the ring is written."""
    camera.recorder._record("button", Actor.OFFICER)
    with monkeypatch.context() as patch:
        disk = Behind(camera, patch, 4.0)
        for behind_s in (3.0, 2.0, 1.0, 0.5):
            disk.behind_s = behind_s
            camera.ticks(4)
        assert disk.step == 0
        disk.waits_s, disk.behind_s = 2.5, 3.0
        camera.ticks(2)
        assert disk.step == 1


def test_a_disk_that_is_slow_costs_no_size_and_ends_nothing_until_heat_asks_for_that_too(
    camera: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera.thermometer.shows(60)
    name = camera.recorder._record("button", Actor.OFFICER)["recording"]
    with monkeypatch.context() as patch:
        disk = Behind(camera, patch, 8.0)
        disk.waits_s = 8.0
        for _ in range(4 * 30):
            disk.behind_s += 0.1
            camera.ticks(1)
        assert (disk.step, camera.recorder._life.recording.name) == (3, name)
        disk.waits_s = disk.behind_s = 0.5
        camera.ticks(4 * 30)
        camera.thermometer.shows(95)
        camera.ticks(4 * 30)
    camera.recorder._stop("button", Actor.OFFICER)
    assert camera.steps() == [
        *((1, 350, 30, "320x240"), (2, 250, 15, "320x240"), (3, 175, 15, "320x240")),
        (3, 175, 15, "160x120"),
    ]
    assert [step["reason"] for step in camera.said("ladder")] == [*["disk: parts wait for it"] * 3, HOT]
    assert [stop["reason"] for stop in camera.said("record.stop")] == [f"another size of the picture: {HOT}", "button"]
    assert [start.get("continues") for start in camera.said("record.start")] == [None, name]


def test_another_size_waits_until_the_disk_has_what_is_recorded(camera: Cared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is recorded from the end of the one until the disk has all of it."""
    camera.thermometer.shows(60)
    name = camera.recorder._record("button", Actor.OFFICER)["recording"]
    with monkeypatch.context() as patch:
        disk = Behind(camera, patch, 30.0)
        disk.waits_s = 30.0
        camera.thermometer.shows(95)
        for behind_s in range(30, 1, -1):
            disk.waits_s = disk.behind_s = behind_s
            camera.ticks(4)
        assert (disk.step, camera.recorder._life.recording.name) == (3, name)
        disk.waits_s = disk.behind_s = 1.0
        camera.ticks(1)
    assert camera.is_(State.RECORDING) and camera.recorder._life.recording.name != name
    assert (camera.recorder._lens._opened.width, camera.recorder._lens._opened.height) == (160, 120)
    camera.recorder._stop("button", Actor.OFFICER)
    stop, _ = camera.said("record.stop")
    last = camera.said("ladder")[-1]
    assert stop["reason"] == f"another size of the picture: {last['reason']}"
    assert stop["mono_ns"] - last["mono_ns"] > 10 * NS


def test_pictures_that_the_camera_loses_step_down_in_its_own_words(camera: Cared) -> None:
    """None of them waited for the encoder."""
    camera.tell(IntakeEventKind.OVERLOAD, "the camera loses one picture after the other")
    camera.ticks(2)
    camera.tell(IntakeEventKind.OVERLOAD_OVER, "7 pictures were dropped")
    camera.ticks(4 * 61)
    down, up = camera.said("ladder")
    assert down["reason"] == "pictures are lost: the camera loses one picture after the other"
    assert up["reason"] == "back up: no picture late or lost for a while"


def test_pictures_that_are_dropped_step_down(camera: Cared) -> None:
    camera.tell(IntakeEventKind.OVERLOAD, "too slow")
    camera.ticks(2)
    assert camera.recorder.status()["ladder"]["causes"] == ["encoder"]


def test_a_step_that_ended_the_loss_is_the_last_though_what_waited_was_lost_behind_it(camera: Cared) -> None:
    """The fault lasts longer than it takes until the next step would be due."""
    camera.tell(IntakeEventKind.OVERLOAD, "too slow")
    camera.intake.lost_ns = camera.clock.now_ns
    camera.ticks(1)
    camera.intake.lost_ns = camera.clock.now_ns + NS // 4
    camera.ticks(4 * 10)
    assert "overload" in camera.faults() and len(camera.steps()) == 1
    camera.tell(IntakeEventKind.OVERLOAD_OVER, "2 pictures were dropped")
    camera.ticks(4 * 70)
    assert [step for step, *_ in camera.steps()] == [1, 0]


def test_while_pictures_are_lost_behind_a_step_the_next_one_comes(camera: Cared) -> None:
    camera.tell(IntakeEventKind.OVERLOAD, "too slow")
    for _ in range(4 * 5 + 2):
        camera.intake.lost_ns = camera.clock.now_ns
        camera.ticks(1)
    assert [step for step, *_ in camera.steps()] == [1, 2]
    assert camera.said("ladder")[1]["reason"] == "pictures are lost: too slow"
    camera.intake.behind = True
    camera.ticks(4 * 5)
    assert camera.said("ladder")[2]["reason"] == "encoder: pictures wait for it", "none is lost any more"


def test_a_low_battery_costs_one_step_and_no_recording(camera: Cared) -> None:
    camera.gauge.holds(15)
    camera.recorder._record("button", Actor.OFFICER)
    camera.ticks(4 * 200)
    camera.recorder._stop("button", Actor.OFFICER)
    assert camera.steps() == [(1, 350, 30, "320x240")]
    assert camera.faults()["battery"] == "the battery is low: 15 %"
    assert camera.said("ladder")[0]["reason"] == "battery: the battery is low: 15 %"


def test_only_what_is_over_is_said_to_be(camera: Cared) -> None:
    """A battery that is low all the while, and heat that comes and goes; then a battery that is less low."""
    camera.gauge.holds(10)
    camera.thermometer.shows(60)
    camera.ticks(4 * 70)
    camera.thermometer.shows(80)
    camera.ticks(4 * 10)
    assert camera.recorder.status()["ladder"]["causes"] == ["heat", "battery"]
    camera.thermometer.shows(60)
    camera.ticks(4 * 80)
    assert camera.recorder.status()["ladder"]["causes"] == ["battery"]
    assert camera.said("ladder")[-1]["reason"] == "back up: no heat for a while"
    camera.gauge.holds(2)
    camera.ticks(4 * 10)
    camera.gauge.holds(12)
    camera.ticks(4 * 130)
    assert camera.said("ladder")[-1]["reason"] == "back up: less is asked for by battery"
    assert camera.recorder.status()["ladder"]["step"] == 1


def test_what_was_given_up_holds_for_a_lens_that_is_opened_later(camera: Cared) -> None:
    camera.thermometer.shows(76)
    camera.ticks(24)
    camera.recorder.sleep(Actor.CTL)
    camera.recorder.wake(Actor.CTL)
    camera.ticks(1)
    assert camera.intake.rates == [(350, 0)]


def test_an_encoder_that_takes_no_other_rate_is_a_fault_and_asked_again(
    camera: Cared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise DeviceError("the encoder takes no other rate")

    with monkeypatch.context() as patch:
        patch.setattr(DeskIntake, "set_rate", refuse)
        camera.thermometer.shows(76)
        camera.ticks(24)
        assert camera.faults()["ladder"] == "the encoder takes no other rate"
    camera.ticks(12)
    assert "ladder" not in camera.faults()
    assert camera.intake.rates == [(350, 0)]


def test_another_size_waits_for_the_seconds_after_a_stop(camera: Cared) -> None:
    camera.recorder._takes._config = replace(
        camera.recorder._config, recording=replace(camera.recorder._config.recording, post_event_s=60)
    )
    name = camera.recorder._record("button", Actor.OFFICER)["recording"]
    camera.recorder._stop_later("button", Actor.OFFICER)
    camera.thermometer.shows(95)
    camera.ticks(4 * 30)
    assert camera.recorder._life.recording.name == name
    camera.ticks(4 * 40)
    assert camera.is_(State.READY)
    assert camera.recorder._lens._opened.width == 160


def test_a_lens_that_does_not_come_back_smaller_is_a_fault_and_tried_again(camera: Cared) -> None:
    camera.recorder._record("button", Actor.OFFICER)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.thermometer.shows(95)
    camera.ticks(4 * 20)
    assert "camera" in camera.faults()
    camera.lens = None
    camera.ticks(16)
    assert camera.is_(State.RECORDING)


# -- the end of a battery ------------------------------------------------------------------------------------------


def test_at_the_end_of_the_battery_all_is_sealed_and_the_switch_is_asked_for(camera: Cared) -> None:
    request = camera.recorder._config.control.socket.parent / "poweroff"
    camera.gauge.holds(50)
    name = camera.recorder._record("button", Actor.OFFICER)["recording"]
    camera.ticks(4 * 10)
    camera.gauge.holds(4)
    camera.ticks(4 * 8)
    assert camera.is_(State.RECORDING), "not on the first word of the gauge"
    camera.ticks(4 * 10)
    assert camera.is_(State.READY)
    assert request.read_text() == "the battery is critical: 4 %\n"
    assert list(camera.vault.spool.open_dir.glob("r*")) == [], "what was recorded is sealed"
    (stop,), (off,) = camera.said("record.stop"), camera.said("power.off")
    assert (stop["reason"], stop["actor"]) == ("the battery is critical: 4 %", "recorder")
    assert off["reason"] == stop["reason"]
    camera.recorder._record("button", Actor.OFFICER)
    camera.ticks(4 * 60)
    assert camera.is_(State.RECORDING), "whoever presses now wants what is left"
    assert camera.recorder._life.recording.name != name
    camera.recorder._stop("button", Actor.OFFICER)
    assert len(camera.said("power.off")) == 1


def test_a_switch_off_that_did_not_come_about_is_asked_for_again_unless_somebody_pressed(camera: Cared) -> None:
    """The unit takes the request away, and then systemd acts."""
    request = camera.recorder._config.control.socket.parent / "poweroff"
    camera.gauge.holds(4)
    camera.ticks(4 * 20)
    request.unlink()
    camera.ticks(4 * 30)
    assert not request.exists()
    camera.ticks(4 * 40)
    assert request.exists() and len(camera.said("power.off")) == 1
    request.unlink()
    camera.recorder._record("button", Actor.OFFICER)
    camera.ticks(4 * 90)
    assert camera.is_(State.RECORDING) and not request.exists()
    camera.recorder._stop("button", Actor.OFFICER)
    camera.ticks(4)
    assert request.exists()


def test_battery_and_heat_are_in_the_log_at_the_start_now_and_then_and_when_they_change(camera: Cared) -> None:
    """Also while it records."""

    def told() -> list[tuple[str, int, str]]:
        kinds = {"battery": "percent", "temperature": "millicelsius"}
        return [(b["type"], b[kinds[b["type"]]], b["level"]) for b in camera.bodies() if b["type"] in kinds]

    camera.gauge.holds(80)
    camera.thermometer.shows(41.5)
    camera.ticks(4 * 6)
    each = [("battery", 80, "normal"), ("temperature", 41_500, "normal")]
    assert told() == each
    camera.recorder._record("button", Actor.OFFICER)
    for _ in range(2 * PowerConfig().report_s // 60):
        camera.clock.now_ns += 60 * NS
        camera.ticks(1)
    assert told() == each * 3
    camera.gauge.holds(20)
    camera.ticks(4 * 6)
    camera.thermometer.shows(86)
    camera.ticks(4 * 6)
    assert told()[6:] == [("battery", 20, "low"), ("temperature", 86_000, "critical")]
    camera.recorder._stop("button", Actor.OFFICER)


def test_a_charger_takes_the_request_back(camera: Cared) -> None:
    request = camera.recorder._config.control.socket.parent / "poweroff"
    camera.gauge.holds(4)
    camera.ticks(4 * 20)
    assert request.exists()
    camera.gauge.holds(4, charging=True)
    camera.ticks(4 * 6)
    assert not request.exists()
    camera.gauge.holds(4)
    camera.ticks(4 * 20)
    assert request.exists()
    assert len(camera.said("power.off")) == 2


def test_where_it_is_not_wanted_nothing_is_switched_off(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Cared(agency, tmp_path, monkeypatch)
    monkeypatch.setattr(
        camera.recorder._care, "_config", replace(camera.recorder._config, power=PowerConfig(power_off=False))
    )
    camera.start()
    camera.gauge.holds(1)
    camera.ticks(4 * 60)
    assert camera.said("power.off") == []
    assert not (tmp_path / "poweroff").exists()
    camera.recorder.close()


def test_a_gauge_that_fails_is_a_fault_and_no_reason_to_end(camera: Cared) -> None:
    camera.gauge.holds(50)
    camera.ticks(24)
    camera.gauge.trouble = "the bus hangs"
    camera.ticks(24)
    assert camera.faults() == {"power": "the bus hangs"}
    camera.gauge.trouble = None
    camera.ticks(24)
    assert camera.faults() == {}


def test_a_camera_that_sleeps_on_the_body_is_felt_before_it_switches_off(camera: Cared) -> None:
    """By the motor alone where it is dark: who hides does not beep."""
    camera.gauge.holds(50)
    camera.turns(1)
    camera.recorder.sleep(Actor.OFFICER)
    camera.recorder._loop.act("test", lambda: camera.recorder.officer.stealth.turn(True, Actor.OFFICER, "long"))
    camera.turns(3)
    camera.gauge.holds(3)
    request, seen = camera.recorder._config.control.socket.parent / "poweroff", list[Levels]()

    def asked() -> bool:
        seen.append(camera.panel.levels)
        return request.exists()

    camera.turns(30, asked)
    assert request.exists() and camera.is_(State.SLEEPING)
    beats = [sum(1 for _ in run) for is_on, run in groupby(levels.buzz for levels in seen) if is_on]
    assert [looks > 4 for looks in beats] == [False, True, False, True, False], "short, long, short, long, short"
    assert not any(levels.tone or levels.light or levels.status for levels in seen)


def test_while_it_charges_nobody_is_asked_to_charge_it(camera: Cared) -> None:
    camera.gauge.holds(3, charging=True)
    camera.turns(6)
    status = camera.recorder.status()
    assert status["faults"] == {"battery": "the battery is critical: 3 %, charging"}
    assert status["officer"]["warnings"] == []
    assert not [line for line in status["words"] if "charge the camera" in line]
    camera.gauge.holds(3)
    camera.turns(6)
    assert camera.recorder.status()["officer"]["warnings"] == ["battery critical"]
    camera.gauge.holds(15, charging=True)
    camera.turns(6)
    assert camera.recorder.status()["officer"]["warnings"] == []


@pytest.mark.parametrize(
    ("percent", "charging", "told"),
    [(3, True, []), (3, False, ["battery critical"]), (15, False, ["battery low"]), (90, False, [])],
)
def test_what_is_felt_of_a_battery_hangs_on_no_words(
    camera: Cared, monkeypatch: pytest.MonkeyPatch, percent: int, charging: bool, told: list[str]
) -> None:
    words = {"battery": None if percent == 90 else "not critical, charging", "heat": None}
    monkeypatch.setattr(PowerWatch, "warnings", lambda _: words)
    camera.gauge.holds(percent, charging=charging)
    camera.turns(6)
    assert camera.recorder.status()["officer"]["warnings"] == told


def test_a_battery_that_tells_no_charge_is_a_fault_once_and_one_that_tells_a_level_ends_cleanly(camera: Cared) -> None:
    camera.gauge.holds(None)
    camera.ticks(4 * 130)
    assert list(camera.faults()) == ["power"]
    assert [body["what"] for body in camera.said("fault")] == ["power"]
    camera.gauge.holds(None, told=Level.CRITICAL)
    camera.ticks(4 * 16)
    assert camera.faults() == {"battery": "the battery is critical: no percentage told"}
    assert len(camera.said("power.off")) == 1


# -- for real ------------------------------------------------------------------------------------------------------


def test_a_real_recorder_on_a_tree_like_the_kernels_steps_down_and_up(agency: AgencyPaths, tmp_path: Path) -> None:
    """Real lens twin, encoder, muxer and log: heat, then size, then back; the film of each recording is whole."""
    tree = Tree(tmp_path / "sys")
    tree.zone(0, "cpu-thermal", 50_000)
    tree.supply("bat", type="Battery", status="Discharging", capacity=77, voltage_now=3_900_000)
    config = make_config(
        agency,
        tmp_path,
        power=PowerConfig(sysfs_dir=tree.root),
        ladder=LadderConfig(steps=("60/50/100", "40/50/50"), down_s=1, up_s=2),
    )
    with RecorderProcess(config, tmp_path / "run") as recorder:
        recorder.until(lambda s: s["state"] == "ready" and s["power"]["battery_percent"] == 77)
        recorder.ask("record")
        tree.zone(0, "cpu-thermal", 80_000)
        low = recorder.until(lambda s: s["ladder"]["step"] == 2 and len(s["recordings"]) == 2)
        assert low["ladder"]["size"] == "160x120"
        assert low["ladder"]["causes"] == ["heat"]
        assert "80.0 °C" in low["faults"]["heat"]
        tree.zone(0, "cpu-thermal", 50_000)
        recorder.until(lambda s: s["ladder"]["step"] == 0 and len(s["recordings"]) == 3)
        recorder.run_for(1.5)
        recorder.ask("stop")
        status = recorder.ask("status")
        assert recorder.stop() == 0
    assert status["frames_left_out"] > 0
    assert status["frames_dropped"] == status["parts_lost"] == 0
    assert status["video_frames"] == status["frames_encoded"]
    report = verify(collect([config.spool.dir]), load_root(agency.trust_root))
    assert [f.line() for f in report.findings if f.fails] == []
    (told,) = accounts_of(report, age.parse_identity_file(agency.agency_identity.read_text()))
    assert [b.unaccounted for b in told.boots] == [[]]
    doing = [a.doing for a in told.boots[0].accounts if a.doing in (Doing.RECORDING, Doing.STARTING)]
    assert doing.count(Doing.RECORDING) == 3, "and what was between them is said to be a start"
