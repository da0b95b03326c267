"""What each key of the configuration allows alone, but not together with another. Told with the mistakes of single
keys, all at once: of a key that could not be read nothing is said that would hang on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING
from typing import TYPE_CHECKING, Any

from agent import configcontrols, configfile
from agent.configrules import AUTO, Conflict

if TYPE_CHECKING:
    from agent.config import Config

Values = Mapping[str, Mapping[str, Any]]


def filled(sections: configfile.Sections, values: Values) -> dict[str, Any]:
    """The sections with every other key at its default, or, where it has none, at its example."""
    made = {}
    for name, section in sections.items():
        examples = {key: about.example for key, about, default in configfile.keys_of(section) if default is MISSING}
        made[name] = section(**{**examples, **values.get(name, {})})
    return made


def told(config: Config, values: Values, mistakes: Collection[str]) -> list[str]:
    """Of a file whose keys gave these values and mistakes; `config` is `filled` with the values."""

    def readable(name: str) -> bool:
        section, key = name.split(".")
        if key in values.get(section, {}):
            return True
        # Left out, or not understood: a default says nothing where some key of the section was misspelled.
        spoiled = any(m.startswith((f"{section}:", f"{name}:")) for m in mistakes)
        misspelled = any(m.startswith(f"{section}.") and ": unknown key" in m for m in mistakes)
        return not (spoiled or misspelled)

    return [str(found) for found in conflicts(config) if all(map(readable, found.keys))]


def conflicts(config: Config) -> list[Conflict]:
    """All that there are."""
    found = [*config.power.contradictions(), *config.ladder.contradictions()]
    video, recording = config.video, config.recording
    if config.audio.source == "clip" and not video.source.startswith("clip:"):
        found.append(Conflict(("audio.source", "video.source"), '"clip" needs video.source = "clip:FILE"'))
    if (video.width == AUTO) != (video.height == AUTO):
        words = "width and height are both auto, or both numbers"
        found.append(Conflict(("video.height", "video.width"), words))
    kbps = video.bitrate_kbps + config.audio.bitrate_kbps
    need = -(-recording.pre_event_s * kbps * 1000 // (8 << 20))
    if recording.ring_mib < need:
        words = f"{recording.ring_mib} MiB cannot hold {recording.pre_event_s} s at {kbps} kbit/s: at least {need}"
        keys = ("recording.ring_mib", "recording.pre_event_s", "video.bitrate_kbps", "audio.bitrate_kbps")
        found.append(Conflict(keys, words))
    return found + configcontrols.contradictions(config.panel, config.gestures, config.signals)
