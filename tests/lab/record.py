"""Record the synthetic camera and a real PortAudio microphone in a process of its own: what hangs in PortAudio hangs
here.

usage: record.py MICROPHONE SECONDS OUT.mp4     (ALSA_CONFIG_PATH names the microphone's configuration)

Prints one JSON object: events, when each part came (monotonic seconds) and what it holds, counters, how long stopping
took.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from agent.capture.microphone import Microphone
from agent.capture.reviving import Reviving
from agent.capture.synthetic import SyntheticCamera
from agent.clock import SystemClock
from agent.intake import Intake, IntakeEvent, IntakeSettings
from agent.media.parts import PartMuxer
from agent.model import NS, EncodedPacket, MediaPart, Track


def main() -> None:
    name, seconds, out = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    events: list[IntakeEvent] = []
    parts: list[tuple[float, MediaPart]] = []
    init: list[bytes] = []
    enough = threading.Event()
    settings = IntakeSettings(bitrate_kbps=1000, preset="ultrafast", pre_event_s=5)
    microphone = Reviving(name, lambda: Microphone(name))
    intake = Intake(SyntheticCamera(320, 240, 30), microphone, settings, SystemClock(), events.append)
    intake.start()
    muxer = PartMuxer(intake.wait_ready(10), init.append, lambda part: parts.append((time.monotonic(), part)))
    first: list[EncodedPacket] = []

    def sink(packet: EncodedPacket) -> None:
        muxer.push(packet)
        if packet.track is Track.VIDEO:
            first.append(packet)
            if packet.pts_ns - first[0].pts_ns >= seconds * NS:
                enough.set()

    intake.attach(sink, time.monotonic_ns())
    reached = enough.wait(seconds * 3 + 10)
    complete = intake.detach()
    counters = intake.counters().to_dict()
    muxer.close()
    before = time.monotonic()
    let_go = intake.stop()
    stop_s = time.monotonic() - before
    out.write_bytes(init[0] + b"".join(part.data for _, part in parts))
    report = {
        "reached": reached,
        "complete": complete,
        "let_go": let_go,
        "stop_s": stop_s,
        "counters": counters,
        "events": [[event.type, event.mono_ns, event.detail] for event in events],
        "parts": [[at, part.start_ns / NS, part.duration_ns / NS, part.audio_samples] for at, part in parts],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
