"""What the recorder says of itself unasked: enough that every powered second is accounted for, and no more."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from agent import cli, config, events
from agent.diary import BEAT_NS, MAX_CHANGES, WINDOW_NS, Diary, Standing, standing
from agent.errors import DeviceError, StorageError, UsageError
from agent.eventbody import MAX_TEXT, Event
from agent.events import Actor, ClockChange, State
from agent.evidence.accounts import IDLE_BOUND_NS
from agent.formats import leaf as leaves
from agent.intake.report import IntakeEventKind
from agent.lens import Lens
from agent.model import NS
from agent.spool.store import DiskSpace, Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import FakeClock, all_leaves_of
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def said() -> list[Event]:
    return []


class Stands:
    """The state as the recorder would tell it."""

    now = (State.STARTING, "", Actor.RECORDER)

    def __call__(self) -> Standing:
        return self.now


@pytest.fixture
def stands() -> Stands:
    return Stands()


@pytest.fixture
def diary(said: list[Event], clock: FakeClock, stands: Stands) -> Diary:
    return Diary(said.append, clock, stands)


@pytest.fixture
def camera(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    made = Camera(agency, tmp_path, monkeypatch)
    yield made
    made.recorder.close()


# -- the diary alone -----------------------------------------------------------------------------------------------


def test_it_begins_with_what_runs_on_which_configuration_and_clocks(
    agency: AgencyPaths, tmp_path: Path, diary: Diary, said: list[Event]
) -> None:
    there = make_config(agency, tmp_path)
    diary.begin(there)
    boot, configuration, clocks = said
    assert isinstance(boot, events.Boot)
    assert boot.kernel
    assert configuration == events.Configuration(hashlib.sha256(config.dump(there).encode()).hexdigest())
    assert isinstance(clocks, events.ClockTold)
    assert (clocks.why, clocks.source, clocks.bound_ms) == (ClockChange.START, "synchronised", 12)
    # Two clocks are read one after the other.
    assert 0 <= clocks.divergence_ns - 5 * NS < 10_000
    assert (clocks.suspended_ns, clocks.step_ns) == (0, 0)
    diary.begin(replace(there, recording=replace(there.recording, pre_event_s=3)))
    assert said[4] != configuration


def stand(diary: Diary, stands: Stands, state: State, reason: str, actor: Actor = Actor.RECORDER) -> None:
    stands.now = (state, reason, actor)
    diary.stand()


def test_a_state_is_said_when_it_changes_and_once(diary: Diary, said: list[Event], stands: Stands) -> None:
    for _ in range(3):
        stand(diary, stands, State.READY, "there")
    stand(diary, stands, State.DOCKED, "in the dock", Actor.DOCK)
    assert said == [
        events.StateChange(State.READY, "there", Actor.RECORDER),
        events.StateChange(State.DOCKED, "in the dock", Actor.DOCK),
    ]


def test_a_log_that_begins_later_says_the_state_anew(
    agency: AgencyPaths, tmp_path: Path, diary: Diary, said: list[Event], stands: Stands
) -> None:
    there = make_config(agency, tmp_path)
    stand(diary, stands, State.DOCKED, "in the dock", Actor.DOCK)
    diary.opens()
    diary.begin(there)
    assert isinstance(said[-1], events.StateChange)
    assert said[-1].state is State.DOCKED


@pytest.mark.parametrize("later", [False, True], ids=["the first log", "a later one"])
def test_what_a_log_begins_with_says_no_state_anew_where_it_comes_late(
    agency: AgencyPaths, tmp_path: Path, diary: Diary, said: list[Event], stands: Stands, later: bool
) -> None:
    """Since the log began its own leaves have said the state: `recording` would end what is muted."""
    if later:
        stand(diary, stands, State.DOCKED, "in the dock", Actor.DOCK)
    diary.opens()
    stand(diary, stands, State.READY, "there")
    before = list(said)
    for state in (State.READY, State.RECORDING):
        diary.told(state)
        diary.begin(make_config(agency, tmp_path))
    assert [event for event in said if isinstance(event, events.StateChange)] == before


def test_a_fault_that_comes_and_goes_does_not_fill_the_log(
    diary: Diary, said: list[Event], clock: FakeClock, stands: Stands
) -> None:
    for _ in range(400):
        stand(diary, stands, State.FAULT, "camera: gone")
        stand(diary, stands, State.READY, "there")
        clock.now_ns += NS // 10
    assert len(said) <= MAX_CHANGES + 1
    assert said[-1] == events.StateChange(State.FAULT, "camera: gone", Actor.RECORDER)
    clock.now_ns += WINDOW_NS
    stand(diary, stands, State.READY, "there")
    assert said[-1] == events.StateChange(State.READY, "there", Actor.RECORDER)


def test_what_the_leaves_of_a_recording_say_is_not_said_again(diary: Diary, said: list[Event], stands: Stands) -> None:
    diary.told(State.RECORDING)
    stand(diary, stands, State.READY, "there")
    diary.told(State.READY)
    stand(diary, stands, State.READY, "there")
    assert said == []


def test_a_heartbeat_is_due_in_time_and_not_while_recording(diary: Diary, said: list[Event], clock: FakeClock) -> None:
    clock.now_ns += BEAT_NS - NS
    diary.beat(["camera"])
    assert said == []
    diary.beat(["camera"], ahead_ns=2 * NS)
    assert said == [events.Heartbeat(("camera",), State.STARTING)]
    clock.now_ns += BEAT_NS
    diary.beat([])
    assert len(said) == 2
    diary.told(State.RECORDING)
    clock.now_ns += 10 * BEAT_NS
    diary.beat([])
    assert len(said) == 2


@pytest.mark.parametrize(
    ("docked", "faults", "ended", "state", "why"),
    [
        (False, {}, False, State.READY, "press"),
        (False, {"microphone": "gone", "delivery": "no"}, False, State.READY, "press"),
        (False, {"camera": "unplugged"}, False, State.FAULT, "camera: unplugged"),
        (False, {"storage": "full"}, False, State.FAULT, "storage: full"),
        (False, {"recording": "refused"}, False, State.FAULT, "recording: refused"),
        (False, {}, True, State.FAULT, "end"),
        (True, {"camera": "unplugged"}, True, State.DOCKED, "dock"),
    ],
)
def test_the_state_of_a_camera_that_does_not_record(
    docked: bool, faults: dict[str, str], ended: bool, state: State, why: str
) -> None:
    found, reason, actor = standing(docked, faults, ended)
    assert found is state
    assert why in reason
    assert actor is (Actor.DOCK if docked else Actor.RECORDER)


# -- through the recorder ------------------------------------------------------------------------------------------


def types(camera: Camera) -> list[str]:
    return [body["type"] for body in camera.bodies()]


def test_a_life_says_how_it_began_and_each_state_once(camera: Camera) -> None:
    camera.start()
    camera.ticks(8)
    camera.recorder._record("ctl", Actor.CTL)
    camera.ticks(4)
    camera.recorder._stop("ctl", Actor.CTL)
    camera.ticks(4)
    camera.recorder._dock(True)
    camera.ticks(4)
    bodies = [b for b in camera.bodies() if b["type"] != "seal"]
    assert [b["type"] for b in bodies] == [
        *("session", "boot", "configuration", "clock", "storage", "state"),
        *("record.start", "record.stop", "dock", "state"),
    ]
    assert [b["state"] for b in bodies if b["type"] == "state"] == ["ready", "docked"]
    start, stop = bodies[6:8]
    assert (start["actor"], stop["actor"], stop["then"]) == ("ctl", "ctl", "ready")


def test_the_end_of_a_recording_is_when_it_was_asked_for(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.ticks(4)
    asked_ns = camera.clock.now_ns
    camera.recorder._stop("ctl")
    (stop,) = camera.said("record.stop")
    assert asked_ns < stop["mono_ns"] < asked_ns + NS // 1000
    assert abs(stop["boottime_ns"] - stop["mono_ns"] - 5 * NS) < NS // 1000


def test_a_recording_that_the_lens_ends_is_followed_by_a_fault_until_it_is_back(camera: Camera) -> None:
    camera.start()
    camera.recorder._record("ctl")
    camera.lens = DeviceError("no lens", "plug it in")
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(12)
    (stop,) = camera.said("record.stop")
    assert (stop["then"], stop["actor"], stop["reason"]) == ("fault", "recorder", "unplugged")
    camera.lens = None
    camera.ticks(12)
    # From the stop to the start that goes on with it: at no instant between them was it ready.
    assert [b["state"] for b in camera.said("state")] == ["ready"]
    assert camera.said("record.start")[-1]["continues"] == camera.recorder._life.recordings[0]


def test_without_a_lens_from_the_first_it_is_a_fault(camera: Camera) -> None:
    camera.lens = DeviceError("no lens", "plug it in")
    camera.start()
    (state,) = camera.said("state")
    assert (state["state"], state["reason"]) == ("fault", "camera: no lens; plug it in")


def test_no_two_leaves_outside_a_recording_are_further_apart_than_the_heartbeat(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where looking for the lens takes as long as it may, time after time."""
    real = Lens.open

    def slow(lens: Lens, ready_s: float) -> None:
        camera.clock.now_ns += round((ready_s - 1) * NS)
        real(lens, ready_s)

    monkeypatch.setattr(Lens, "open", slow)
    camera.lens = DeviceError("no lens", "plug it in")
    camera.start()
    camera.ticks(400)
    camera.lens = None
    camera.ticks(1000)
    camera.vault.sealer.seal_open()
    stamps = [x.common.stamp.mono_ns for x in all_leaves_of(camera.vault.spool)]
    assert stamps[-1] - stamps[0] > 400 * NS
    assert max(b - a for a, b in pairwise(stamps)) <= IDLE_BOUND_NS
    assert {b["state"] for b in camera.said("heartbeat")} == {"fault", "ready"}


