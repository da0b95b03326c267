"""Profiles: what a unit's work asks of a camera, apart from what the camera is. A file like agent.toml with some of its
keys; laid over a camera's own file its keys win, and the rest of that file stays.

A profile may set everything but what belongs to one camera: its name, keys, devices, lines and places.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from agent import config as configuration
from agent import configfile, configtogether, localtime
from agent.config import Config
from agent.errors import ConfigError, UsageError

OWN: Mapping[str, tuple[str, ...] | None] = {
    "camera": ("id", "log_name"),
    "video": ("source", "loop", "latency_ms"),
    "audio": ("source", "latency_ms"),
    "sealing": None,
    "spool": ("dir",),
    "dock": (
        "station_url",
        "ca",
        "client_cert",
        "client_key",
        "receipt_key",
        "config_key",
        "receipt_key_next",
        "config_key_next",
    ),
    "control": None,
    "panel": None,
    "power": ("battery", "thermometer", "sysfs_dir"),
}
"""By section, the keys that are a camera's own; None: all of them."""
PLACES = (
    Path("/etc/bodycam-agent/profiles"),
    Path("/usr/share/bodycam-agent/profiles"),
    Path(__file__).resolve().parent.parent / "config" / "profiles",
)
"""An agency's own first, then the package's, then those of a tree of the source."""


def names() -> list[str]:
    """Of the profiles that are there."""
    return sorted({path.stem for place in PLACES for path in place.glob("*.toml")})


def find(name: str) -> Path:
    """A profile's file, by its name, or as a path. Raises UsageError."""
    if "/" in name or name.endswith(".toml"):
        return Path(name)
    found = next((place / f"{name}.toml" for place in PLACES if (place / f"{name}.toml").is_file()), None)
    if found is None:
        near = difflib.get_close_matches(name, names(), 1)
        there = f"there is: {', '.join(names()) or 'none'}"
        raise UsageError(f"there is no profile {name!r}", f"did you mean {near[0]}? {there}" if near else there)
    return found


def is_own(section: str, key: str) -> bool:
    """Whether a key belongs to one camera."""
    own = OWN.get(section, ())
    return own is None or key in own


def check(text: str) -> list[str]:
    """Every mistake in a profile's text, each with its key; empty where `over` would take it on any camera's file."""
    sections = configuration.SECTIONS
    found = configfile.read(sections, text, Path("/"), partial=True)
    mistakes = [str(mistake) for mistake in found.mistakes]
    for name, keys in found.values.items():
        mistakes += [f"{name}.{key}: belongs to one camera, not to a profile" for key in keys if is_own(name, key)]
    config = Config(**configtogether.filled(sections, found.values))
    mistakes += configtogether.told(config, found.unreadable)
    unknown = localtime.why_unknown(found.values.get("camera", {}).get("timezone"))
    return mistakes + ([f"camera.timezone: {unknown}"] if unknown else [])


def read(name: str) -> str:
    """A profile's text, by its name or path. Raises ConfigError with every mistake in it."""
    path = find(name)
    text = configfile.text_of(path)
    mistakes = check(text)
    if mistakes:
        raise ConfigError(
            f"profile {path}:" + "".join(f"\n  - {mistake}" for mistake in mistakes),
            f"correct it, then run: bodycam-agent config check --profile {path}",
        )
    return text


def over(config: Config, name: str) -> Config:
    """A camera's configuration with a profile laid over it. Raises ConfigError, also where both together contradict
    themselves.
    """
    text = configfile.overlaid(configuration.dump(config), configfile.tables(read(name)))
    return configuration.parse(text, Path("/"), f"profile {name} over this configuration")
