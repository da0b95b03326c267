"""The configuration with which a camera's processes come up. What `config check` refuses, and so do enrolment and the
agency's orders, may be on a camera all the same: an upgrade can ask more of a file than the version before did. A
camera that records with a mistake in its file, and says so, is worth more than one that stays dark.

A value that is not lawful counts as its default, or as its key says (`configrules.Wrong`), a key that nobody knows as
not there. What contradicts itself is used as its `Mistake` says. Where a file leaves nothing to start with, or is gone,
the last one without a mistake stands in for it, which root keeps beside it (systemd/libexec/keep).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent import configfile, configtogether, durable
from agent.config import SECTIONS, Config, load
from agent.configcontrols import takes_the_panel
from agent.configrules import Mistake
from agent.errors import ConfigError, StorageError

LOG = logging.getLogger("bodycam.configuration")
FIRM = frozenset({"camera.log_name", "sealing.tpm_device", "sealing.rollback_counter"})
"""What only this camera knows (agent/ownconfig.py), though it has a default: nothing else stands in for it."""

GOOD = ".good"
STARTED = "started-with"
"""Beside the control socket: the digest of a file in which the recorder found no mistake."""


@dataclass(frozen=True, slots=True)
class Begun:
    """`notes` has each mistake of the file, with what is used in its place; `panel` those of them for which button,
    trigger or lights may lack.
    """

    config: Config
    notes: tuple[str, ...] = ()
    panel: tuple[str, ...] = ()

    @property
    def faults(self) -> dict[str, str]:
        """What a camera shows of its file, by the fault's key."""
        told = {"settings": self.notes, "panel": self.panel}
        return {what: "; ".join(notes) for what, notes in told.items() if notes}

    def tell(self, digest: str) -> None:
        """Root, of what it is to keep: the file of this digest, taken before it was read. Where a directory lacks for
        that, on a desk, nobody waits for it.
        """
        if not self.notes:
            with suppress(StorageError):
                durable.write_file(self.config.control.socket.parent / STARTED, digest.encode(), 0o600)

    def warn(self, path: Path) -> Config:
        """The configuration; the notes go to whoever supervises the process."""
        for note in self.notes:
            LOG.warning("configuration %s: %s", path, note)
        return self.config


def begin(path: Path) -> Begun:
    """Read a configuration file. Where it leaves nothing to start with, or is not there, the one beside it is used.
    Raises ConfigError with every mistake in it where that is not there, or as bad.
    """
    try:
        return _of(path)
    except ConfigError as err:
        return _instead(path.with_name(path.name + GOOD), err)


def _instead(good: Path, cause: ConfigError) -> Begun:
    try:
        begun = _of(good)
    except ConfigError:
        raise cause from None
    told = " ".join(cause.message.split())
    return replace(begun, notes=(f"{told}; used: {good.name}, with which it started before", *begun.notes))


def _of(path: Path) -> Begun:
    """Raises ConfigError where one mistake leaves nothing to start with: it is no TOML, what has no default is missing
    or cannot be read, or what only this camera knows cannot be read, or lacks beside a key that looks like it and
    nobody knows.
    """
    found = configfile.read(SECTIONS, configfile.text_of(path), path.absolute().parent)
    values = _with(found.values, found.mistakes)
    together = configtogether.conflicts(Config(**configtogether.filled(SECTIONS, values)))
    mistakes = [*found.mistakes, *together]
    told = {key for mistake in found.mistakes for key in (mistake.keys[0], mistake.meant)}
    if not FIRM.isdisjoint(told) or any(mistake.so is None for mistake in mistakes):
        return Begun(load(path))
    values = _with(values, together)
    config = Config(**configtogether.filled(SECTIONS, values))
    return Begun(config, _notes(mistakes), _notes(filter(takes_the_panel, mistakes)))


def _notes(mistakes: Iterable[Mistake]) -> tuple[str, ...]:
    return tuple(f"{mistake}; {mistake.so}" for mistake in mistakes)


def _with(values: dict[str, dict[str, Any]], mistakes: Iterable[Mistake]) -> dict[str, dict[str, Any]]:
    made = {name: dict(keys) for name, keys in values.items()}
    for mistake in mistakes:
        for key, value in mistake.instead.items():
            section, _, name = key.partition(".")
            made.setdefault(section, {})[name] = value
    return made


def digest_of(path: Path) -> str:
    """Of a file's bytes; "" where it does not give them."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
