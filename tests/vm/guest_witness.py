"""Run in the guest by /usr/bin/python3 -IS in the place of harness-ticks: `guest_witness.py CHANNEL SPOOL SOCKET`. The
guest's clock, as that tells it, and as one JSON line whenever it changed what the recorder said of itself: what it says
is durable was so before the line left. The clock waits for no answer of the recorder: where it comes late, the guest
was. It imports nothing of ours, so that it costs the one processor next to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

TICK_S = 0.02
ASK_S = 0.25
"""Between two questions."""
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


def names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def begun(path: str) -> bool:
    """Whether anything stands in it: a file that was made ahead for the next segment holds nothing but zeros."""
    try:
        with open(path, "rb") as file:
            return any(file.read(512))
    except OSError:
        return False


def seen(spool: str) -> dict[str, Any]:
    """Of its spool: the newest segment that was begun, when it was written to last, how many files are delivered."""
    newest = next((n for n in sorted(names(f"{spool}/open"), reverse=True) if begun(f"{spool}/open/{n}")), "")
    written = 0
    with contextlib.suppress(OSError):
        written = os.stat(f"{spool}/open/{newest}").st_mtime_ns
    return {"open": newest, "written": written, "delivered": len(names(f"{spool}/delivered"))}


def tell_time(channel: BinaryIO, turn: threading.Lock) -> None:
    while True:
        with turn:
            channel.write(b"%d\n" % (time.monotonic_ns() // 1_000_000))
        time.sleep(TICK_S)


def main(channel_path: str, spool: str, control: str) -> None:
    said: dict[str, Any] = {}
    before, asked = "", 0.0
    turn = threading.Lock()
    with open(channel_path, "wb", buffering=0) as channel:
        threading.Thread(target=tell_time, args=(channel, turn), daemon=True).start()
        while True:
            if time.monotonic() - asked >= ASK_S:
                said, asked = status(control), time.monotonic()
            line = json.dumps({**said, **seen(spool)})
            if line != before:
                with turn:
                    channel.write(line.encode() + b"\n")
                before = line
            time.sleep(TICK_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
