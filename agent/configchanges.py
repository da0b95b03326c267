"""What changed in the configuration since the recorder last started, by the names of its keys: a file in the spool
holds a salted digest of each value, and no value. The salt stands beside them: who has the card can try guesses.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent import config as configuration
from agent import configfile, durable, profiles
from agent.config import Config
from agent.errors import AgentError

FILE = "configuration.json"
SALT_BYTES, DIGEST_CHARS = 32, 32
MAX_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Changes:
    """`keys` are named "section.key"; None where it is not known what was there before. `profile` is the one that the
    configuration agrees with in every key that it sets, where there is such a one.
    """

    keys: tuple[str, ...] | None = None
    profile: str | None = None


class LastStart:
    """What the configuration was when a recorder last began."""

    def __init__(self, spool: Path) -> None:
        self._path = spool / FILE

    def changes(self, config: Config) -> Changes:
        """Raises nothing: what cannot be read is not known."""
        return Changes(self._changed(config), profile_of(config))

    def keep(self, config: Config) -> None:
        """When it is in the log. Raises StorageError."""
        salt = os.urandom(SALT_BYTES)
        told = {"v": 1, "salt": base64.b64encode(salt).decode(), "keys": _digests(config, salt)}
        durable.write_file(self._path, json.dumps(told).encode() + b"\n")

    def _changed(self, config: Config) -> tuple[str, ...] | None:
        try:
            with durable.opened(self._path) as file:
                told = json.loads(file.read(MAX_BYTES))
            salt, before = base64.b64decode(told["salt"], validate=True), told["keys"]
            if not isinstance(before, dict):
                return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        now = _digests(config, salt)
        return tuple(sorted(key for key in {*before, *now} if before.get(key) != now.get(key)))


def _digests(config: Config, salt: bytes) -> Mapping[str, str]:
    found = {}
    for name, section in configuration.SECTIONS.items():
        for key, about, _ in configfile.keys_of(section):
            value = about.rule.write(getattr(getattr(config, name), key))
            digest = hashlib.sha256(salt + f"{name}.{key} = {value}".encode("utf-8", "surrogateescape")).hexdigest()
            found[f"{name}.{key}"] = digest[:DIGEST_CHARS]
    return found


def profile_of(config: Config) -> str | None:
    """Of several, the one that says most."""
    agreeing = {}
    for name in profiles.names():
        # An agency's own may be damaged: that is for `config check`.
        with contextlib.suppress(AgentError):
            text = configfile.text_of(profiles.find(name))
            found = configfile.read(configuration.SECTIONS, text, Path("/"), partial=True)
            keys = [(section, key, value) for section, of in found.values.items() for key, value in of.items()]
            if keys and not found.mistakes and all(getattr(getattr(config, s), k) == v for s, k, v in keys):
                agreeing[name] = len(keys)
    return max(agreeing, key=lambda name: agreeing[name], default=None)
