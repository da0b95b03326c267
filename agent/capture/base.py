"""What every lens and every microphone promises. One file touches each device; its twin passes the same tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

from agent.model import AccessUnit, AudioBlock, VideoFrame, YuvPlanes


class SignalKind(Enum):
    """How a source says that no more comes: the clip is over, the device is gone, or it failed."""

    ENDED = "ended"
    LOST = "lost"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class SourceSignal:
    """One such word, with the instant (CLOCK_MONOTONIC) and the reason for people."""

    kind: SignalKind
    mono_ns: int
    detail: str


DeliverFrame = Callable[[VideoFrame], None]
DeliverUnit = Callable[[AccessUnit], None]
DeliverSound = Callable[[AudioBlock], None]
See = Callable[[YuvPlanes, int], None]
"""Looks at a picture before its encoder, stamped on CLOCK_MONOTONIC, and may write on it. Quick, raises nothing."""
Signal = Callable[[SourceSignal], None]


class VideoSource(Protocol):
    """A lens. It lives once: start, then stop.

    Frames come on a thread of the source's own, in order, stamped on CLOCK_MONOTONIC. A live source cannot wait: it
    never blocks in `deliver` for long, whoever receives must drop and count. A source that is not live (a clip) may be
    held up in `deliver`; its stamps keep their own pace, so nothing is lost.
    """

    @property
    def name(self) -> str:
        """The device in words."""

    @property
    def live(self) -> bool:
        """True where the source cannot wait for the encoder."""

    @property
    def fps(self) -> float:
        """Nominal frame rate, for rate control and the duration of a last frame; never for stamps."""

    @property
    def dropped_frames(self) -> int:
        """Frames that the device captured and this source could not deliver, as far as the device lets on."""

    @property
    def doubtful_frames(self) -> int:
        """Of those, such as only a gap between stamps speaks of: they were lost, or the device captured none, as one
        does that takes longer for each in the dark. Counted before the others.
        """

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        """Open the device and begin. Raises DeviceError where it is missing, busy or unusable."""

    def stop(self, deadline_s: float = 2.0) -> bool:
        """End delivery and give the device back. False where it did not let go in time; never waits longer."""


@runtime_checkable
class EncodedSource(Protocol):
    """A lens that encodes by itself, as a camera's own hardware does: what VideoSource promises, with access units in
    place of frames. Its parameter sets do not change between start and stop; a key frame comes at least each `gop_s`.
    """

    @property
    def name(self) -> str: ...

    @property
    def live(self) -> bool: ...

    @property
    def fps(self) -> float: ...

    @property
    def dropped_frames(self) -> int: ...

    @property
    def doubtful_frames(self) -> int: ...

    @property
    def shows(self) -> bool:
        """Whether pictures pass through this process in front of the encoder, so that `see` is called."""

    @property
    def behind(self) -> bool:
        """Whether what is done with each picture now takes longer than the camera does; from any thread."""

    def start(self, deliver: DeliverUnit, signal: Signal, see: See | None = None) -> None:
        """As VideoSource. `see` is given each picture in front of the encoder, on a thread of the source's own."""

    def request_key(self) -> bool:
        """Ask for a key frame now, from any thread; False where this encoder cannot be asked, and one comes by itself
        within its period.
        """

    def set_rate(self, bitrate_kbps: int, fps: int) -> None:
        """Other rates from now on, without a change of parameter sets; from any thread, while it runs. 0 for the
        nominal frame rate. Takes effect within a second or so. Raises DeviceError where it cannot be done.
        """

    def stop(self, deadline_s: float = 2.0) -> bool: ...


class AudioSource(Protocol):
    """A microphone; as VideoSource, with blocks of sound. A live one that falls silent is the receiver's to notice."""

    @property
    def name(self) -> str: ...

    @property
    def live(self) -> bool: ...

    @property
    def dropped_blocks(self) -> int:
        """How often the device reported lost sound (overrun)."""

    def start(self, deliver: DeliverSound, signal: Signal) -> None: ...

    def stop(self, deadline_s: float = 2.0) -> bool: ...


def monotonic_ns() -> int:
    """Now, on the timeline of capture."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
