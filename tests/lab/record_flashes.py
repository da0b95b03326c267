"""Record what flasher.py shows and sounds: pictures from standard input, sound from a real PortAudio microphone.

usage: record_flashes.py MICROPHONE SECONDS SOUND_LATENCY_MS OUT.mp4 < pictures

Prints one JSON object: counters, whether all was recorded.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np

from agent.capture.base import DeliverFrame, Signal
from agent.capture.microphone import Microphone
from agent.capture.reviving import Reviving
from agent.clock import SystemClock
from agent.intake import Intake, IntakeSettings
from agent.media.parts import PartMuxer
from agent.model import NS, EncodedPacket, MediaPart, Track, VideoFrame

SETTLE_S = 5.0
"""What waited in the FIFO comes in one burst; then its pace is that of the process that feeds it."""


class OutsideCamera:
    """Pictures as another process stamps them, grey or white; a moving edge, so that no two are alike."""

    live, name, fps, dropped_frames = True, "the light outside", 30.0, 0

    def start(self, deliver: DeliverFrame, signal: Signal) -> None:
        self._deliver = deliver
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self, deadline_s: float = 2.0) -> bool:
        return True

    def _run(self) -> None:
        number = 0
        for line in sys.stdin:
            mono_ns, lit = map(int, line.split())
            if time.monotonic_ns() - mono_ns > NS and not number:
                continue
            picture = np.full((360, 320), 128, np.uint8)
            picture[:240] = 235 if lit else 40
            picture[200:240, : 8 + number % 300] = 120
            self._deliver(VideoFrame(mono_ns, number, av.VideoFrame.from_ndarray(picture, format="yuv420p")))
            number += 1


def main() -> None:
    name, seconds, latency_ms, out = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    parts: list[MediaPart] = []
    init: list[bytes] = []
    enough = threading.Event()
    settings = IntakeSettings(1000, "ultrafast", pre_event_s=3, sound_latency_ns=latency_ms * 1_000_000, watch=False)
    intake = Intake(
        OutsideCamera(), Reviving(name, lambda: Microphone(name)), settings, SystemClock(), lambda event: None
    )
    intake.start()
    info = intake.wait_ready(20)
    threading.Event().wait(SETTLE_S)
    muxer = PartMuxer(info, init.append, parts.append)
    first: list[int] = []

    def sink(packet: EncodedPacket) -> None:
        muxer.push(packet)
        if packet.track is Track.VIDEO:
            first.append(packet.pts_ns)
            if first[-1] - first[0] >= seconds * NS:
                enough.set()

    intake.attach(sink, time.monotonic_ns())
    reached = enough.wait(seconds * 2 + 20)
    complete = intake.detach()
    counters = intake.counters().to_dict()
    muxer.close()
    intake.stop()
    out.write_bytes(init[0] + b"".join(part.data for part in parts))
    print(json.dumps({"reached": reached, "complete": complete, "counters": counters}), flush=True)
    # A device that hangs in its library must not keep this process.
    os._exit(0)


if __name__ == "__main__":
    main()
