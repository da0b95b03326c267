"""The twin of a lens that encodes by itself: access units made beforehand by a process of their own, handed out at
their pace. No picture and no encoder is in this process, as with a camera whose hardware encodes.

Each second is one group of pictures that begins with an IDR, its parameter sets in front. The pictures are those of the
synthetic camera with grain on them, so that they take the bitrate that is asked for; flash and beep keep in step.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from functools import lru_cache

from agent.capture.base import DeliverUnit, See, Signal, monotonic_ns
from agent.capture.pacing import Epoch, PacedThread
from agent.errors import DeviceError
from agent.model import NS, AccessUnit

SECONDS = 2
"""Of pictures, played over and over."""
MAKE_S = 60.0
HEAD = struct.Struct(">I")
"""In front of each access unit that the maker writes: its length."""

Second = tuple[bytes, ...]


class EncodedCamera:
    """A live EncodedSource. Raises DeviceError from `start` where its pictures cannot be made."""

    live = True
    doubtful_frames = 0
    shows = False
    behind = False

    def __init__(
        self, width: int = 1280, height: int = 720, fps: int = 30, bitrate_kbps: int = 4000, epoch: Epoch | None = None
    ) -> None:
        self.name = f"encoded twin {width}x{height} at {fps} fps"
        self.fps = float(fps)
        self.dropped_frames = 0
        self._size = (width, height)
        self._wanted = (fps, bitrate_kbps)
        self._epoch = epoch or Epoch()
        self._thread: PacedThread | None = None

    def start(self, deliver: DeliverUnit, signal: Signal, see: See | None = None) -> None:
        self._deliver = deliver
        self._seconds = make(*self._size, *self._wanted)
        self._thread = PacedThread("encoded-camera", self._run, signal)
        self._thread.start()

    def request_key(self) -> bool:
        """What is made already cannot be asked for anything."""
        return False

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        """From the next second that begins after the pictures were made; they are made aside."""
        wanted = (fps or round(self.fps), bitrate_kbps)
        self._wanted = wanted

        def change() -> None:
            seconds = make(*self._size, *wanted)
            if wanted == self._wanted:
                self._seconds = seconds

        threading.Thread(target=change, name="encoded-camera-rate", daemon=True).start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._thread is None or self._thread.stop(deadline_s)

    def _run(self, thread: PacedThread) -> None:
        epoch_ns, sequence = self._epoch.mono_ns(), 0
        second = max(0, (monotonic_ns() - epoch_ns) // NS)
        while not thread.stopping:
            units = self._seconds[second % SECONDS]
            begin_ns = epoch_ns + second * NS
            if monotonic_ns() - begin_ns > 2 * NS:
                # The machine stood still: a camera would have lost these pictures, so does its twin.
                self.dropped_frames += len(units)
                second += 1
                continue
            for number, unit in enumerate(units):
                mono_ns = begin_ns + number * NS // len(units)
                if not thread.wait_until(mono_ns):
                    return
                self._deliver(AccessUnit(mono_ns, sequence, unit))
                sequence += 1
            second += 1


@lru_cache(maxsize=2)
def make(width: int, height: int, fps: int, bitrate_kbps: int) -> tuple[Second, ...]:
    """SECONDS groups of pictures, each of `fps` access units. Raises DeviceError."""
    asked = [str(number) for number in (width, height, fps, bitrate_kbps)]
    try:
        made = subprocess.run(
            [sys.executable, "-m", "agent.capture.encodedmaker", *asked],
            capture_output=True,
            timeout=MAKE_S,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as err:
        told = (getattr(err, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        why = told[-1] if told else str(err)
        raise DeviceError(f"the pictures of the encoded twin cannot be made: {why}", "check [video]") from err
    units = _units(made)
    if len(units) != SECONDS * fps:
        raise DeviceError(f"the encoded twin made {len(units)} pictures, not {SECONDS * fps}", "report this")
    return tuple(tuple(units[n : n + fps]) for n in range(0, len(units), fps))


def _units(made: bytes) -> list[bytes]:
    units, at = [], 0
    while at < len(made):
        (size,) = HEAD.unpack_from(made, at)
        at += HEAD.size
        units.append(made[at : at + size])
        at += size
    return units