def test_heartbeats_that_the_disk_refused_are_said_late(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    camera.start()
    real = camera.vault.sealer.event

    def refuse(*_: object) -> int:
        raise StorageError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(camera.vault.sealer, "event", refuse)
        camera.ticks(4 * 200)
        assert "log" in camera.faults()
    assert camera.vault.sealer.event == real
    camera.ticks(12)
    late = [b for b in camera.said("heartbeat") if b.get("late")]
    assert len(late) == 3
    assert [round((b["mono_ns"] - a["mono_ns"]) / BEAT_NS, 1) for a, b in pairwise(late)] == [1, 1]


def test_the_clocks_are_told_when_they_change(camera: Camera) -> None:
    camera.start()
    camera.ticks(8)
    camera.clock.suspended_ns += 300 * NS
    camera.ticks(8)
    camera.clock.stepped_ns -= 3600 * NS
    camera.clock.utc_source, camera.clock.utc_bound_ms = "unverified", None
    camera.ticks(80)
    camera.clock.utc_source, camera.clock.utc_bound_ms = "synchronised", 12
    camera.ticks(8)
    told = camera.said("clock")
    assert [b["why"] for b in told] == ["start", "suspend", "step", "source"]
    assert [round(b["suspended_ns"] / NS) for b in told] == [0, 300, 0, 0]
    assert [round(b["divergence_ns"] / NS) for b in told] == [5, 305, 305, 305]
    assert [round(b["step_ns"] / NS) for b in told] == [0, 0, -3600, 0]
    assert [b["source"] for b in told] == ["synchronised", "synchronised", "unverified", "synchronised"]
    assert [b.get("bound_ms") for b in told] == [12, 12, None, 12]


# -- the card --------------------------------------------------------------------------------------------------------


def test_room_on_the_card_is_said_at_the_start_and_when_its_level_changes(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [1000]
    monkeypatch.setattr(Spool, "space", lambda spool: DiskSpace(free[0] << 20, 1000 << 20))
    camera.start()
    for percent in (50, 20, 19, 21, 12, 9, 11, 5, 4, 6, 3, 8, 30):
        free[0] = percent * 10
        camera.ticks(245)
    assert [(b["level"], b["free_bytes"] >> 20) for b in camera.said("storage")] == [
        ("normal", 1000),
        ("low", 190),
        ("low", 90),
        ("critical", 40),
        ("low", 80),
        ("normal", 300),
    ]


# -- a mark --------------------------------------------------------------------------------------------------------


def test_a_mark_is_of_the_recording_that_goes_on(camera: Camera) -> None:
    camera.start()
    with pytest.raises(UsageError, match="nothing is being recorded"):
        camera.recorder._takes.mark("too early")
    assert camera.faults() == {}
    name = camera.recorder._record("ctl")["recording"]
    assert camera.recorder._takes.mark("he drops the bag") == {
        "recording": name,
        "mark": "he drops the bag",
        "durable": True,
    }
    camera.ticks(4)
    camera.recorder._stop("ctl")
    (mark,) = camera.said("mark")
    assert (mark["text"], mark["actor"]) == ("he drops the bag", "ctl")
    named = [x for x in all_leaves_of(camera.vault.spool) if isinstance(x, leaves.EventLeaf) and x.recording == name]
    assert [x.kind.value for x in named if x.kind is not leaves.Kind.SEAL] == ["start", "event", "stop"]


def test_ctl_marks_through_the_socket(camera: Camera, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(config.dump(camera.recorder._config), "utf-8")
    camera.start()
    thread = threading.Thread(target=camera.recorder.run)
    thread.start()
    try:
        for arguments in (["record"], ["mark", "he drops the bag"], ["mark"], ["mark", "🎥" * MAX_TEXT], ["stop"]):
            assert cli.agent_main(["ctl", *arguments, "--config", str(file), "--json"]) == 0
        assert cli.agent_main(["ctl", "mark", "too late", "--config", str(file)]) == 2
    finally:
        camera.recorder.stop()
        thread.join()
    assert "nothing is being recorded" in capsys.readouterr().err
    assert [b["text"] for b in camera.said("mark")] == ["he drops the bag", "", "🎥" * MAX_TEXT]
