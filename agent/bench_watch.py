"""What the bench sees of the recorder: each status, every fault that was shown, also one that is over, and the exit
status that those mean.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.controls.local import ask
from agent.errors import Exit

Status = dict[str, Any]
COMMAND_S = 100.0
_NAMES = {
    Exit.DEVICE: "camera lens picture pictures microphone sound clipping gain overlay overload ladder"
    " button panel power power.off battery heat clock dock counter",
    Exit.STORAGE: "storage encryption media recording waiting durable sealing log reserve spool records retention stray"
    " epoch renewal rollback start delivery services officer kept resume stop mark mute sleep",
    Exit.KEYS: "identity receipt inbox orders",
    Exit.NETWORK: "upload uploader",
    Exit.USAGE: "settings configuration unsigned",
    Exit.SOFTWARE: "recorder loop care restart",
}
"""Every fault that a recorder can show. `recorder` is where a turn of its loop failed, which none should."""
MEANS = {what: status for status, names in _NAMES.items() for what in names.split()}
_ONLY_WHILE_SHOWN = ("microphone", "lens", "picture", "sound", "clipping")
"""A machine that is busy for a moment is late with its sound; a hand is before the lens for a moment, a voice too loud:
that is told, but no broken device.
"""
_ONLY_TOLD = ("overload", "durable", "pictures", "loop", "waiting", "battery", "heat")
"""A machine that is too slow for a while: pictures dropped and parts lost are counted. And what is only a warning."""
_ORDER = (Exit.DEVICE, Exit.STORAGE, Exit.KEYS, Exit.NETWORK, Exit.USAGE, Exit.SOFTWARE)


class Watch:
    """Asks for the status, has it shown, and keeps the last one and the words of every fault."""

    def __init__(self, socket: Path, show: Callable[[Status], None]) -> None:
        self._socket, self._show = socket, show
        self.last: Status | None = None
        self.faults: dict[str, str] = {}

    def look(self, quiet: bool = False) -> Status:
        """Raises DeviceError where no recorder answers."""
        status = ask(self._socket, {"do": "status"})
        self.last = status
        self.faults |= status["faults"]
        if not quiet:
            self._show(status)
        return status

    def ask(self, do: str, **more: object) -> None:
        """Press one of its buttons. Raises DeviceError where no recorder answers, UsageError where it refuses."""
        ask(self._socket, {"do": do, **more}, timeout_s=COMMAND_S)


def status_of(faults: dict[str, str], last: Status) -> Exit:
    """The status that the faults of a run mean, in the order of the way of the data; `faults` are all that were shown,
    `last` the recorder's last status. Never OK where parts were lost.
    """
    found = {
        MEANS.get(what, Exit.SOFTWARE)
        for what in faults
        if what not in _ONLY_TOLD and (what not in _ONLY_WHILE_SHOWN or what in last["faults"])
    }
    if last["parts_lost"]:
        found.add(Exit.STORAGE)
    return next((status for status in _ORDER if status in found), Exit.OK)
