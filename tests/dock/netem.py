"""Two network namespaces and a veth pair between them, at both ends of which the kernel's netem (tc-netem(8)) loses,
delays, reorders, doubles, spoils and holds back packets. Needs root and a kernel that has it.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator

from tests.dock import spaces
from tests.dock.spaces import CAMERA, STATION, ip

DEVICE = "dock"
SILENT = "loss 100%"


def missing() -> str:
    """Why there can be no such link here, in words; "" where there can."""
    if why := spaces.missing():
        return why
    tried = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    try:
        done = subprocess.run(tried, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "no unshare or tc here"
    return f"no netem in this kernel: {' '.join(done.stderr.split())}" if done.returncode else ""


class Netem:
    """Camera and station, each in a namespace of its own; `effects` are netem's words for the way there and back."""

    def __init__(self, effects: str) -> None:
        self._effects = effects
        self.camera, self.station = spaces.names()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Netem:
        with contextlib.ExitStack() as stack:
            stack.enter_context(spaces.made(self.camera, self.station))
            near, far = ("name", DEVICE, "netns", self.camera), ("name", DEVICE, "netns", self.station)
            ip("link", "add", *near, "type", "veth", "peer", *far)
            for space, address in ((self.camera, CAMERA), (self.station, STATION)):
                ip("-n", space, "addr", "add", f"{address}/24", "dev", DEVICE)
                # Packets as a cable has them: a veth would carry 64 KiB at once, and lose as much.
                ip("-n", space, "link", "set", DEVICE, "gso_max_segs", "1", "up")
            self._shape("add", self._effects)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Nothing comes through, and no end is told: connections are half-open."""
        self._shape("change", SILENT)
        try:
            yield
        finally:
            self._shape("change", self._effects)

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """The station's end is down, so the camera's has no carrier."""
        ip("-n", self.station, "link", "set", DEVICE, "down")
        try:
            yield
        finally:
            ip("-n", self.station, "link", "set", DEVICE, "up")

    def counted(self) -> Counter[str]:
        """What became of the packets, at both ends together: netem's own counters, and TCP's of what they did to it."""
        total: Counter[str] = Counter()
        for space in (self.camera, self.station):
            (queue,) = json.loads(_said("tc", "-n", space, "-s", "-j", "qdisc", "show", "dev", DEVICE))
            total.update(carried=queue["packets"], lost=queue["drops"], reordered=queue["requeues"])
            known = _kernel_counters(_said("ip", "netns", "exec", space, "cat", "/proc/net/snmp", "/proc/net/netstat"))
            total.update(spoiled=known["Tcp.InCsumErrors"], doubled=known["TcpExt.TCPDSACKRecv"])
        return total

    def half_open(self) -> int:
        """Connections that the camera holds to be established, with bytes under way that nobody took; while the link is
        silent. (One that rests between two requests has none, and its end shows with the next.)
        """
        told = _said("ip", "netns", "exec", self.camera, "ss", "-Htn", "state", "established")
        return sum(int(line.split()[1]) > 0 for line in told.splitlines())

    def _shape(self, how: str, effects: str) -> None:
        for space in (self.camera, self.station):
            _said("tc", "-n", space, "qdisc", how, "dev", DEVICE, "root", "netem", *effects.split())


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def _kernel_counters(text: str) -> dict[str, int]:
    """Of /proc/net/snmp and netstat: a line of names, then a line of values."""
    lines = re.findall(r"^(\w+): (.*)\n\1: (.*)$", text, re.MULTILINE)
    return {
        f"{group}.{name}": int(value)
        for group, names, values in lines
        for name, value in zip(names.split(), values.split(), strict=True)
    }
