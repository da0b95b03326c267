"""When it is by a `steady` machine's clock: QEMU is asked for the HPET, which counts on that same clock (QEMU Machine
Protocol, IA-PC HPET Specification 2.3.7). What was last heard from the guest says when that was, not when it is now.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.vm.channel import MachineError

COUNTER = 0xFED000F0
TICK_NS = 10
WRAP_NS = 2**32 * TICK_NS
"""Its low half, read at once."""
TIMEOUT_S = 30.0


class Instant:
    """`end` is QEMU's monitor in control mode. Raises MachineError where it does not answer."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(TIMEOUT_S)
        self._end, self._file = end, end.makefile("rb")
        self._behind_ns: int | None = None
        self._line()
        self._ask("qmp_capabilities")

    def close(self) -> None:
        self._file.close()
        self._end.close()

    def counter_ns(self) -> int:
        """It wraps each 43 s."""
        return int(self.monitor(f"xp /1wx {COUNTER:#x}").split()[1], 16) * TICK_NS

    def monitor(self, command: str) -> str:
        """What QEMU's monitor for people says to it."""
        return str(self._ask("human-monitor-command", {"command-line": command}))

    def heard(self, guest_ns: int) -> None:
        """The guest has just told its time. What comes in late looks further behind: the least is right."""
        behind = (self.counter_ns() - guest_ns) % WRAP_NS
        if self._behind_ns is None or _ahead_ns(self._behind_ns, behind) > 0:
            self._behind_ns = behind

    def since_ns(self, guest_ns: int) -> int:
        """How much later it is now than when the guest told `guest_ns`, not longer ago than 21 s; at least 0."""
        if self._behind_ns is None:
            raise MachineError("the guest has told no time yet")
        return max(0, _ahead_ns(self.counter_ns(), guest_ns + self._behind_ns))

    def _ask(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        try:
            self._end.sendall(json.dumps({"execute": command, "arguments": arguments or {}}).encode() + b"\n")
            while "return" not in (told := self._line()):
                if "error" in told:
                    raise MachineError(f"{command}: {told['error']}")
        except OSError as err:
            raise MachineError(f"QEMU's monitor does not answer: {err}") from err
        return told["return"]

    def _line(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._file.readline() or b'{"error": "it is gone"}')
        return told


def _ahead_ns(one: int, other: int) -> int:
    """By how much, either way, around the wrap."""
    return (one - other + WRAP_NS // 2) % WRAP_NS - WRAP_NS // 2
