"""What each key of the configuration allows alone, but not together with another. Told with the mistakes of single
keys, all at once: of a key that could not be read nothing is said that would hang on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from agent import configcontrols, configfile
from agent.configrules import AS_IT_IS, AUTO, Mistake
from agent.model import PEAK_RATE

if TYPE_CHECKING:
    from agent.config import Config, RecordingConfig

LEAST_RING_S = 3
"""The ring holds so much at least, however little is wanted before a press: what a recording that breaks off goes on
from.
"""
SLACK_S = 1.6
"""And so much more than is wanted: pictures come while a press is on its way to the ring. With no more than that, what
the ring is by default holds 30 s at 8 Mbit/s and 96 kbit/s of sound, whatever moves.
"""
Values = Mapping[str, Mapping[str, Any]]


def ring_s(recording: RecordingConfig) -> float:
    """Seconds that the ring is to hold. It is cut at key frames, so it holds up to a group of pictures more."""
    return max(recording.pre_event_s, LEAST_RING_S) + SLACK_S


def peak_kbps(config: Config) -> int:
    """Of picture and sound."""
    return math.ceil(PEAK_RATE * config.video.bitrate_kbps) + config.audio.bitrate_kbps


def ring_mib(config: Config) -> int:
    """What the ring needs for its seconds, however much moves in them, and however calm it was before."""
    kbit = (ring_s(config.recording) + config.video.gop_s) * peak_kbps(config) + config.video.bitrate_kbps
    return math.ceil(kbit * 1000 / (8 << 20))


def filled(sections: configfile.Sections, values: Values) -> dict[str, Any]:
    """The sections with every other key at its default, or, where it has none, at its example."""
    made = {}
    for name, section in sections.items():
        examples = {key: about.example for key, about, default in configfile.keys_of(section) if default is MISSING}
        made[name] = section(**{**examples, **values.get(name, {})})
    return made


def told(config: Config, unreadable: Set[str]) -> list[str]:
    """Of a file in which these keys could not be read; `config` is `filled` with what the others gave."""
    return [str(found) for found in conflicts(config) if unreadable.isdisjoint(found.keys)]


def conflicts(config: Config) -> list[Mistake]:
    """All that there are."""
    found = [*config.power.contradictions(), *config.ladder.contradictions()]
    video, recording = config.video, config.recording
    if config.audio.source == "clip" and not video.source.startswith("clip:"):
        found.append(Mistake(("audio.source", "video.source"), '"clip" needs video.source = "clip:FILE"'))
    if (video.width == AUTO) != (video.height == AUTO):
        words = "width and height are both auto, or both numbers"
        keys = ("video.height", "video.width")
        found.append(Mistake(keys, words, "both are auto", dict.fromkeys(keys, AUTO)))
    need = ring_mib(config)
    if recording.ring_mib < need:
        wanted = f"{recording.pre_event_s} s" if recording.pre_event_s else "the ring's least seconds"
        peak = f"the {peak_kbps(config)} kbit/s that it takes while much moves"
        words = f"{recording.ring_mib} MiB cannot hold {wanted} at {peak}: at least {need}"
        of = ("recording.ring_mib", "recording.pre_event_s", "video.bitrate_kbps", "audio.bitrate_kbps")
        found.append(Mistake(of, words, AS_IT_IS))
    return found + configcontrols.contradictions(config.panel, config.gestures, config.signals)
