"""H.264 by libx264 and AAC, through PyAV: pictures and samples in, packets out, one packet the moment its picture is
done.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from agent.errors import DeviceError, reason
from agent.model import AUDIO_HZ, PEAK_RATE, VIDEO_HZ, EncodedPacket, Track

if TYPE_CHECKING:
    import av

AAC_FRAME = 1024
"""Samples in one AAC-LC frame; also the encoder's priming (ISO/IEC 14496-3)."""
ONE_THREAD_PIXELS = 1280 * 720
_ENDLESS_GOP = 1_000_000
_STEPS = 30


@dataclass(frozen=True, slots=True)
class H264Settings:
    """`gop_s` is measured on PTS, not in frames: with a variable rate, too, a key frame comes at least so often, unless
    one picture takes longer than all of the last 30 did, or pictures come more than a quarter of `gop_s` apart.

    `threads` 0 chooses: one up to 720p, for slices cost bits and switches; above, up to four.
    """

    bitrate_kbps: int = 4000
    preset: str = "superfast"
    gop_s: float = 1.0
    threads: int = 0


class H264Encoder:
    """One stream of access units in Annex B, parameter sets in `extradata`; no B-frames, no look-ahead, so each picture
    gives its packet at once.
    """

    def __init__(self, first: av.VideoFrame, fps: float, settings: H264Settings) -> None:
        import av
        from av.codec.context import Flags
        from av.video.frame import PictureType

        if first.width % 2 or first.height % 2:
            raise DeviceError(
                f"a picture of {first.width}x{first.height} cannot be encoded: width and height must be even",
                "choose another size in [video]; a clip: ffmpeg -i FILE -vf 'crop=trunc(iw/2)*2:trunc(ih/2)*2' OTHER",
            )
        self._key, self._any = PictureType.I, PictureType.NONE
        self._gop_ticks = round(settings.gop_s * VIDEO_HZ)
        self._usual_ticks = round(VIDEO_HZ / (fps or 30))
        self._time_base = Fraction(1, VIDEO_HZ)
        self._last_pts: int | None = None
        self._last_key_pts = 0
        self._steps: deque[int] = deque(maxlen=_STEPS)
        self._other_rate = False
        self.width, self.height = first.width, first.height
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = first.width, first.height, "yuv420p"
        encoder.time_base = self._time_base
        encoder.framerate = Fraction(fps or 30).limit_denominator(1001)
        encoder.bit_rate = settings.bitrate_kbps * 1000
        encoder.colorspace, encoder.color_range = first.colorspace, first.color_range
        encoder.color_primaries, encoder.color_trc = first.color_primaries, first.color_trc
        encoder.flags |= Flags.global_header
        encoder.thread_count = settings.threads or threads_for(first.width * first.height)
        encoder.options = {
            "preset": settings.preset,
            "tune": "zerolatency",
            "forced-idr": "1",
            "sc_threshold": "0",
            "g": str(_ENDLESS_GOP),
            # A ceiling on any one second, so that ring, segment and disk can be sized.
            "maxrate": str(round(PEAK_RATE * settings.bitrate_kbps * 1000)),
            "bufsize": str(settings.bitrate_kbps * 1000),
        }
        try:
            encoder.open()
        except av.error.FFmpegError as err:
            raise DeviceError(
                f"the H.264 encoder refuses {first.width}x{first.height} at {settings.bitrate_kbps} kbit/s: "
                f"{reason(err)}",
                "check width, height, bitrate and preset in [video]",
            ) from err
        self._encoder = encoder
        self.extradata = bytes(encoder.extradata or b"")

    def set_rate(self, bitrate_kbps: int, fps: float) -> None:
        """From the next picture on: another mean bitrate, at most the one it began with, for so many pictures a second.
        Parameter sets stay as they are: both may change in the middle of a recording.
        """
        # libavcodec hands a changed bit_rate on to x264 before the next picture (libx264.c, reconfig_encoder).
        self._encoder.bit_rate = bitrate_kbps * 1000
        self._usual_ticks = round(VIDEO_HZ / fps)
        self._steps.clear()
        self._other_rate = True

    def encode(self, picture: av.VideoFrame, pts: int) -> list[EncodedPacket]:
        """The packet of this picture, at `pts` ticks of VIDEO_HZ. Stamps that do not grow are moved on by one tick:
        the picture is kept.
        """
        last = self._last_pts
        if last is not None and pts <= last:
            pts = last + 1
        key = last is None or pts - self._last_key_pts + self._longest(pts - last) > self._gop_ticks
        if key:
            self._last_key_pts = pts
        self._last_pts = pts
        # A decoded picture still says which type it once was; x264 would obey.
        picture.pict_type = self._key if key else self._any
        picture.pts, picture.time_base = pts, self._time_base
        return [self._packet(packet) for packet in self._encoder.encode(picture)]

    def _longest(self, step: int) -> int:
        """How late the next picture may come, as the last ones did: then this one is the last that can be the key."""
        first, self._other_rate = self._other_rate, False
        if step <= self._gop_ticks // 4 and not first:
            # A longer one is a gap, which would make key frames of all that follow it; the first is of the rate before.
            self._steps.append(step)
        return max(self._usual_ticks, step, *self._steps)

    def flush(self) -> list[EncodedPacket]:
        """What is still inside; after it the encoder is done."""
        return [self._packet(packet) for packet in self._encoder.encode(None)]

    def _packet(self, packet: av.Packet) -> EncodedPacket:  # type: ignore[type-arg]
        pts = packet.pts if packet.pts is not None else self._last_pts or 0
        return EncodedPacket(Track.VIDEO, pts, self._usual_ticks, packet.is_keyframe, bytes(packet))


