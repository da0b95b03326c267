"""Values that rooms hand to each other. Frozen, small, with units in their names; no behaviour beyond arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

RecordingId = NewType("RecordingId", str)
SegmentName = NewType("SegmentName", str)

VIDEO_HZ = 90_000
"""Ticks a second of every video PTS (ISO 14496-12 movie practice; exact for 24, 25, 30, 50 and 60 fps)."""
AUDIO_HZ = 48_000
"""Sample rate of all sound in the product, and ticks a second of every audio PTS."""
NS = 1_000_000_000
PEAK_RATE = 1.5
"""While much moves H.264 may take so many times its mean bitrate on end (x264's `maxrate`), and a second of the mean at
once besides (`bufsize`): that is what has to fit.
"""
LANGUAGES = ("en", "fr", "ar")
"""In which the officer is told things in words; tags have them, too."""

CAMERA_NAME_CHARS = 27
"""A session certificate's common name is camera, space, boot id (36 characters), and may have 64 (RFC 5280, appendix
A.1, ub-common-name)."""
CAMERA_NAME = re.compile(rf"[a-z0-9-]{{1,{CAMERA_NAME_CHARS}}}")
CAMERA_NAME_FORM = f"1 to {CAMERA_NAME_CHARS} of a-z, 0-9 and -"
MOST_LATENCY_MS = 200
"""What is seen, or heard, that much later is told as not durable two seconds after it happened, at the latest."""


class Member(Enum):
    """Each is there once, so it hashes as any object does: Enum's own hash is a function in Python, and the panel's
    thread asks for four thousand a second (patterns, lines, gestures).
    """

    __hash__ = object.__hash__


class Track(Enum):
    """The two tracks of a recording."""

    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One access unit of H.264 (Annex B) or one AAC frame (raw, no ADTS), on the intake's timeline.

    `pts` counts ticks (VIDEO_HZ or AUDIO_HZ) since the intake's zero, an instant on CLOCK_MONOTONIC. There are no
    B-frames, so dts equals pts. `key` marks an IDR; every audio packet is a key.
    """

    track: Track
    pts: int
    duration: int
    key: bool
    data: bytes

    @property
    def pts_ns(self) -> int:
        """Nanoseconds since the intake's zero."""
        return self.pts * NS // (VIDEO_HZ if self.track is Track.VIDEO else AUDIO_HZ)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a muxer must know before the first packet. `audio_extradata` is None where there is no sound track."""

    width: int
    height: int
    video_extradata: bytes
    audio_extradata: bytes | None
    zero_mono_ns: int


@dataclass(frozen=True, slots=True)
class MediaPart:
    """About half a second of fragmented MP4: whole moof + mdat boxes, cut by time; several `pieces` of that where they
    waited and were put together.

    `start_ns` is the presentation time of the earliest sample on the recording's timeline, `duration_ns` reaches
    to the end of the latest; `starts_with_idr` says whether the video of this part can be decoded alone.
    """

    number: int
    data: bytes
    start_ns: int
    duration_ns: int
    starts_with_idr: bool
    video_frames: int
    audio_samples: int
    pieces: int = 1


class SegmentState(Enum):
    """Where a segment is in its life; the value is the name of its directory in the spool."""

    OPEN = "open"
    SEALED = "sealed"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One picture as it came from the lens, on CLOCK_MONOTONIC.

    `picture` is an `av.VideoFrame`, yuv420p wherever the source can give it, so that it reaches the encoder without a
    conversion; whoever receives it owns it. `sequence` counts what the source captured, from 0; a missing number is a
    dropped frame.
    """

    mono_ns: int
    sequence: int
    picture: av.VideoFrame


@dataclass(frozen=True, slots=True)
class YuvPlanes:
    """A picture in 4:2:0 where a camera's driver holds it, before it is encoded: three arrays, rows by columns, that
    write through to it. Valid only while whoever gave them waits.
    """

    luma: Plane
    blue: Plane
    red: Plane


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture as the encoder of its own source gave it: H.264 in Annex B, parameter sets in front of each IDR, no
    B-frames; captured at `mono_ns` (CLOCK_MONOTONIC).

    `sequence` counts what that encoder gave, from 0: where a number is missing, what follows it cannot be decoded up to
    the next IDR. What was lost in front of the encoder is counted in `dropped_frames` and leaves no hole.
    """

    mono_ns: int
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """Some sound: `pcm` holds mono 16-bit little-endian samples at AUDIO_HZ, the first of them captured at `mono_ns`
    (CLOCK_MONOTONIC).
    """

    mono_ns: int
    pcm: bytes
