"""In a machine with vivid and snd-aloop: the picture gets bright as a beep sounds, both by this process on one clock.

usage: vivid_flasher.py VIDEO_DEVICE PCM_STATUS

It plays into hw:Loopback,0 a beep each EVENT_S, learns from the kernel (PCM_STATUS, a file as
/proc/asound/Loopback/pcm0p/sub0/status) when which sample is there, and sets vivid's brightness for FLASH_S as the
beep's first one is. Pictures are stamped as they begin to be made. It prints one line for each: CLOCK_MONOTONIC ns,
by how many us the light was late, and "lit"; or "dark" where it came too late to be one of this beep's, and was left
out.
Needs nothing but Python and aplay.
"""

from __future__ import annotations

import array
import fcntl
import math
import os
import random
import struct
import subprocess
import sys
import threading
import time

RATE_HZ = 48_000
EVENT_S, FLASH_S, BEEP_S, BEEP_HZ = 1.84125, 0.6, 0.05, 2000
"""No whole number of pictures at 15 a second (27.6): each event meets them elsewhere between two."""
BRIGHT, DARK = 255, 0
FIRST = 4
"""Events before have no light: it is not known yet when which sample is there."""
LOOK_S = 0.007
"""No whole part of a kernel's tick of 10 ms, with which the device moves on."""
CLOSE_NS = 40_000_000
MOST_LATE_NS = 2_000_000
NS = 1_000_000_000
VIDIOC_S_CTRL, V4L2_CID_BRIGHTNESS = 0xC008561C, 0x00980900
VIVID_CID_TSTAMP_SRC, START_OF_EXPOSURE = 0x00F0F000 + 24, 1
"""Of vivid's own class (vivid-ctrls.c). A webcam stamps so (uvcvideo: V4L2_BUF_FLAG_TSTAMP_SRC_SOE)."""


def event() -> bytes:
    """One beep, at the beginning, and the faint noise of a room: a microphone without any is a dead one."""
    count, beep = round(EVENT_S * RATE_HZ), round(BEEP_S * RATE_HZ)
    wave = [round(20_000 * math.cos(2 * math.pi * BEEP_HZ * n / RATE_HZ)) for n in range(beep)]
    noise = random.Random(4)
    return array.array("h", wave + [noise.randint(-20, 20) for _ in range(count - beep)]).tobytes()


def play(player: subprocess.Popen[bytes]) -> None:
    assert player.stdin
    sound = event()
    while True:
        player.stdin.write(sound)
        player.stdin.flush()


class Played:
    """When which sample is there: the device moves on by whole ticks, so the earliest sight of it is nearest."""

    def __init__(self, status: str) -> None:
        self._status, self._zero_ns, self._last = status, 1 << 62, 0

    def look(self) -> None:
        with open(self._status, encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() == "hw_ptr" and int(value):
                    if int(value) < self._last:
                        raise SystemExit(
                            "vivid_flasher: error: nothing was there to play: which sample is when is lost"
                        )
                    self._last = int(value)
                    self._zero_ns = min(self._zero_ns, time.monotonic_ns() - int(value) * NS // RATE_HZ)

    def at_ns(self, sample: int) -> int:
        return self._zero_ns + sample * NS // RATE_HZ


def late_ns(played: Played, sample: int) -> int:
    """Returns as it is there, and by how much later."""
    while (left_ns := played.at_ns(sample) - time.monotonic_ns()) > CLOSE_NS:
        time.sleep(LOOK_S)
        played.look()
    time.sleep(max(0, left_ns) / NS)
    return time.monotonic_ns() - played.at_ns(sample)


def main() -> None:
    video, played = os.open(sys.argv[1], os.O_RDWR), Played(sys.argv[2])
    # Where the machine stands still for a second, there is more to play than that.
    command = ["aplay", "-q", "-D", "hw:Loopback,0", "--buffer-time=4000000", "--period-time=100000"]
    command += ["-t", "raw", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1"]

    def control(which: int, value: int) -> None:
        fcntl.ioctl(video, VIDIOC_S_CTRL, struct.pack("Ii", which, value))

    def shine(brightness: int) -> None:
        control(V4L2_CID_BRIGHTNESS, brightness)

    control(VIVID_CID_TSTAMP_SRC, START_OF_EXPOSURE)

    with subprocess.Popen(command, stdin=subprocess.PIPE) as player:
        threading.Thread(target=play, args=(player,), daemon=True).start()
        number = FIRST
        while True:
            due = round(number * EVENT_S * RATE_HZ)
            late = late_ns(played, due)
            lit = late <= MOST_LATE_NS
            if lit:
                shine(BRIGHT)
                late = time.monotonic_ns() - played.at_ns(due)
            print(time.monotonic_ns(), late // 1000, "lit" if lit else "dark", flush=True)
            late_ns(played, due + round(FLASH_S * RATE_HZ))
            shine(DARK)
            number += 1


if __name__ == "__main__":
    main()
