"""picamera2's encoders: the one that fits this board, what it is told at its start, and what while it runs.

picamera2 knows two for H.264: `H264Encoder` over V4L2, for the hardware of a Pi 4 or Zero 2 W, and `LibavH264Encoder`,
x264 in software, for a Pi 5 and everywhere else. Both give parameter sets in front of each key frame.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.capture.buffers import picture_of
from agent.errors import DeviceError
from agent.model import PEAK_RATE

HARDWARE = "/dev/video11"
"""Where picamera2 opens the hardware encoder, by this name."""
COLOURS = {"Rec709": (1, 1, 1, 1), "SMPTE170M": (6, 6, 6, 1), "sYCC": (1, 13, 5, 2)}
"""Primaries, transfer, matrix (ITU-T H.273) and range (1 narrow, 2 full) of libcamera's colour spaces (color_space.h):
picamera2's encoder says none of it, and a player guesses by the size.
"""
_MOST_THREADS = 4
_ONE_THREAD_PIXELS = 1280 * 720

Deliver = Callable[[bytes, int], None]
"""Hears of each access unit: bytes, and the sensor's stamp in microseconds."""


@dataclass(frozen=True, slots=True)
class Coding:
    """What is asked of the encoder."""

    pixels: int
    fps: int
    bitrate_kbps: int
    gop_s: float
    preset: str
    lowest_fps: int
    """To which the rate may be lowered while it encodes."""
    colours: str = ""
    """As libcamera calls what the camera gives."""


@dataclass(frozen=True, slots=True)
class Library:
    """What is used of picamera2: classes, and whether it takes this board for one with hardware."""

    picamera: Any
    hardware_encoder: Any
    software_encoder: Any
    output: Any
    mapped_array: Any
    expects_hardware: bool


def has_hardware(library: Library) -> bool:
    """Whether this board has the hardware encoder. picamera2 takes every machine for a Pi 4 that is none it knows, so
    the device must be there too, and turn pictures into others.
    """
    return library.expects_hardware and _is_encoder(HARDWARE)


def _is_encoder(node: str) -> bool:
    import fcntl

    import videodev2

    try:
        fd = os.open(node, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        about = videodev2.v4l2_capability()
        fcntl.ioctl(fd, videodev2.VIDIOC_QUERYCAP, about)
    except OSError:
        return False
    finally:
        os.close(fd)
    capabilities = about.device_caps or about.capabilities
    return bool(capabilities & videodev2.V4L2_CAP_VIDEO_M2M_MPLANE)


def make(
    library: Library,
    coding: Coding,
    deliver: Deliver,
    failed: Callable[[Exception], None],
    done: Callable[[], None],
) -> Any:
    """The encoder of this board, ready for `start_encoder`. What `deliver` raises, and what goes wrong in the encoder,
    `failed` hears: picamera2's own thread would die of it unheard. `done` is called as it lets go of that thread after
    each picture: software has encoded it by then, hardware has it in a buffer.
    """
    encoder = _hardware(library, coding) if has_hardware(library) else _software(library, coding)
    encode = encoder._encode

    def guarded(stream: Any, request: Any) -> None:
        try:
            encode(stream, request)
        except Exception as err:
            failed(err)
        finally:
            done()

    encoder._encode = guarded
    encoder.output = _output(library, encoder, deliver, failed)
    return encoder


def _hardware(library: Library, coding: Coding) -> Any:
    encoder = library.hardware_encoder
    return encoder(bitrate=coding.bitrate_kbps * 1000, repeat=True, iperiod=_period(encoder, coding), profile="high")


def _software(library: Library, coding: Coding) -> Any:
    from av.codec.context import ThreadType
    from av.video.frame import PictureType

    class Software(library.software_encoder):  # type: ignore[misc,name-defined]
        """With slices for threads, since whole pictures for threads each come a picture later; with the ceiling on any
        one second that the product's own encoder keeps; and with key frames when asked: picamera2 0.3.38 asks PyAV for
        one by a letter, where PyAV 18 wants a number.
        """

        _key_frames_requested: int
        _key_frames_generated: int

        def _start(self) -> None:
            super()._start()
            context = self._stream.codec_context
            context.thread_type = ThreadType.SLICE
            if coding.colours in COLOURS:
                said = COLOURS[coding.colours]
                context.color_primaries, context.color_trc, context.colorspace, context.color_range = said
            context.options["forced-idr"] = "1"
            context.options["sc_threshold"] = "0"
            context.options["maxrate"] = str(round(PEAK_RATE * coding.bitrate_kbps * 1000))
            context.options["bufsize"] = str(coding.bitrate_kbps * 1000)

        def _encode(self, stream: Any, request: Any) -> None:
            request.acquire()
            try:
                with library.mapped_array(request, stream) as mapped:
                    picture = picture_of(mapped.array, self._av_input_format, (self.width, self.height))
                    picture.pts = self._timestamp(request)
                    key = self._key_frames_requested > self._key_frames_generated
                    self._key_frames_generated = self._key_frames_requested
                    picture.pict_type = PictureType.I if key else PictureType.NONE
                    # x264 has copied the picture when this returns.
                    for packet in self._stream.encode(picture):
                        self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts, packet=packet)
            finally:
                request.release()

    period = _period(library.software_encoder, coding)
    encoder = Software(bitrate=coding.bitrate_kbps * 1000, repeat=True, iperiod=period, framerate=coding.fps)
    encoder.preset = coding.preset
    encoder.threads = 1 if coding.pixels <= _ONE_THREAD_PIXELS else min(_MOST_THREADS, os.cpu_count() or 1)
    return encoder