def threads_for(pixels: int) -> int:
    """How many of x264's, where none were asked for."""
    return 1 if pixels <= ONE_THREAD_PIXELS else min(4, os.cpu_count() or 1)


class AacEncoder:
    """One AAC-LC stream, mono, without ADTS; its packets' PTS count the samples they decode to."""

    def __init__(self, bitrate_kbps: int = 64) -> None:
        import av
        from av.codec.context import Flags

        encoder = av.CodecContext.create("aac", "w")
        encoder.sample_rate = AUDIO_HZ
        encoder.layout = "mono"
        encoder.format = "fltp"
        encoder.bit_rate = bitrate_kbps * 1000
        encoder.time_base = Fraction(1, AUDIO_HZ)
        encoder.flags |= Flags.global_header
        encoder.open()
        self._encoder = encoder
        self.extradata = bytes(encoder.extradata or b"")
        self._waiting = bytearray()
        self._next_sample: int | None = None

    def encode(self, first_sample: int, pcm: bytes) -> list[EncodedPacket]:
        """Append mono 16-bit samples; `first_sample` is where they lie (AUDIO_HZ ticks) and must continue the last
        call.
        """
        if self._next_sample is None:
            self._next_sample = first_sample
        if first_sample != self._next_sample + len(self._waiting) // 2:
            raise ValueError(f"sound for sample {first_sample} does not continue the stream")
        self._waiting += pcm
        # All whole frames in one go: each call into the encoder costs about as much as the frame itself.
        whole = len(self._waiting) // (AAC_FRAME * 2) * AAC_FRAME * 2
        if not whole:
            return []
        frames, self._waiting = bytes(self._waiting[:whole]), self._waiting[whole:]
        return self._encode_frames(frames)

    def flush(self) -> list[EncodedPacket]:
        """The samples that wait for a full frame, then what the encoder holds; after it the encoder is done."""
        packets = []
        if self._waiting:
            packets += self._encode_frames(bytes(self._waiting))
            self._waiting.clear()
        return packets + [self._packet(packet) for packet in self._encoder.encode(None)]

    def _encode_frames(self, pcm: bytes) -> list[EncodedPacket]:
        """PyAV hands 16-bit samples on as the floats that the encoder wants, in frames of its size."""
        import av

        frame = av.AudioFrame(format="s16", layout="mono", samples=len(pcm) // 2)
        frame.planes[0].update(pcm)
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, self._next_sample, Fraction(1, AUDIO_HZ)
        self._next_sample = (self._next_sample or 0) + len(pcm) // 2
        return [self._packet(packet) for packet in self._encoder.encode(frame)]

    def _packet(self, packet: av.Packet) -> EncodedPacket:  # type: ignore[type-arg]
        return EncodedPacket(Track.AUDIO, packet.pts or 0, AAC_FRAME, True, bytes(packet))
