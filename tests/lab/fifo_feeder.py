"""Play the twin's sound, a beep each second, into a FIFO at the pace of a microphone; then hold the FIFO, as a mic
that died.

usage: fifo_feeder.py FIFO FRAMES_PER_BLOCK SECONDS [PAUSE_S [PACE [HZ [keeps]]]]

With PAUSE_S it goes on after that, at the place where the sound would be by then (- for none); with `keeps`,
what it did not give meanwhile comes first, at once, and its time begins as its first block is read, however long
who listens takes to open it. With PACE it gives that many times as much sound in a second as it says, which is HZ, a
whole part of 48,000. Prints
CLOCK_MONOTONIC ns once the first block may be read. ALSA's file plugin opens the FIFO once, so
this must run before the device is opened; it holds the FIFO for reading and writing, so that nobody sees an end
of file; it writes whole blocks, since the plugin garbles smaller ones.
It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import termios
import threading
import time

from agent.capture.synthetic import beep_second
from agent.model import AUDIO_HZ

SAMPLE_BYTES = 2


def waiting(fifo: int) -> int:
    """Bytes that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(fifo, termios.FIONREAD, bytes(4)), sys.byteorder)


def main() -> None:
    fifo, frames, seconds = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK), int(sys.argv[2]), float(sys.argv[3])
    pause_s = float(sys.argv[4]) if len(sys.argv) > 4 and sys.argv[4] != "-" else None
    says_hz = int(sys.argv[6]) if len(sys.argv) > 6 else AUDIO_HZ
    rate_hz = says_hz * (float(sys.argv[5]) if len(sys.argv) > 5 else 1.0)
    keeps = "keeps" in sys.argv[7:]
    gone = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), gone.set()), daemon=True).start()
    second = memoryview(beep_second()).cast("h")[:: AUDIO_HZ // says_hz].tobytes()
    sound = second * frames  # a whole number of blocks and of seconds
    written = os.write(fifo, sound[: frames * SAMPLE_BYTES]) // SAMPLE_BYTES if keeps else 0
    print(time.monotonic_ns(), flush=True)
    while waiting(fifo) == written * SAMPLE_BYTES > 0 and not gone.wait(0.002):
        pass
    begin = time.monotonic()
    gone.wait(written / rate_hz)
    while not gone.is_set():
        if written >= seconds * rate_hz:
            if pause_s is None:
                break
            over = begin + seconds + pause_s
            if not keeps:
                written += round(pause_s * rate_hz / frames) * frames
                over = begin + written / rate_hz
            seconds, pause_s = float("inf"), None
            gone.wait(max(0.0, over - time.monotonic()))
        at = written * SAMPLE_BYTES % len(sound)
        # Nobody listens any more: what a microphone hears is gone then, and it must still notice its own end.
        with contextlib.suppress(BlockingIOError):
            os.write(fifo, sound[at : at + frames * SAMPLE_BYTES])
        written += frames
        gone.wait(max(0.0, begin + written / rate_hz - time.monotonic()))
    gone.wait()


if __name__ == "__main__":
    main()
