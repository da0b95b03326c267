"""Whether the camera is docked: what the recorder says in outbox/, or always, where nothing else is to be had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

MAX_BYTES = 4096


class Presence(Protocol):
    """Asked a few times a second."""

    def docked(self) -> bool: ...


class OutboxPresence:
    """`outbox/dock.json` as the recorder writes it. What an earlier boot said does not count."""

    def __init__(self, outbox: Path, boot_id: str) -> None:
        self._path, self._boot_id = outbox / "dock.json", boot_id

    def docked(self) -> bool:
        try:
            with self._path.open("rb") as file:
                told = json.loads(file.read(MAX_BYTES))
        except (OSError, ValueError):
            return False
        return isinstance(told, dict) and told.get("docked") is True and told.get("boot") == self._boot_id


class AlwaysPresence:
    """For a camera on a cable."""

    def docked(self) -> bool:
        return True


def presence(kind: str, outbox: Path, boot_id: str) -> Presence:
    """The one `[dock] presence` names."""
    return AlwaysPresence() if kind == "always" else OutboxPresence(outbox, boot_id)
