"""A light that flashes as it beeps, outside of the agent: one process, one clock.

usage: flasher.py FIFO FRAMES_PER_BLOCK [BEEP_LATE_MS] > pictures

Every 0.9 s from its begin on a flash of 0.1 s and a beep of 50 ms begin at the same instant. Sound goes into the FIFO
(see fifo_feeder.py), a block when its last sample is over, as from a sound card. Pictures go to standard output, one
line each at its instant: CLOCK_MONOTONIC ns, and 1 where it is lit. BEEP_LATE_MS plants an error. It ends with its
standard input.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import numpy as np

RATE_HZ, FPS = 48_000, 30
EVENT_S, FLASH_S, BEEP_S, BEEP_HZ = 0.9, 0.1, 0.05, 2000
NS = 1_000_000_000


def sound(first: int, count: int, late_s: float) -> bytes:
    """Samples from `first` on: beeps that begin at their full strength."""
    since_s = (np.arange(first, first + count) / RATE_HZ - late_s) % EVENT_S
    wave = np.where(since_s < BEEP_S, np.rint(20_000 * np.cos(2 * np.pi * BEEP_HZ * since_s)), 0)
    return wave.astype("<i2").tobytes()


def is_lit(number: int) -> bool:
    """Whether picture `number` shows the light: an event is 27 pictures, a flash three."""
    return number % round(EVENT_S * FPS) < round(FLASH_S * FPS)


def lit_ns(begin_ns: int, from_ns: int, to_ns: int) -> int:
    """For how long the light that began then is on between two instants."""
    event, flash = round(EVENT_S * NS), round(FLASH_S * NS)

    def on_until(mono_ns: int) -> int:
        events, since = divmod(max(0, mono_ns - begin_ns), event)
        return events * flash + min(since, flash)

    return on_until(to_ns) - on_until(from_ns)


def wait_until(mono_ns: int, gone: threading.Event) -> None:
    gone.wait(max(0.0, (mono_ns - time.monotonic_ns()) / NS))


def play(fifo: int, block: int, late_s: float, begin_ns: int, gone: threading.Event) -> None:
    first = 0
    while not gone.is_set():
        wait_until(begin_ns + (first + block) * NS // RATE_HZ, gone)
        with contextlib.suppress(BlockingIOError):
            os.write(fifo, sound(first, block, late_s))
        first += block


def show(begin_ns: int, gone: threading.Event) -> None:
    number = 0
    while not gone.is_set():
        at_ns = begin_ns + number * NS // FPS
        wait_until(at_ns, gone)
        print(at_ns, int(is_lit(number)), flush=True)
        number += 1


def main() -> None:
    fifo, block = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK), int(sys.argv[2])
    late_s = float(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0
    with contextlib.suppress(OSError):
        # A busy machine must not hold up the light and the sound themselves; without the right to that it may.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gone, begin_ns = threading.Event(), time.monotonic_ns()
    threading.Thread(target=play, args=(fifo, block, late_s, begin_ns, gone), daemon=True).start()
    threading.Thread(target=show, args=(begin_ns, gone), daemon=True).start()
    sys.stdin.read()
    gone.set()


if __name__ == "__main__":
    main()
