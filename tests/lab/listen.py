"""Listen to a real PortAudio microphone for some blocks, in a process of its own.

usage: listen.py MICROPHONE BLOCKS OUT.raw

Writes the sound, prints one JSON object: name, stamps and arrivals in ns, samples of each block, whether stopping went
well.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from agent.capture.microphone import Microphone
from agent.model import AudioBlock


def main() -> None:
    name, wanted = sys.argv[1], int(sys.argv[2])
    blocks: list[AudioBlock] = []
    arrived: list[int] = []
    enough = threading.Event()

    def take(block: AudioBlock) -> None:
        blocks.append(block)
        arrived.append(time.monotonic_ns())
        if len(blocks) >= wanted:
            enough.set()

    microphone = Microphone(name)
    microphone.start(take, lambda signal: None)
    reached = enough.wait(30)
    let_go = microphone.stop(2.0)
    Path(sys.argv[3]).write_bytes(b"".join(block.pcm for block in blocks[:wanted]))
    stamps = [block.mono_ns for block in blocks[:wanted]]
    samples = [len(block.pcm) // 2 for block in blocks[:wanted]]
    told = {"name": microphone.name, "stamps": stamps, "arrived": arrived[:wanted], "samples": samples}
    print(json.dumps(told | {"reached": reached, "let_go": let_go}))


if __name__ == "__main__":
    main()
