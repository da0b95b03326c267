"""What all sides are asked to do, once: the recorder's defaults, spelled for libx264 as agent/media/encoder.py spells
them.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.config import AudioConfig, RecordingConfig, VideoConfig
from agent.media.encoder import threads_for

_VIDEO = VideoConfig(source="synthetic")
VIDEO_KBPS = _VIDEO.bitrate_kbps
AUDIO_KBPS = AudioConfig(source="none").bitrate_kbps
PART_MS, SEGMENT_S = RecordingConfig().part_ms, RecordingConfig().segment_s
FPS, SOUND_HZ = 30, 48_000
MOVFLAGS = "frag_keyframe+delay_moov+default_base_moof"


@dataclass(frozen=True, slots=True)
class Shape:
    """The picture of all sides; `threads` are x264's."""

    width: int
    height: int
    kbps: int
    threads: int

    @property
    def name(self) -> str:
        return f"{self.height}p{FPS}"

    def x264(self) -> dict[str, str]:
        return {
            "preset": _VIDEO.preset,
            "tune": "zerolatency",
            "g": str(_VIDEO.gop_s * FPS),
            "sc_threshold": "0",
            "maxrate": str(self.kbps * 1500),
            "bufsize": str(self.kbps * 1000),
        }


HD = Shape(1280, 720, VIDEO_KBPS, threads_for(1280 * 720))
FULL_HD = Shape(1920, 1080, 8000, threads_for(1920 * 1080))
