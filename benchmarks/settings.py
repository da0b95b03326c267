"""What all sides are asked to do, once: the recorder's defaults, spelled for libx264 as agent/media/encoder.py spells
them.
"""

from __future__ import annotations

from agent.config import AudioConfig, RecordingConfig, VideoConfig

_VIDEO = VideoConfig(source="synthetic")
VIDEO_KBPS = _VIDEO.bitrate_kbps
AUDIO_KBPS = AudioConfig(source="none").bitrate_kbps
PART_MS, SEGMENT_S = RecordingConfig().part_ms, RecordingConfig().segment_s
FPS, SOUND_HZ = 30, 48_000
MOVFLAGS = "frag_keyframe+delay_moov+default_base_moof"
X264 = {
    "preset": _VIDEO.preset,
    "tune": "zerolatency",
    "g": str(_VIDEO.gop_s * FPS),
    "sc_threshold": "0",
    "maxrate": str(VIDEO_KBPS * 1500),
    "bufsize": str(VIDEO_KBPS * 1000),
}
