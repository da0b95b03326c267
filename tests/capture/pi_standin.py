"""picamera2 with one camera that misbehaves as written (agent/capture/scripted.py), at the seam where the driver meets
it: requests with the sensor's stamps on their way to an encoder, and what the encoder gives. Its pictures are those of
the encoded twin, so that they decode.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent.capture import picamera, piencoder
from agent.capture.encoded import make
from agent.capture.picamera import PiCamera
from agent.capture.piencoder import Library
from agent.capture.scripted import HOUR_NS
from agent.model import NS

WIDTH, HEIGHT, FPS = 320, 180, 30
OTHER = (192, 128)
"""Another size, from the letter f on."""


BUFFERS = 6
"""So many pictures wait for a slow encoder; those that find none of these are lost in front of picamera2."""


class HardwareEncoder:
    """A picture in, an access unit out; one whose picture never came refers to nothing that is lost."""

    def __init__(self, **asked: Any) -> None:
        self.asked, self.keys_asked = asked, 0
        self.takes_s = 0.0
        """So long it is at each picture, on the thread that brings the next, as x264 is."""
        self.output: Any = None
        self.firsttimestamp: int | None = None
        self._units = units_by_size()
        self._given = 0

    def force_key_frame(self) -> None:
        self.keys_asked += 1

    def _encode(self, stream: str, request: Request) -> None:
        if self.takes_s:
            time.sleep(self.takes_s)
        if request.letter == "u":
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        stamp_us = request.stamp_ns // 1000
        self.firsttimestamp = stamp_us if self.firsttimestamp is None else self.firsttimestamp
        units = self._units[OTHER if request.changed else (WIDTH, HEIGHT)]
        data = b"" if request.letter == "z" else units[self._given % len(units)]
        self._given += request.letter != "z"
        self.output.outputframe(data, timestamp=stamp_us - self.firsttimestamp)


@cache
def units_by_size() -> dict[tuple[int, int], list[bytes]]:
    """What it gives for its pictures; to make them costs processes of their own, and no encoder's time to open."""
    return {size: [unit for second in make(*size, FPS, 800) for unit in second] for size in ((WIDTH, HEIGHT), OTHER)}


class Request:
    def __init__(self, stamp_ns: int, letter: str, changed: bool, takes_ns: int | None) -> None:
        self.stamp_ns, self.letter, self.changed, self.takes_ns = stamp_ns, letter, changed, takes_ns
        self.config = {"main": {"format": "YUV420", "size": (WIDTH, HEIGHT), "stride": WIDTH}}
        # Something is in front of the lens, and moves.
        self.array = np.random.default_rng(stamp_ns % NS).integers(40, 200, WIDTH * HEIGHT * 3 // 2, np.uint8)


@contextmanager
def mapped(request: Request, stream: str, reshape: bool = False) -> Any:
    yield request


class FaultyPicamera2:
    """`fps` is how many pictures a second its sensor really gives, whatever is asked of it; with `lag`, until so many
    pictures after it was asked for others. `takes_s` is how long its encoder takes for each; `lost` is what that cost.
    With `says` the sensor tells with each how long it takes for one.
    """

    def __init__(
        self, script: str, fps: int = FPS, lag: int | None = None, takes_s: float = 0.0, says: bool = False
    ) -> None:
        self.lost, self._takes_s, self._says = 0, takes_s, says
        self._script, self._period_ns, self._lag = script, NS // fps, lag
        self._follows: list[tuple[int, int]] = []
        self.pre_callback: Any = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faulty-picamera2", daemon=True)
        self._last_ns, self._changed, self._number = 0, False, -1

    def create_video_configuration(self, **asked: Any) -> dict[str, Any]:
        return asked

    def configure(self, config: dict[str, Any]) -> None:
        self._config = config

    def camera_configuration(self) -> dict[str, Any]:
        return self._config

    def set_controls(self, controls: dict[str, Any]) -> None:
        if self._lag is not None:
            self._follows.append((self._number + 1 + self._lag, 1000 * int(controls["FrameDurationLimits"][0])))

    def start_encoder(self, encoder: HardwareEncoder) -> None:
        self.encoder = encoder
        encoder.takes_s = self._takes_s

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def stop_encoder(self) -> None: ...
    def close(self) -> None: ...

    def _run(self) -> None:
        """One regular picture lies before the script: the first, from which the encoder counts."""
        held = list[Request]()
        for at_ns in self._instants():
            if self._end.wait(max(0.0, (at_ns - time.monotonic_ns()) / NS)):
                return
            letter = self._script[self._number - 1] if 0 < self._number <= len(self._script) else "r"
            if letter in "ds":
                continue
            if self._takes_s and time.monotonic_ns() - at_ns > BUFFERS * self._period_ns:
                self.lost += 1
                continue
            self._changed = self._changed or letter == "f"
            takes_ns = self._period_ns if self._says else None
            held.append(Request(self._stamp(letter, at_ns), letter, self._changed, takes_ns))
            if letter == "h":
                continue
            for request in held:
                self.pre_callback(request)
                self.encoder._encode("main", request)
            held.clear()
            if letter == "u":
                return

    def _instants(self) -> Iterator[int]:
        at_ns = time.monotonic_ns()
        while True:
            self._number += 1
            yield at_ns
            while self._follows and self._follows[0][0] <= self._number:
                self._period_ns = self._follows.pop(0)[1]
            at_ns += self._period_ns

    def _stamp(self, letter: str, at_ns: int) -> int:
        shift_ns = {"b": -NS, "w": HOUR_NS, "p": -HOUR_NS}.get(letter, 0)
        self._last_ns = self._last_ns if letter == "e" else at_ns + shift_ns
        return self._last_ns


def pi_camera(
    script: str,
    patch: pytest.MonkeyPatch,
    fps: int = FPS,
    made: list[FaultyPicamera2] | None = None,
    lag: int | None = None,
    takes_s: float = 0.0,
    says: bool = False,
) -> PiCamera:
    """The driver over it, which asks for FPS pictures a second; what it opens is in `made`."""
    library = Library(None, HardwareEncoder, None, SimpleNamespace, mapped, True)
    patch.setattr(picamera, "load", lambda: library)
    patch.setattr(picamera, "_format_of", lambda camera: "YUV420")
    patch.setattr(picamera, "_sensor_stamp", lambda request: request.stamp_ns)
    patch.setattr(picamera, "_takes_ns", lambda request: request.takes_ns)
    patch.setattr(piencoder, "has_hardware", lambda library: True)
    patch.setattr(piencoder, "set_bitrate", lambda encoder, bitrate_kbps: None)
    opened = [] if made is None else made
    units_by_size()

    def open_camera() -> FaultyPicamera2:
        opened.append(FaultyPicamera2(script, fps, lag, takes_s, says))
        return opened[-1]

    return PiCamera(WIDTH, HEIGHT, FPS, 800, open_camera=open_camera)
