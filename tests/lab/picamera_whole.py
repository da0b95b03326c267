"""The whole recorder on real picamera2: what it records is sealed, verified, exported and decoded, and it outlives a
camera that stalls or is gone. Run by `make picamera-test`, which has libcamera; named so that nothing else collects it.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import av
import libcamera
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.capture import picamera, piencoder
from agent.config import AudioConfig, CameraConfig, OverlayConfig, RecordingConfig, VideoConfig
from agent.errors import DeviceError
from agent.evidence.commands import main as evidence
from agent.media.overlay import Overlay
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA, all_leaves_of
from tests.lab import virtual_camera
from tests.recorder_kit import RecorderProcess, make_config

SECONDS = 12
GOP_S, FPS = 1, 30
PLUG = Path(os.environ[virtual_camera.PLUGGED])
RESULT = Path("picamera.json")
SIZE = (1280, 720)


@pytest.fixture(autouse=True)
def plugged() -> Iterator[None]:
    """The camera is there and works, before and after."""
    PLUG.write_text("", "utf-8")
    yield
    PLUG.write_text("", "utf-8")


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """What is measured, into the result."""
    found: dict[str, Any] = {}
    yield found
    versions = {name: version(name) for name in ("picamera2", "av")} | {"libcamera": libcamera.CameraManager.version}
    RESULT.write_text(json.dumps({"versions": versions, **found}, indent=2) + "\n", "utf-8")


def virtual(*command: str) -> list[str]:
    return ["tests.lab.virtual_recorder" if word == "agent" else word for word in command]


def run(
    agency: AgencyPaths, root: Path, width: int = SIZE[0], height: int = SIZE[1], **sections: Any
) -> RecorderProcess:
    made = {
        "camera": CameraConfig(id=CAMERA, unit="Brigade 7"),
        "video": VideoConfig(source="picamera", width=width, height=height, bitrate_kbps=2000, preset="ultrafast"),
        "audio": AudioConfig(source="synthetic"),
        "overlay": OverlayConfig(enabled=True, height_percent=6),
        "recording": RecordingConfig(pre_event_s=2, segment_s=5),
    }
    return RecorderProcess(make_config(agency, root, **(made | sections)), root, wrap=virtual)


def verifies(agency: AgencyPaths, spool: Path) -> bool:
    return evidence(["verify", str(spool), "--trust", str(agency.trust_root)]) == 0


def export(agency: AgencyPaths, spool: Path, to: Path) -> list[Path]:
    """The spool verifies, and its films are exported, in the order of their beginning."""
    trust = ["--trust", str(agency.trust_root)]
    assert verifies(agency, spool)
    assert evidence(["export", str(spool), "-i", str(agency.agency_identity), *trust, "-o", str(to)]) == 0
    return sorted(to.glob("*.mp4"))


def decode(film: Path) -> tuple[list[float], list[float], list[NDArray[np.uint8]]]:
    """Times of all pictures, times of the key frames, and the lower left of each picture."""
    times, keys, corners = [], [], []
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            times.append(float(frame.time))
            corners.append(np.asarray(frame.to_ndarray()[: frame.height]).copy())
            if frame.key_frame:
                keys.append(float(frame.time))
    return times, keys, corners


def test_a_recording_is_whole_steady_and_verified(agency: AgencyPaths, tmp_path: Path, figures: dict[str, Any]) -> None:
    with run(agency, tmp_path) as recorder:
        recorder.until(lambda s: s["state"] == "ready" and not s["faults"], 60)
        name = recorder.ask("record")["recording"]
        recorder.run_for(SECONDS)
        rss = resident_mib(recorder.process.pid)
        assert recorder.ask("stop")["whole"]
        status = recorder.until(lambda s: s["recording"] is None)
        assert not status["faults"] and status["parts_lost"] == 0
        assert recorder.stop() == 0
    (film,) = export(agency, recorder.config.spool.dir, tmp_path / "export")
    assert film.stem == name
    times, keys, pictures = decode(film)
    steps = [(b - a) * 1000 for a, b in itertools.pairwise(times)]
    spaces = [b - a for a, b in itertools.pairwise(keys)]
    lost = status["frames_dropped"]
    figures["recording"] = {
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "seconds": round(times[-1] - times[0], 2),
        "pictures": len(times),
        "pictures_lost": lost,
        "step_ms_median": round(median(steps), 2),
        "step_ms_p95": round(quantiles(steps, n=20)[-1], 2),
        "step_ms_worst": round(max(steps), 2),
        "key_frame_s_worst": round(max(spaces), 3),
        "recorder_rss_mib": round(rss, 1),
    }
    assert len(times) == status["frames_encoded"] and times[-1] - times[0] > SECONDS
    assert min(steps) > 0 and median(steps) == pytest.approx(1000 / FPS, abs=1)
    # Whatever is missing between two pictures was counted.
    assert sum(max(0, round(step * FPS / 1000) - 1) for step in steps) <= lost + 1
    assert max(spaces) <= GOP_S
    figures["overlay"] = read_seconds(times, pictures)


def read_seconds(times: list[float], pictures: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """The clock that is burned in goes on with the pictures: the text is read by what it must look like."""
    shown = [shown_second(picture) for picture in pictures[:: FPS // 3]]
    assert None not in shown
    seconds = [second for second in shown if second is not None]
    assert all(b - a in (0, 1) for a, b in itertools.pairwise(seconds))
    passed = seconds[-1] - seconds[0]
    assert passed == pytest.approx(times[-1] - times[0], abs=1.5)
    return {"pictures_read": len(seconds), "seconds_passed": passed}


def shown_second(picture: NDArray[np.uint8]) -> int | None:
    """Of "CLOCK NOT SET +0:00:ss" or a time of day: the second whose letters the picture has, best of all others."""
    scores = {second: score(picture, text) for second, text in candidates()}
    best = max(scores, key=lambda second: scores[second])
    return best if scores[best] > 150 else None


def candidates() -> list[tuple[int, str]]:
    """What the line may say during this test: its clock is set, or it is not."""
    if not CANDIDATES:
        CANDIDATES.extend((second, f"CLOCK NOT SET  +0:{second // 60:02d}:{second % 60:02d}") for second in range(90))
        now = int(time.time())
        for second in range(now - 120, now + 1):
            CANDIDATES.append((second, time.strftime("%Y-%m-%d %H:%M:%S +00:00", time.gmtime(second))))
    return CANDIDATES


CANDIDATES: list[tuple[int, str]] = []
PATCHES: dict[str, Any] = {}


def score(picture: NDArray[np.uint8], text: str) -> float:
    """How much brighter the letters of this text are than their edges."""
    if text not in PATCHES:
        PATCHES[text] = Overlay(Fixed(text), [], 6)._draw((text, CAMERA, "Brigade 7"), *SIZE)[0]
    patch = PATCHES[text]
    height, width = patch.keep.shape
    under = picture[patch.top : patch.top + height, patch.left : patch.left + width].astype(float)
    letters, edges = (patch.keep == 0) & (patch.add > 200 * 256), (patch.keep == 0) & (patch.add < 40 * 256)
    return float(under[letters].mean() - under[edges].mean())


class Fixed:
    def __init__(self, text: str) -> None:
        self._text = text

    def at(self, mono_ns: int) -> str:
        return self._text


@pytest.mark.parametrize("trouble", ["stall", "gone"])
def test_a_camera_that_fails_is_told_and_the_recording_goes_on_when_it_is_back(
    agency: AgencyPaths, tmp_path: Path, figures: dict[str, Any], trouble: str
) -> None:
    with run(agency, tmp_path, 640, 360) as recorder:
        recorder.until(lambda s: s["state"] == "ready" and not s["faults"], 60)
        first = recorder.ask("record")["recording"]
        recorder.run_for(3)
        PLUG.write_text(trouble, "utf-8")
        begun = time.monotonic()
        recorder.until(lambda s: "camera" in s["faults"], 30)
        told_s = time.monotonic() - begun
        recorder.run_for(4)
        if trouble == "gone":
            words = recorder.until(lambda s: "opened" in s["faults"].get("camera", ""), 30)["faults"]["camera"]
            assert "not found" in words
        PLUG.write_text("", "utf-8")
        begun = time.monotonic()
        recorder.until(lambda s: "camera" not in s["faults"] and s["recording"], 60)
        back_s = time.monotonic() - begun
        recorder.run_for(3)
        assert recorder.ask("stop")["whole"]
        status = recorder.until(lambda s: s["recording"] is None)
        assert recorder.stop() == 0
    assert told_s <= 2
    assert status["recordings"][0] == first
    films = export(agency, recorder.config.spool.dir, tmp_path / "export")
    assert len(films) == len(status["recordings"])
    assert sum(len(decode(film)[0]) for film in films) == status["frames_encoded"]
    figures[trouble] = {
        "told_within_s": round(told_s, 2),
        "recording_again_within_s": round(back_s, 2),
        "recordings": len(films),
    }


def test_the_camera_is_lost_and_found_in_the_log(agency: AgencyPaths, tmp_path: Path) -> None:
    with run(agency, tmp_path, 640, 360) as recorder:
        recorder.until(lambda s: s["state"] == "ready" and not s["faults"], 60)
        PLUG.write_text("stall", "utf-8")
        recorder.until(lambda s: "camera" in s["faults"], 30)
        PLUG.write_text("", "utf-8")
        recorder.until(lambda s: s["state"] == "ready" and not s["faults"], 60)
        assert recorder.stop() == 0
    assert verifies(agency, recorder.config.spool.dir)
    assert len(all_leaves_of(Spool(recorder.config.spool.dir))) > 5


def test_a_size_that_the_camera_does_not_have_is_an_error_that_names_one() -> None:
    camera = picamera.PiCamera(800, 600, 30, 800, open_camera=virtual_camera.VirtualPicamera2)
    with pytest.raises(DeviceError, match="gives") as caught:
        camera.start(lambda unit: None, lambda signal: None)
    assert "[video]" in caught.value.hint
    assert camera.stop(5)


def test_a_machine_that_is_no_pi_has_no_hardware_encoder() -> None:
    library = picamera.load()
    assert library.expects_hardware, (
        "picamera2 takes an unknown machine for a Pi 4: that is what has to be seen through"
    )
    assert not piencoder.has_hardware(library)


def gives_a_second(camera: picamera.PiCamera, units: list[bytes]) -> None:
    """At 30 fps; where it does not, what is asked of the units shows it."""
    deadline = time.monotonic() + 20
    while len(units) < 30 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert camera.stop(5)


def test_pictures_are_looked_at_and_written_on_before_they_are_encoded() -> None:
    """White is put where it is not, and comes out of the decoder."""
    seen: list[tuple[int, ...]] = []
    units: list[bytes] = []

    def mark(planes: Any, mono_ns: int) -> None:
        seen.append(planes.luma.shape)
        planes.luma[100:200, 100:200] = 235
        planes.blue[50:100, 50:100] = planes.red[50:100, 50:100] = 128

    camera = virtual_camera.camera()
    camera.start(lambda unit: units.append(unit.data), lambda signal: None, mark)
    gives_a_second(camera, units)
    assert set(seen) == {(360, 640)}
    decoder = av.CodecContext.create("h264", "r")
    pictures = [frame.to_ndarray(format="rgb24") for unit in units for frame in decoder.decode(av.Packet(unit))]
    assert len(pictures) >= 25
    # As the virtual camera answers picamera2, whose own encoder says it in no packet.
    frame = next(f for unit in units for f in av.CodecContext.create("h264", "r").decode(av.Packet(unit)))
    assert (frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range) == (1, 1, 1, 1)
    assert all(picture[120:180, 120:180].mean() > 230 for picture in pictures)


def test_a_height_that_is_no_multiple_of_four_keeps_its_colours() -> None:
    """As 1332x990, a sensor's mode, and steps of the ladder are. The bars stand upright: each row is as the others."""
    units: list[bytes] = []
    camera = picamera.PiCamera(800, 450, 30, 4000, preset="ultrafast", open_camera=virtual_camera.VirtualPicamera2)
    camera.start(lambda unit: units.append(unit.data), lambda signal: None)
    gives_a_second(camera, units)
    decoder = av.CodecContext.create("h264", "r")
    picture = [frame for unit in units for frame in decoder.decode(av.Packet(unit))][-1]
    assert (picture.width, picture.height) == (800, 450)
    planes = np.split(picture.to_ndarray(format="yuv420p").reshape(-1).astype(int), [800 * 450, 800 * 450 * 5 // 4])
    for plane, shape in zip(planes, [(450, 800), (225, 400), (225, 400)], strict=True):
        rows = plane.reshape(shape)
        assert abs(rows - rows[shape[0] // 2]).mean(axis=1).max() < 4


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")
