"""Ports of this machine that a server of a test may take again and again, as one in a configuration would be."""

from __future__ import annotations

import socket
from pathlib import Path
from secrets import randbelow

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Below those that the kernel gives to whoever asks for any: between two lives of a server it would give this one
    to somebody else.
    """
    low = int(RANGE.read_text("ascii").split()[0])
    for _ in range(1000):
        port = low // 2 + randbelow(low - low // 2)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port from {low // 2} to {low - 1} is free")
