"""A configuration that the agency orders, as this camera can use it: what only this camera knows (its keys, its spool,
its socket) stays as it is, everything else is the agency's, and all of it is checked before anything changes.

One that is in place takes effect with the recorder's next start, which is brought about as soon as nothing is recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from agent import config, configfile, localtime, ordernumbers
from agent.capture.drivers import no_driver_for
from agent.config import Config
from agent.configfile import Tables
from agent.configrules import KeyPlace
from agent.errors import ConfigError, UsageError
from agent.formats import age, note
from agent.formats.order import Configuration, Kind
from agent.model import NS
from agent.ordernumbers import Highest
from agent.spool.requests import CONFIGURATION, Requests

PUT_NS = 20 * NS
"""So long the unit that puts it in place may take."""


def for_this_camera(text: str, own: Config, base_dir: Path) -> str:
    """The text to put in place of the configuration `own`: every key and value of it spelled out. Raises ConfigError,
    UsageError, KeyTrustError for one that this camera could not start with.
    """
    named = configfile.tables(text).get("camera", {}).get("id", own.camera.id)
    if named != own.camera.id:
        raise ConfigError(f"the configuration is of camera {str(named)[:60]!r}, not of {own.camera.id}")
    made = config.parse(configfile.overlaid(text, _own(own)), base_dir, "the agency's configuration")
    for recipient in made.sealing.recipients:
        age.parse_recipient(recipient)
    note.parse_vkeys(*made.dock.receipt_keys, *made.dock.config_keys)
    localtime.find(made.camera.timezone)
    if none := no_driver_for(made.video.source):
        raise ConfigError(f"video.source: {none}")
    return config.dump(made)


def _own(config: Config) -> Tables:
    sealing, dock = config.sealing, config.dock
    counter = sealing.rollback_counter
    return {
        "camera": {"id": config.camera.id, "log_name": config.camera.log_name},
        "sealing": {
            "identity_key": _place(sealing.identity_key),
            "identity_chain": str(sealing.identity_chain),
            "tpm_device": str(sealing.tpm_device),
            "rollback_counter": "" if counter is None else f"tpm:0x{counter:08x}",
        },
        "spool": {"dir": str(config.spool.dir)},
        "dock": {"ca": str(dock.ca), "client_cert": str(dock.client_cert), "client_key": str(dock.client_key)},
        "control": {"socket": str(config.control.socket)},
    }


def _place(key: KeyPlace) -> str:
    return f"file:{key}" if isinstance(key, Path) else f"tpm:0x{key:08x}"


class OwnConfig:
    """`file` is what the recorder was started with, None where nobody may change it; `restart` ends this life. Raises
    StorageError; `trouble` says why a configuration is not in place; `begun_with` is the digest of the file at the
    start.
    """

    def __init__(self, own: Config, file: Path | None, requests: Requests, restart: Callable[[], None]) -> None:
        self._own, self._file, self._requests, self._restart = own, file, requests, restart
        self.begun_with = self._digest()
        self._wanted: str | None = None
        self._asked_ns: int | None = None
        self._request = b""
        self.trouble: str | None = None

    def install(self, ordered: Configuration, came: Highest) -> str:
        """Check it, and ask root to put it in place where it is not. `came` is the order by which it came. Returns the
        digest of its text. Raises what `for_this_camera` raises.
        """
        if self._file is None:
            raise UsageError("nobody may change the configuration of this recorder", "start it with --config FILE")
        text = for_this_camera(ordered.toml, self._own, self._file.absolute().parent).encode("utf-8")
        digest = hashlib.sha256(text).hexdigest()
        self._request = ordernumbers.request(self._own.camera.id, {Kind.CONFIGURATION.value: came}) + text
        if digest != self._wanted:
            self._wanted, self._asked_ns = digest, None
        return digest

    def step(self, now_ns: int, recording: bool) -> None:
        """In each turn."""
        if self._wanted is None or self._wanted == self.begun_with:
            return
        if self._digest() == self._wanted:
            self.trouble = None
            if not recording:
                self._restart()
        elif self._asked_ns is None:
            self._requests.ask(CONFIGURATION, self._request)
            self._asked_ns = now_ns
        elif now_ns - self._asked_ns > PUT_NS:
            self.trouble = "a new configuration waits, and nobody puts it in place: is bodycam-apply.path enabled?"

    def _digest(self) -> str | None:
        try:
            return hashlib.sha256(self._file.read_bytes()).hexdigest() if self._file else None
        except OSError:
            return None
