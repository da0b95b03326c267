"""What the intake is told and what it tells: settings, events, counters. Values only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum

from agent.capture.watch import Watched
from agent.config import Config
from agent.configtogether import ring_s

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """`encoder_threads` 0 lets the encoder choose by picture size. The latencies are by how much stamps are later than
    what they stamp: they are taken off where stamps enter the timeline.
    """

    bitrate_kbps: int = 4000
    preset: str = "superfast"
    gop_s: float = 1.0
    encoder_threads: int = 0
    audio_kbps: int = 64
    pre_event_s: float = 30.0
    ring_bytes: int = 48 << 20
    watch: bool = True
    picture_latency_ns: int = 0
    sound_latency_ns: int = 0

    @classmethod
    def of(cls, config: Config) -> IntakeSettings:
        """The intake's share of the configuration."""
        return cls(
            bitrate_kbps=config.video.bitrate_kbps,
            preset=config.video.preset,
            gop_s=config.video.gop_s,
            audio_kbps=config.audio.bitrate_kbps,
            pre_event_s=ring_s(config.recording),
            ring_bytes=config.recording.ring_mib << 20,
            watch=config.watch.enabled,
            picture_latency_ns=config.video.latency_ms * MS,
            sound_latency_ns=config.audio.latency_ms * MS,
        )


class IntakeEventKind(Enum):
    """The value is the type written into leaves."""

    MICROPHONE_LOST = "microphone.lost"
    MICROPHONE_BACK = "microphone.back"
    CAMERA_LOST = "camera.lost"
    CAMERA_BACK = "camera.back"
    SOURCE_ENDED = "source.ended"
    OVERLOAD = "overload.begin"
    OVERLOAD_OVER = "overload.end"
    SINK_FAILED = "sink.failed"
    LENS_COVERED = "lens.covered"
    LENS_CLEAR = "lens.clear"
    PICTURE_FROZEN = "picture.frozen"
    PICTURE_MOVES = "picture.moves"
    MICROPHONE_DEAF = "microphone.deaf"
    MICROPHONE_HEARS = "microphone.hears"
    MICROPHONE_CLIPPED = "microphone.clipped"
    MICROPHONE_CLEAN = "microphone.clean"
    CAMERA_IRREGULAR = "camera.irregular"
    CAMERA_REGULAR = "camera.regular"
    MICROPHONE_IRREGULAR = "microphone.irregular"
    MICROPHONE_REGULAR = "microphone.regular"


def watches(settings: IntakeSettings, live: bool) -> bool:
    """Whether what comes from a source is looked at: a clip may well show nothing, or the same for long."""
    return settings.watch and live


WATCHED = {
    (Watched.COVERED, True): (IntakeEventKind.LENS_COVERED, "nothing can be seen: the lens is covered, or it is dark"),
    (Watched.COVERED, False): (IntakeEventKind.LENS_CLEAR, "something can be seen again"),
    (Watched.FROZEN, True): (IntakeEventKind.PICTURE_FROZEN, "the camera gives the same picture over and over"),
    (Watched.FROZEN, False): (IntakeEventKind.PICTURE_MOVES, "the camera gives new pictures again"),
    (Watched.DEAF, True): (IntakeEventKind.MICROPHONE_DEAF, "the microphone gives nothing but digital silence"),
    (Watched.DEAF, False): (IntakeEventKind.MICROPHONE_HEARS, "the microphone hears something again"),
    (Watched.CLIPPED, True): (
        IntakeEventKind.MICROPHONE_CLIPPED,
        "too loud for the volume it is set to, the sound is cut off: a lower [audio] capture_percent",
    ),
    (Watched.CLIPPED, False): (IntakeEventKind.MICROPHONE_CLEAN, "the sound is no longer cut off"),
}
"""What the watch over lens and microphone finds (capture/watch.py), as it is told."""
_FAULTS = {
    IntakeEventKind.MICROPHONE_LOST: "microphone",
    IntakeEventKind.CAMERA_LOST: "camera",
    IntakeEventKind.OVERLOAD: "overload",
    IntakeEventKind.SINK_FAILED: "recording",
    IntakeEventKind.LENS_COVERED: "lens",
    IntakeEventKind.PICTURE_FROZEN: "picture",
    IntakeEventKind.MICROPHONE_DEAF: "sound",
    IntakeEventKind.MICROPHONE_CLIPPED: "clipping",
}
INTAKE_FAULTS = frozenset(_FAULTS.values())
"""The names of the faults that an intake raises and clears: they are its own, and end with it."""
_CLEARS = {
    IntakeEventKind.MICROPHONE_BACK: "microphone",
    IntakeEventKind.CAMERA_BACK: "camera",
    IntakeEventKind.OVERLOAD_OVER: "overload",
    IntakeEventKind.LENS_CLEAR: "lens",
    IntakeEventKind.PICTURE_MOVES: "picture",
    IntakeEventKind.MICROPHONE_HEARS: "sound",
    IntakeEventKind.MICROPHONE_CLEAN: "clipping",
}


@dataclass(frozen=True, slots=True)
class IntakeEvent:
    """Something the log should hold. `mono_ns` is when it began, not when it was noticed; `detail` is for people."""

    kind: IntakeEventKind
    mono_ns: int
    detail: str

    @property
    def type(self) -> str:
        return self.kind.value

    @property
    def fault(self) -> str:
        """The name of the fault that begins here, or nothing."""
        return _FAULTS.get(self.kind, "")

    @property
    def clears(self) -> str:
        """The name of the fault that ends here, or nothing."""
        return _CLEARS.get(self.kind, "")

    @property
    def fails_sink(self) -> bool:
        """True where what records these packets takes no more."""
        return self.kind is IntakeEventKind.SINK_FAILED

    @property
    def ends_source(self) -> bool:
        """True where no picture will ever come again."""
        return self.kind is IntakeEventKind.SOURCE_ENDED


@dataclass(frozen=True, slots=True)
class IntakeCounters:
    """Since start. captured = encoded + dropped + left out (on purpose, at a lower rate) + what waits; `device_drops`
    were lost before they reached us; `doubtful_drops` are those of them that only a gap between stamps speaks
    of, so they may never have been captured. A/V offsets are of placed sound against its capture stamps (pictures lie
    exactly on theirs). `sound_drift_ppm` is the sound card's crystal as measured, + where it is slow;
    `sound_corrections` are jumps, beside the drift that is drawn out. Stamps that were replaced did not rise, or were
    of no clock (stamps.py); those of a clock that was set for good are moved all together, and not counted (steps.py).
    """

    frames_captured: int
    frames_encoded: int
    frames_dropped: int
    device_drops: int
    doubtful_drops: int
    frames_left_out: int
    stamps_replaced: int
    fps: float
    av_offset_mean_ms: float
    av_offset_max_ms: float
    silence_ms: float
    sound_gaps: int
    sound_overlaps: int
    sound_corrections: int
    sound_drift_ppm: float
    sound_blocks_dropped: int
    sound_stamps_replaced: int
    packets_lost: int
    ring_s: float
    ring_bytes: int

    def to_dict(self) -> dict[str, int | float]:
        return asdict(self)
