"""The configuration: one frozen Config, read once, strictly: unknown keys are errors, all mistakes come together.

Each key stands here once, with its rule, its meaning and, where one is safe, its default; config/agent.toml is written
from that. No secret is ever in it: only paths to keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from agent import configfile, configtogether
from agent.configcare import LadderConfig as LadderConfig
from agent.configcare import PowerConfig as PowerConfig
from agent.configcare import WatchConfig as WatchConfig
from agent.configcontrols import GesturesConfig, PanelConfig, SignalsConfig
from agent.configdock import DockConfig as DockConfig
from agent.configrules import (
    AUTO,
    AutoWhole,
    FilePath,
    Flag,
    Key,
    KeyPlace,
    MaybeWhole,
    SigningKey,
    Text,
    TextList,
    TpmHandle,
    TpmIndex,
    VideoSource,
    Whole,
    Wrong,
    one_of,
)
from agent.errors import ConfigError
from agent.model import CAMERA_NAME, CAMERA_NAME_FORM, LANGUAGES, MOST_LATENCY_MS

SOCKET_PATH_BYTES = 107
"""sockaddr_un takes these and a NUL (unix(7))."""
_ETC = "/etc/bodycam-agent"
_PEM = FilePath("PEM file")
_RECIPIENT = Text(
    "an age recipient (age1 and 58 characters, or age1pq1 and 1952)",
    r"age1[02-9ac-hj-np-z]{58}|age1pq1[02-9ac-hj-np-z]{1952}",
    max_chars=2000,
)


class _Recipients(TextList):
    """Of one kind: the age specification forbids to mix, since a file is no stronger than its weakest recipient."""

    def read(self, value: object, base_dir: Path) -> tuple[str, ...]:
        items = super().read(value, base_dir)
        if len({item.startswith("age1pq1") for item in items}) > 1:
            raise ValueError("mixes post-quantum recipients (age1pq1...) with others: name recipients of one kind")
        return items


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """Who this camera is."""

    id: Annotated[
        str,
        Key(
            Text(CAMERA_NAME_FORM, CAMERA_NAME.pattern),
            "The camera's name in every leaf, certificate and log: never given to another device.",
            example="cam-0001",
        ),
    ]
    unit: Annotated[str, Key(Text("any text", r".*", 100), "The unit it belongs to, for people.")] = ""
    timezone: Annotated[
        str,
        Key(
            Text(
                'an IANA time zone, or "" for this machine\'s',
                r"([A-Za-z][A-Za-z0-9_+-]{0,30}(/[A-Za-z0-9_+-]{1,30}){0,2})?",
            ),
            "The zone in which times are shown to people, like Africa/Casablanca. Files hold UTC in any case.",
        ),
    ] = ""
    language: Annotated[
        str,
        Key(one_of(*LANGUAGES), "The language of what the officer is told in words (`words` of `ctl status`)."),
    ] = "en"
    log_name: Annotated[
        str,
        Key(
            Text("a host name: letters, digits, dots and -", r"[A-Za-z0-9.-]{1,100}"),
            "Who runs the logs, the first part of their origin: the same for all cameras of an agency.",
        ),
    ] = "bodycam.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoConfig:
    """The picture. A clip keeps its own size and pace."""

    source: Annotated[str, Key(VideoSource(), "Where the picture comes from.", example="picamera")]
    width: Annotated[
        int,
        Key(
            AutoWhole("pixels", 160, 3840, 2),
            "Width of the picture; auto: 1920x1080 of a Pi camera, on a Zero 2 W and of all else 1280x720.",
        ),
    ] = AUTO
    height: Annotated[int, Key(AutoWhole("pixels", 120, 2160, 2), "Height of the picture; auto with the width.")] = AUTO
    fps: Annotated[int, Key(Whole("frames per second", 1, 60), "Frame rate asked of the camera.")] = 30
    pixel_format: Annotated[
        str,
        Key(one_of("auto", "mjpg", "yuyv"), "What a webcam sends; auto takes MJPG where it is offered, else YUYV."),
    ] = "auto"
    bitrate_kbps: Annotated[int, Key(Whole("kbit/s", 100, 50_000), "Mean bitrate of H.264.")] = 4000
    preset: Annotated[
        str,
        Key(
            one_of("ultrafast", "superfast", "veryfast", "faster", "fast", "medium"),
            "Preset of the software encoder, x264: slower costs CPU and gives a better picture.",
        ),
    ] = "superfast"
    gop_s: Annotated[
        int,
        Key(
            Whole("seconds", 1, 1),
            "A key frame at least this often: a recording begins with one, a segment ends in front of one.",
        ),
    ] = 1
    loop: Annotated[bool, Key(Flag(), "A clip begins again at its end; its timestamps run on. Only for clips.")] = False
    latency_ms: Annotated[
        int,
        Key(
            Whole("milliseconds", -MOST_LATENCY_MS, MOST_LATENCY_MS),
            "How much later than the light each picture is stamped: exposure, readout, the camera's own electronics. "
            "It is taken off the stamps; `bodycam-agent selftest --avsync` measures it.",
        ),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayConfig:
    """What is burned into the picture: date, time with the zone's offset, the camera and its unit."""

    enabled: Annotated[bool, Key(Flag(), "Burn it in. Without it the times are in the log all the same.")] = True
    height_percent: Annotated[
        int, Key(Whole("percent of the picture's height", 2, 10), "Height of the letters, never below 9 pixels.")
    ] = 4
    assigned_unit: Annotated[
        bool, Key(Flag(), "Where an assignment names a unit, show that one in place of camera.unit.")
    ] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioConfig:
    """The sound."""

    source: Annotated[
        str,
        Key(
            Text('"none", "default", "clip", "synthetic", or a part of a microphone\'s name', r"\S(.*\S)?"),
            'Where the sound comes from; "clip" is the sound of the clip that [video] names. A microphone that does '
            "not do 48 kHz is taken at a rate that it has, its own first, and its sound brought to 48 kHz.",
            example="default",
        ),
    ]
    bitrate_kbps: Annotated[int, Key(Whole("kbit/s", 24, 320), "Bitrate of AAC.")] = 96
    capture_percent: Annotated[
        int | None,
        Key(MaybeWhole(Whole("percent of its range", 0, 100)), "Capture volume of its card, set at each opening."),
    ] = None
    latency_ms: Annotated[
        int,
        Key(
            Whole("milliseconds", 0, MOST_LATENCY_MS),
            "How much later than it reaches the microphone sound is stamped: the converter's filters, a radio link. It "
            "is taken off the stamps. Never negative, since a mute must come before the sound: where sound is ahead of "
            "the picture, raise [video] latency_ms.",
        ),
    ] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingConfig:
    """From the press to the segments."""

    pre_event_s: Annotated[
        int, Key(Whole("seconds", 0, 120), "A recording starts this long before the press.", wrong=Wrong.NEAREST)
    ] = 30
    pre_event_sound: Annotated[
        bool,
        Key(
            Flag(),
            "With sound; without, there is silence up to the press, and no sound is kept until then.",
            wrong=False,
        ),
    ] = True
    post_event_s: Annotated[
        int,
        Key(
            Whole("seconds", 0, 120),
            "It goes on this long after the stop; a second stop ends it at once, a mark has it go on; where no gesture "
            "marks, a press, whatever else it does.",
            wrong=Wrong.NEAREST,
        ),
    ] = 0
    ring_mib: Annotated[
        int,
        Key(
            Whole("MiB", 1, 1024),
            "Memory for that, used as it fills: enough for pre_event_s, and a few seconds more, also while much moves, "
            "which takes the picture up to 1.5 times its bitrate.",
        ),
    ] = 48
    part_ms: Annotated[int, Key(Whole("milliseconds", 250, 1000), "Live media is sealed in parts of this length.")] = (
        500
    )
    segment_s: Annotated[int, Key(Whole("seconds", 5, 60), "The longest segment.")] = 60
    segment_mib: Annotated[int, Key(Whole("MiB", 1, 64), "The largest segment.")] = 64
    record_at_boot: Annotated[
        bool,
        Key(
            Flag(),
            "Record from the start, unless in the dock, without a press: one that comes before the second light blinks "
            "for starting is not heard.",
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingConfig:
    """Who can open what is recorded, and who signs it."""

    recipients: Annotated[
        tuple[str, ...],
        Key(
            _Recipients(_RECIPIENT),
            "Everything recorded is encrypted to these: the agency's evidence key, its escrow key. At least one; all "
            "post-quantum (age1pq1...) or none.",
            example=("age1...", "age1..."),
        ),
    ]
    identity_key: Annotated[
        KeyPlace,
        Key(
            SigningKey(),
            "This camera's P-256 key: a file readable by its owner alone, or a key in the TPM, which nobody can copy.",
            example=TpmHandle(0x81010001),
        ),
    ]
    identity_chain: Annotated[
        Path,
        Key(_PEM, "The certificate of that key, then the one that issued it.", example=f"{_ETC}/identity.pem"),
    ]
    tpm_device: Annotated[Path, Key(FilePath("device"), "The TPM that holds the key, where it is not a file.")] = Path(
        "/dev/tpmrm0"
    )
    rollback_counter: Annotated[
        int | None,
        Key(
            TpmIndex(),
            "A counter in that TPM, which shows a card that was put back to an older state: one write to the TPM's "
            "memory each time the recorder starts. The index beside it keeps the highest orders: one for each order.",
            example=0x01800100,
        ),
    ] = None
    count_recordings: Annotated[
        bool,
        Key(
            Flag(),
            "Count each recording there too: then one that was cut off the end of the log is noticed as well. One more "
            "write each; see the data sheet of the TPM for how many its memory bears.",
        ),
    ] = False
    checkpoint_identity_s: Annotated[
        int, Key(Whole("seconds", 10, 3600), "That key, too, signs a checkpoint this often.")
    ] = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """Where segments wait. Full is: no room for one more segment beside the floor and the log's reserve. Then what a
    station has goes first; where there is none, the recording ends with that reason. What was not sent is never
    overwritten. With 20, 10 and 5 percent left it is shown and logged, with the minutes that still fit.
    """

    dir: Annotated[
        Path, Key(FilePath("directory"), "The spool, on one file system.", example="/var/lib/bodycam-agent/spool")
    ]
    log_reserve_mib: Annotated[
        int,
        Key(
            Whole("MiB", 1, 1024),
            "Kept aside in a file, so that what happens on a full disk is still written into the log.",
        ),
    ] = 16
    free_floor_mib: Annotated[
        int,
        Key(
            Whole("MiB", 1, 65_536),
            "No media takes this; the uploader needs some of it to bring the receipts that empty the disk.",
        ),
    ] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """When delivered segments are deleted; others never are."""

    keep_days: Annotated[
        int,
        Key(
            Whole("days", 0, 3650),
            "Delete what was delivered and is older than this, even where there is room for it. By the wall clock "
            "and by the station's signed times: a clock that is set makes nothing older.",
        ),
    ] = 3650
    max_used_percent: Annotated[
        int, Key(Whole("percent", 1, 99), "With more of the file system in use, delete the oldest delivered segments.")
    ] = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """How commands on this machine reach the recorder."""

    socket: Annotated[
        Path,
        Key(
            FilePath("Unix socket", SOCKET_PATH_BYTES),
            "Where the recorder listens for `bodycam-agent ctl`.",
            example="/run/bodycam-agent/control.sock",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it. Made in code it is not checked; what dump writes and load reads is."""

    camera: CameraConfig
    video: VideoConfig
    audio: AudioConfig
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    recording: RecordingConfig
    sealing: SealingConfig
    spool: SpoolConfig
    retention: RetentionConfig
    power: PowerConfig = field(default_factory=PowerConfig)
    ladder: LadderConfig = field(default_factory=LadderConfig)
    dock: DockConfig
    control: ControlConfig
    panel: PanelConfig = field(default_factory=PanelConfig)
    gestures: GesturesConfig = field(default_factory=GesturesConfig)
    signals: SignalsConfig = field(default_factory=SignalsConfig)


SECTIONS: Mapping[str, Any] = get_type_hints(Config)
"""By name, in the order of the file."""


def load(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with every mistake in it."""
    config, mistakes = _read(configfile.text_of(path), path.absolute().parent)
    if config is None:
        lines = "".join(f"\n  - {mistake}" for mistake in mistakes)
        raise ConfigError(f"configuration {path}:{lines}", f"correct it, then run: bodycam-agent config check {path}")
    return config


def check(text: str, base_dir: Path) -> list[str]:
    """Every mistake in a configuration's text, each with its key; empty where load would take it."""
    return _read(text, base_dir)[1]


def dump(config: Config) -> str:
    """A commented configuration file; load gives `config` again. Paths are written absolute."""
    return configfile.write(SECTIONS, {name: getattr(config, name) for name in SECTIONS})


def parse(text: str, base_dir: Path, what: str) -> Config:
    """The configuration in a text. Raises ConfigError with every mistake, after `what` it is."""
    config, mistakes = _read(text, base_dir)
    if config is None:
        raise ConfigError(f"{what}:" + "".join(f"\n  - {mistake}" for mistake in mistakes))
    return config


def template() -> str:
    """config/agent.toml: every key with its default, those without one commented out."""
    return configfile.write(SECTIONS, {})


def _read(text: str, base_dir: Path) -> tuple[Config | None, list[str]]:
    found = configfile.read(SECTIONS, text, base_dir)
    config = Config(**configtogether.filled(SECTIONS, found.values))
    mistakes = [*map(str, found.mistakes), *configtogether.told(config, found.unreadable)]
    return (None if mistakes else config), mistakes
