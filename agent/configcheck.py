"""All mistakes of a camera's file, of a profile, and of the one over the other, at once: what reading them tells, and
what is looked up on this machine. A recorder looks nothing up at its start: it must not fail to record for want of a
zone.
"""

from __future__ import annotations

from pathlib import Path

from agent import config as configuration
from agent import configfile, configtogether, localtime, profiles
from agent.capture.drivers import no_driver_for
from agent.config import Config


def of_file(text: str, base_dir: Path) -> list[str]:
    """Every mistake in a camera's file, each with its key; zone and driver wherever that key could be read."""
    values = configfile.read(configuration.SECTIONS, text, base_dir).values
    source = values.get("video", {}).get("source")
    looked_up = {
        "camera.timezone": localtime.why_unknown(values.get("camera", {}).get("timezone")),
        "video.source": None if source is None else no_driver_for(source),
    }
    return configuration.check(text, base_dir) + [f"{key}: {why}" for key, why in looked_up.items() if why]


def of_both(profile: str, text: str, base_dir: Path) -> list[str]:
    """What a profile's keys and those of a camera's file contradict together and neither by itself. Keys that could not
    be read have nothing said of them.
    """
    sections = configuration.SECTIONS
    over = configfile.read(sections, profile, Path("/"), partial=True)
    under = configfile.read(sections, text, base_dir)
    asked = {
        name: {key: value for key, value in keys.items() if not profiles.is_own(name, key)}
        for name, keys in over.values.items()
    }
    values = {name: {**under.values.get(name, {}), **asked.get(name, {})} for name in sections}
    said = {f"{name}.{key}" for name, keys in asked.items() for key in keys}
    config = Config(**configtogether.filled(sections, values))
    alone = {*profiles.check(profile), *configuration.check(text, base_dir)}
    together = configtogether.told(config, over.unreadable | (under.unreadable - said))
    return [mistake for mistake in together if mistake not in alone]
