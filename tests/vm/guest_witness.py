"""Run in the guest by /usr/bin/python3 -IS in the place of harness-ticks: `guest_witness.py CHANNEL SPOOL SOCKET`. The
guest's clock, as that tells it, and as one JSON line whenever it changed what the recorder said of itself: what it says
is durable was so before the line left. It imports nothing of ours, so that it costs the one processor next to nothing.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any

TICK_S = 0.02
ASK_TICKS = 12
"""Between two questions: a quarter of a second."""
TOLD = ("state", "recording", "recordings", "parts", "parts_waiting", "media_s", "frames_dropped", "segments")


def status(path: str) -> dict[str, Any]:
    """What is of use of it; empty where no recorder answers."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            client.sendall(b'{"do": "status"}\n')
            told = json.loads(client.makefile().readline())
    except (OSError, ValueError):
        return {}
    upload, intake = told.get("upload") or {}, told.get("intake") or {}
    return {
        **{key: told.get(key) for key in TOLD},
        "faults": sorted(told.get("faults", ())),
        "upload": upload.get("state"),
        "ring_s": intake.get("ring_s", 0),
    }


def newest(directory: str) -> str:
    try:
        return max(os.listdir(directory), default="")
    except OSError:
        return ""


def main(channel_path: str, spool: str, control: str) -> None:
    said: dict[str, Any] = {}
    before, turn = "", 0
    with open(channel_path, "wb", buffering=0) as channel:
        while True:
            channel.write(b"%d\n" % (time.monotonic_ns() // 1_000_000))
            if turn % ASK_TICKS == 0:
                said = status(control)
            line = json.dumps({**said, "open": newest(f"{spool}/open")})
            if line != before:
                channel.write(line.encode() + b"\n")
                before = line
            turn += 1
            time.sleep(TICK_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