def _period(encoder: type, coding: Coding) -> int:
    """Pictures from key frame to key frame. Where one can be asked for, that is done by the stamps, and this only
    stands behind it; where none can, it holds at the lowest rate.
    """
    if hasattr(encoder, "force_key_frame"):
        return math.ceil(coding.gop_s * coding.fps * 5 / 4)
    return max(1, math.floor(coding.gop_s * coding.lowest_fps))


def _output(library: Library, encoder: Any, deliver: Deliver, failed: Callable[[Exception], None]) -> Any:
    class Units(library.output):  # type: ignore[misc,name-defined]
        """None of picamera2's own: those close on an error and silently go on, or stamp anew."""

        def outputframe(
            self,
            frame: Any,
            keyframe: bool = True,
            timestamp: int | None = None,
            packet: Any = None,
            audio: bool = False,
        ) -> None:
            try:
                # The encoder counts from its first picture on, whose stamp it keeps.
                deliver(bytes(frame), encoder.firsttimestamp + (timestamp or 0))
            except Exception as err:
                failed(err)

    return Units()


def force_key(encoder: Any) -> bool:
    """False where this encoder cannot be asked."""
    force = getattr(encoder, "force_key_frame", None)
    if force is None:
        return False
    force()
    return True


def set_bitrate(encoder: Any, bitrate_kbps: int) -> None:
    """While it runs, without new parameter sets. Raises DeviceError."""
    device = getattr(encoder, "vd", None)
    try:
        if device is None:
            # libavcodec hands a changed bit_rate on to x264 before the next picture (libx264.c, reconfig_encoder).
            encoder._stream.codec_context.bit_rate = bitrate_kbps * 1000
        else:
            _set_control(device, bitrate_kbps * 1000)
    except (OSError, AttributeError, ValueError) as err:
        raise DeviceError(f"the encoder does not take {bitrate_kbps} kbit/s while it runs: {err}") from err


def _set_control(device: Any, bits: int) -> None:
    import fcntl

    import videodev2

    control = videodev2.v4l2_control()
    control.id, control.value = videodev2.V4L2_CID_MPEG_VIDEO_BITRATE, bits
    fcntl.ioctl(device, videodev2.VIDIOC_S_CTRL, control)
