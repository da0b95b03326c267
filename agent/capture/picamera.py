"""A Pi's camera through picamera2, which encodes inside itself: access units with the sensor's own stamps come out.

picamera2 waits without a deadline in several places, and calls back on threads of its own. So one thread of ours opens
and closes it, and is itself waited for with a deadline; no lock is held while picamera2 is called.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

from agent.capture import piencoder
from agent.capture.base import DeliverUnit, See, Signal, SignalKind, SourceSignal, monotonic_ns
from agent.capture.buffers import planes_of
from agent.capture.busy import Busy
from agent.capture.numbering import Numbering
from agent.capture.piencoder import Coding, Library
from agent.capture.stampclock import StampClock, believed
from agent.errors import AgentError, DeviceError, reason
from agent.model import NS, AccessUnit

OPEN_S = 10.0
"""libcamera loads and tunes a sensor in about a second."""
PACKAGES = "apt install python3-libcamera libcamera-ipa (in a checkout, then make setup); see docs/operations.md"
_FORMATS = ("YUV420", "NV12")


class PiCamera:
    """A live EncodedSource. `start` raises DeviceError where picamera2, libcamera or the camera are missing, or do not
    answer within OPEN_S.
    """

    live = True
    shows = True

    def __init__(
        self,
        width: int,
        height: int,
        fps: int,
        bitrate_kbps: int,
        gop_s: float = 1.0,
        preset: str = "superfast",
        lowest_fps: int = 0,
        open_camera: Callable[[], Any] | None = None,
    ) -> None:
        self.name = f"Pi camera {width}x{height} at {fps} fps"
        self.fps = float(fps)
        self.dropped_frames = self.doubtful_frames = 0
        self._size, self._open = (width, height), open_camera
        self._coding = Coding(width * height, fps, bitrate_kbps, gop_s, preset, lowest_fps or fps)
        self._rate = (bitrate_kbps, fps)
        self._numbering, self._busy = Numbering(fps), Busy()
        self._tried, self._end = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._failed = False
        self._asked_ns: int | None = None
        self._camera: Any = None
        self._encoder: Any = None
        self._thread: threading.Thread | None = None

    def start(self, deliver: DeliverUnit, signal: Signal, see: See | None = None) -> None:
        self._library = load()
        self._deliver, self._signal, self._see = deliver, signal, see
        self._stamps = _Stamps()
        self._numbering, self._busy, self._sequence = Numbering(self._rate[1]), Busy(), 0
        self._asked_ns = None
        self._thread = threading.Thread(target=self._run, name="picamera", daemon=True)
        self._thread.start()
        if not self._tried.wait(OPEN_S):
            # What it is opening it closes as soon as it can.
            self._end.set()
            raise DeviceError(f"{self.name} does not answer within {OPEN_S:g} s", "check its ribbon cable")
        if self._failure:
            raise _told(self.name, self._failure) from self._failure

    @property
    def behind(self) -> bool:
        return self._busy.behind

    def request_key(self) -> bool:
        encoder = self._encoder
        return encoder is not None and piencoder.force_key(encoder)

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        before, self._rate = self._rate, (bitrate_kbps, fps or self._coding.fps)
        if self._tried.is_set() and self._rate != before:
            if self._rate[1] < before[1]:
                # While pictures still come fast: where they come late, one asked for by the stamps would too.
                self._asked_ns = None
                self.request_key()
            self._apply_rate()

    def stop(self, deadline_s: float = 2.0) -> bool:
        self._end.set()
        if self._thread is None:
            return True
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    # -- on our own thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        camera = None
        try:
            camera = self._camera = self._open() if self._open else _open_first(self._library)
            self._begin(camera)
        except Exception as err:
            self._failure = err
        self._tried.set()
        if self._failure is None:
            self._end.wait()
        if camera is not None:
            self._close(camera)

    def _begin(self, camera: Any) -> None:
        bitrate_kbps, fps = self._rate
        micros = round(1_000_000 / fps)
        config = camera.create_video_configuration(
            main={"size": self._size, "format": _format_of(camera)}, controls={"FrameDurationLimits": (micros, micros)}
        )
        camera.configure(config)
        given = tuple(camera.camera_configuration()["main"]["size"])
        if given != self._size:
            raise DeviceError(
                f"{self.name}: this camera gives {given[0]}x{given[1]}", "set [video] width and height to that"
            )
        camera.pre_callback = self._before
        coding = replace(self._coding, colours=_colours_of(camera))
        self._encoder = piencoder.make(self._library, coding, self._after, self._fail, self._busy.done)
        camera.start_encoder(self._encoder)
        camera.start()
        if bitrate_kbps != self._coding.bitrate_kbps:
            piencoder.set_bitrate(self._encoder, bitrate_kbps)

    def _apply_rate(self) -> None:
        camera, encoder = self._camera, self._encoder
        if camera is None or encoder is None or self._end.is_set():
            return
        bitrate_kbps, fps = self._rate
        micros = round(1_000_000 / fps)
        camera.set_controls({"FrameDurationLimits": (micros, micros)})
        piencoder.set_bitrate(encoder, bitrate_kbps)

    def _close(self, camera: Any) -> None:
        """The camera first: an encoder that is stopped while pictures come waits for the thread that brings them."""
        for step in (camera.stop, camera.stop_encoder, camera.close):
            try:
                step()
            except Exception as err:
                # The next step may still give the camera back.
                self._failure = self._failure or err

    # -- on picamera2's threads ------------------------------------------------------------------------------------

    def _before(self, request: Any) -> None:
        """Each picture on its way to the encoder. What is raised in here would end picamera2's thread unheard."""
        self._busy.begin(self._numbering.usual_ns)
        try:
            stamp_ns = _sensor_stamp(request)
            mono_ns = self._stamps.take(stamp_ns)
            self._numbering.ask(self._rate[1])
            missed = self._numbering.missed(mono_ns, None, _takes_ns(request))
            self.doubtful_frames += 0 if self._numbering.sure else missed
            self.dropped_frames += missed
            # The unit keeps its stamp, which the intake judges and counts: one wild stamp must blind nobody here.
            at_ns = believed(mono_ns, monotonic_ns())
            self._ask_for_key(at_ns)
            if self._see:
                config = request.config["main"]
                with self._library.mapped_array(request, "main", reshape=False) as mapped:
                    planes = planes_of(mapped.array, config["format"], config["size"], config["stride"])
                    self._see(planes, at_ns)
        except Exception as err:
            self._fail(err)

    def _ask_for_key(self, mono_ns: int) -> None:
        """By the stamps, so that neither a lower rate nor a sensor that takes longer in the dark makes a longer group;
        and two pictures early, since the next one may get it, or come late; at once where they go back. The encoder's
        first picture is a key frame.
        """
        usual_ns = self._numbering.longest_ns
        if self._asked_ns is None:
            self._asked_ns = mono_ns
        elif not 0 <= mono_ns - self._asked_ns < self._coding.gop_s * NS - usual_ns * 5 / 2:
            self._asked_ns = mono_ns
            self.request_key()

    def _after(self, data: bytes, stamp_us: int) -> None:
        if self._end.is_set():
            return
        unit = AccessUnit(self._stamps.of(stamp_us), self._sequence, data)
        self._sequence += 1
        self._deliver(unit)

    def _fail(self, err: Exception) -> None:
        if not self._end.is_set() and not self._failed:
            self._failed = True
            detail = err.message if isinstance(err, AgentError) else f"{type(err).__name__}: {reason(err)}"
            self._signal(SourceSignal(SignalKind.FAULT, monotonic_ns(), f"{self.name}: {detail}"))


