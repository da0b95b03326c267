"""How many pictures and sounds were lost is in the log, whatever closes the lens before that is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from agent.capture import choose
from agent.capture.base import DeliverFrame, DeliverSound, Signal, SignalKind, SourceSignal
from agent.clock import SystemClock
from agent.events import Actor
from agent.intake import IntakeEvent, IntakeEventKind
from agent.intake.paths import Item, RawPath
from agent.lens import Lens
from agent.model import AudioBlock, EncodedPacket, VideoFrame
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import DeskIntake
from tests.recorder_kit import make_config
from tests.test_care import Cared
from tests.test_intake import PATIENCE_S, ScriptedCamera

BEGINS = [IntakeEventKind.OVERLOAD, IntakeEventKind.CAMERA_IRREGULAR]
SUMS = {
    IntakeEventKind.OVERLOAD_OVER: "280 pictures were dropped",
    IntakeEventKind.CAMERA_REGULAR: "pictures lost by the camera: 41",
    IntakeEventKind.MICROPHONE_REGULAR: "blocks lost by the driver: 7",
}


def sum_up(intake: DeskIntake, now_ns: int) -> bool:
    """As the real one does as it is stopped."""
    for kind, detail in SUMS.items():
        intake.tell(IntakeEvent(kind, now_ns, detail))
    return True


def too_small(camera: Cared) -> None:
    camera.thermometer.shows(95)
    camera.ticks(4 * 11)


def drained(camera: Cared) -> None:
    camera.gauge.holds(4)
    camera.ticks(4 * 12)
    camera.recorder.close()


def unplugged(camera: Cared) -> None:
    camera.tell(IntakeEventKind.CAMERA_LOST, "unplugged")
    camera.ticks(2)


ENDS: dict[str, tuple[Callable[[Cared], object], str | None]] = {
    "asleep": (lambda camera: camera.recorder.sleep(Actor.OFFICER), "sleep"),
    "told to end": (lambda camera: camera.recorder.close(), "shutdown"),
    "another size": (too_small, None),
    "unplugged": (unplugged, None),
    "battery empty": (drained, "shutdown"),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_closes_the_lens_the_log_holds_how_many_were_lost(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Before the leaf that says so of the camera, also where what began had no turn of the loop before."""
    camera = Cared(agency, tmp_path, monkeypatch)
    camera.start()
    old = camera.intake
    old.stop = lambda: sum_up(old, camera.clock.now_ns)
    close, then = ENDS[end]
    for kind in BEGINS:
        camera.tell(kind, "it loses pictures")
    close(camera)
    # From here on it is nobody's.
    old.tell(IntakeEvent(IntakeEventKind.OVERLOAD, camera.clock.now_ns, "too late"))
    if camera.recorder.state is not State.STOPPED:
        camera.ticks(1)
        assert "overload" not in camera.faults()
    bodies = camera.bodies()
    told = [(b["type"], b["detail"]) for b in bodies if b["type"] in {kind.value for kind in [*BEGINS, *SUMS]}]
    assert told == [(k.value, "it loses pictures") for k in BEGINS] + [(k.value, d) for k, d in SUMS.items()]
    types = [body["type"] for body in bodies]
    if then:
        assert types.index(then) > types.index(IntakeEventKind.MICROPHONE_REGULAR.value)
    if then == "shutdown":
        assert types[-1] == then
    if camera.recorder.state is not State.STOPPED:
        camera.recorder.close()


class Lossy(ScriptedCamera):
    """Its first picture comes at once. As it is closed it lets go of what holds its encoder up, and says that it is
    gone.
    """

    def __init__(self, let_go: Callable[[], object]) -> None:
        super().__init__()
        self._let_go = let_go

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        super().start(deliver, signal)
        self.give(0)

    def give(self, number: int) -> None:
        assert self.deliver
        self.deliver(VideoFrame(time.monotonic_ns(), number, av.VideoFrame(320, 240, "yuv420p")))

    def stop(self, deadline_s: float = 2.0) -> bool:
        assert self.signal
        self.signal(SourceSignal(SignalKind.LOST, time.monotonic_ns(), "closed"))
        self._let_go()
        return True


class LossyMicrophone:
    """One block, and then overruns alone; what it still has as it is closed it gives."""

    live = True
    name = "lossy microphone"
    dropped_blocks = 0

    def start(self, deliver: DeliverSound, signal: Signal) -> None:
        self._deliver = deliver
        self._deliver(AudioBlock(time.monotonic_ns(), bytes(2048)))

    def stop(self, deadline_s: float = 2.0) -> bool:
        self._deliver(AudioBlock(time.monotonic_ns(), bytes(2048)))
        return True


class Desk:
    """A lens whose loop is in one long turn: nothing that is posted has its own before."""

    def __init__(self, agency: AgencyPaths, root: Path) -> None:
        self.posted = list[Callable[[], None]]()
        self.heard = list[IntakeEvent]()
        self.lens = Lens(make_config(agency, root), SystemClock(), self.posted.append, self.heard.append)

    def told(self) -> list[tuple[IntakeEventKind, str]]:
        return [(event.kind, event.detail.rpartition(": ")[2]) for event in self.heard]


@pytest.mark.parametrize("hangs", [False, True], ids=["it goes on", "it hangs"])
def test_pictures_that_a_lens_loses_up_to_its_end_are_told_as_it_is_closed(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    """Also where the encoder hangs, and the thread that would tell it with it."""
    entered, gate, encode = threading.Event(), threading.Event(), RawPath.take

    def held(path: RawPath, item: Item, pts: int) -> list[EncodedPacket]:
        if item.sequence:
            entered.set()
            assert gate.wait(PATIENCE_S)
        return encode(path, item, pts)

    monkeypatch.setattr(RawPath, "take", held)
    if hangs:
        monkeypatch.setattr("agent.intake.intake.STOP_S", 0.05)
    camera, desk = Lossy(lambda: hangs or gate.set()), Desk(agency, tmp_path)
    monkeypatch.setattr(choose, "open_sources", lambda *_: (camera, None))
    desk.lens.open()
    camera.give(1)
    assert entered.wait(PATIENCE_S)
    camera.dropped_frames = 41
    for number in range(RawPath.waiting + 5):
        camera.give(2 + number)
    assert desk.lens.close() is not hangs
    begins, over = (IntakeEventKind.OVERLOAD, "pictures are dropped"), IntakeEventKind.OVERLOAD_OVER
    irregular = [(IntakeEventKind.CAMERA_IRREGULAR, "41"), (IntakeEventKind.CAMERA_REGULAR, "41")]
    ends = (over, "5 pictures were dropped until the lens was closed")
    assert desk.told() == [begins, *([] if hangs else irregular), ends]
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "picture":
            thread.join(PATIENCE_S)
    for action in desk.posted:
        action()
    assert len(desk.told()) == (2 if hangs else 4), "each is heard once, and nothing of what comes later"


def test_sound_that_a_microphone_loses_up_to_its_end_is_told_as_it_is_closed(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it gives while it is closed is no loss."""
    microphone, desk = LossyMicrophone(), Desk(agency, tmp_path)
    monkeypatch.setattr(choose, "open_sources", lambda *_: (Lossy(lambda: None), microphone))
    desk.lens.open()
    microphone.dropped_blocks = 7
    assert desk.lens.close()
    irregular = [event for event in desk.heard if event.type.startswith("microphone.")]
    assert [(event.type, event.detail) for event in irregular] == [
        ("microphone.irregular", "lossy microphone: blocks lost by the driver: 7"),
        ("microphone.regular", "lossy microphone: blocks lost by the driver: 7"),
    ]
