"""What the officer is told in words, in the camera's language: one line a thing, the most urgent first. Pure, but for
the catalogue that is read once.

Only the officer's words are translated: log, evidence and what a technician reads are English.
"""

from __future__ import annotations

import gettext
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent import catalogue
from agent.errors import ConfigError

LOG = logging.getLogger("bodycam.words")
AS_WARNINGS = {"battery": "battery", "heat": "too hot", "button": "button stuck", "restart": "restarted"}
"""Faults that a warning tells as well, which says how bad it is: the begin of its name."""

_SAVED = ("durable", "encryption", "log", "media", "recorder", "sealing", "storage")
ANOTHER = frozenset({*_SAVED, "camera", "panel", "picture", "pictures"})
"""Faults whose words say to take another camera, and nothing to try before that."""
AS_USUAL = frozenset(
    {f"fault.{key}" for key in ["care", "gain", "identity", "ladder", "overlay", "overload", "settings", "start"]}
    | {"warning.clock not set"}
)
"""What is told to somebody who goes on recording: never beside one of these faults."""

OVER = ("stopping", "stopped")
"""States in which no press is done any more, whatever the officer is shown."""
WAITING = ("starting", "fault")
"""States in which a recording may have to wait until it can begin."""
WRITING = "writing"
"""What it waits for in the first of them, where that is the end of the one before it."""
ENDING = "ending"
"""The deed that leaves a recording in its last seconds."""


class Words:
    """Thread-safe. Raises ConfigError where there is no catalogue of that language."""

    def __init__(self, language: str) -> None:
        self._catalogue: gettext.NullTranslations = catalogue.load(language)

    @classmethod
    def of_a_camera(cls, language: str) -> Words:
        """As `Words`; where there is no catalogue the keys themselves: a camera must not fail to record for want of
        words.
        """
        try:
            return cls(language)
        except ConfigError as err:
            LOG.warning("%s", err)
            found = cls.__new__(cls)
            found._catalogue = gettext.NullTranslations()
            return found

    def say(self, key: str, /, **values: object) -> str:
        """The catalogue's words for a key; the key where it has none, which a test rules out."""
        return self._catalogue.gettext(key).format(**values)

    def count(self, key: str, number: int) -> str:
        """The form of that number."""
        return self._catalogue.ngettext(key, key, number).format(n=number)

    def fault(self, key: str) -> str:
        """What is wrong, and the next step."""
        words = self._catalogue.gettext(f"fault.{key}")
        return self.say("fault.other", key=key) if words == f"fault.{key}" else words

    def of_status(self, told: Mapping[str, Any]) -> list[str]:
        """The lines for what `ctl status` answers."""
        return list(self._of_status(told))

    def _of_status(self, told: Mapping[str, Any]) -> Iterator[str]:
        officer = told.get("officer", {})
        state = told["state"] if told["state"] in OVER else officer.get("state", told["state"])
        # What is to begin by itself is said as that, and by no word for what is recorded.
        waits = officer.get("waits") and state in WAITING
        # Before anything of it is recorded it may be the card that is waited for, and not a picture.
        written = state == "starting" and told.get("recording")
        yield self.say(f"waits.{WRITING}" if waits and written else f"waits.{state}" if waits else f"state.{state}")
        if officer.get("delivery") in ("sending", "done"):
            yield self.say(f"delivery.{officer['delivery']}")
        # That it ends is said as long as it is so, and no longer, whatever was done last.
        did = officer.get("did")
        for deed in ([ENDING] if told.get("ends_in_s") is not None else []) + ([did] if did and did != ENDING else []):
            yield self.say(f"deed.{deed}")
        if officer.get("stealth"):
            yield self.say("stealth" if officer.get("lights_by_hand") else "stealth.fixed")
        faults = {**told.get("faults", {}), **officer.get("troubles", {})}
        warnings = officer.get("warnings", ())
        power = told.get("power", {})
        unsaid = AS_USUAL if ANOTHER & faults.keys() else frozenset()
        for key in faults:
            if f"fault.{key}" in unsaid:
                continue
            if key == "battery" and power.get("charging"):
                yield self.say("battery.charging")
            elif key not in AS_WARNINGS or not any(warning.startswith(AS_WARNINGS[key]) for warning in warnings):
                yield self.fault(key)
        for warning in warnings:
            if f"warning.{warning}" not in unsaid:
                yield self.say(f"warning.{warning}")
        if any(warning.startswith("storage") for warning in warnings) and told.get("room_minutes") is not None:
            yield self.count("room.minutes", told["room_minutes"])
        percent = power.get("battery_percent")
        if percent is not None:
            yield self.say("battery.percent", percent=percent)

    def of_deeds(self, deeds: Sequence[str]) -> list[str]:
        """What came of a gesture."""
        return [self.say(f"deed.{deed}") for deed in deeds or ("nothing",)]

    def of_selftest(self, passed: int, failed: Iterable[str]) -> str:
        """The verdict for whoever is to wear the camera."""
        names = [self.say(f"check.{name}") for name in failed]
        if names:
            return self.say("selftest.failed", what=self.say("selftest.comma").join(names))
        return self.count("selftest.passed", passed)