class _Stamps:
    """The sensor's stamps on CLOCK_MONOTONIC, found again by the microseconds that picamera2 makes of them. libcamera
    documents CLOCK_BOOTTIME, which is not taken for granted.
    """

    KEPT = 64
    """More pictures than an encoder holds."""

    def __init__(self) -> None:
        self._clock = StampClock(watchful=True)
        self._mono_ns: dict[int, int] = {}

    def take(self, stamp_ns: int) -> int:
        mono_ns = self._clock.to_monotonic(stamp_ns)
        self._mono_ns[stamp_ns // 1000] = mono_ns
        while len(self._mono_ns) > self.KEPT:
            del self._mono_ns[next(iter(self._mono_ns))]
        return mono_ns

    def of(self, stamp_us: int) -> int:
        known = self._mono_ns.get(stamp_us)
        return self._clock.to_monotonic(stamp_us * 1000) if known is None else known


def load() -> Library:
    """picamera2, imported only now. Raises DeviceError where picamera2 or libcamera are missing."""
    _do_without_preview()
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:WARN")
    try:
        import picamera2
        from picamera2 import encoders, outputs, platform, request
    except ImportError as err:
        missing = "libcamera's Python module" if "libcamera" in str(err) else f"picamera2 ({reason(err)})"
        raise DeviceError(f"the Pi camera needs {missing}, which is not installed", PACKAGES) from err
    return Library(
        picamera=picamera2.Picamera2,
        hardware_encoder=encoders.H264Encoder,
        software_encoder=encoders.LibavH264Encoder,
        output=outputs.Output,
        mapped_array=request.MappedArray,
        expects_hardware=platform.get_platform() == platform.Platform.VC4,
    )


def _do_without_preview() -> None:
    """picamera2 imports kms++ for a preview on a screen, which a recorder has none of: where that is not installed, a
    module of names stands in for it.
    """
    from importlib.util import find_spec

    if "pykms" in sys.modules or find_spec("kms") or find_spec("pykms"):
        return

    class Names(type):
        def __getattr__(cls, name: str) -> str:
            return name

    module = ModuleType("pykms")
    module.PixelFormat = Names("PixelFormat", (), {})  # type: ignore[attr-defined]
    sys.modules["pykms"] = module


def _open_first(library: Library) -> Any:
    if not library.picamera.global_camera_info():
        raise DeviceError("there is no Pi camera", "check its ribbon cable, then: rpicam-hello --list-cameras")
    return library.picamera(0)


def _format_of(camera: Any) -> str:
    """4:2:0, planar where the camera gives it: a Pi's does, libcamera's virtual one gives NV12."""
    import libcamera

    offered = camera.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats.pixel_formats
    names = [str(found) for found in offered]
    wanted = next((name for name in _FORMATS if name in names), None)
    if wanted is None:
        raise DeviceError(f"the Pi camera gives neither {' nor '.join(_FORMATS)}, but {', '.join(names)}")
    return wanted


def _colours_of(camera: Any) -> str:
    """By libcamera's name, which its Python type shows in quotes; empty where it says none."""
    return str(camera.camera_configuration().get("colour_space")).partition("'")[2].partition("'")[0]


def _sensor_stamp(request: Any) -> int:
    from libcamera import controls

    return int(request.request.metadata[controls.SensorTimestamp])


def _takes_ns(request: Any) -> int | None:
    """How long the sensor takes for this picture, where libcamera says so (FrameDuration, in microseconds); its virtual
    camera does not.
    """
    from libcamera import controls

    return int(request.request.metadata.get(controls.FrameDuration, 0)) * 1000 or None


def _told(name: str, err: Exception) -> DeviceError:
    if isinstance(err, DeviceError):
        return err
    return DeviceError(
        f"{name} cannot be opened: {type(err).__name__}: {reason(err)}",
        "end the program that uses it (fuser -v /dev/media*), check its ribbon cable",
    )
