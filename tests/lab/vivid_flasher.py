"""In a machine with vivid and snd-aloop: the picture gets bright as a beep sounds, both by this process on one clock.

usage: vivid_flasher.py VIDEO_DEVICE PCM_STATUS

It plays into hw:Loopback,0 a beep each EVENT_S, asks the kernel (PCM_STATUS, a file as
/proc/asound/Loopback/pcm0p/sub0/status) how far it has played, and sets vivid's brightness when the beep's first sample
is there, for FLASH_S. It prints one line for each: CLOCK_MONOTONIC ns, and how many samples of the beep were over.
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
EVENT_S, FLASH_S, BEEP_S, BEEP_HZ = 1.8, 0.6, 0.05, 2000
BRIGHT, DARK = 255, 0
LOOK_S = 0.001
VIDIOC_S_CTRL, V4L2_CID_BRIGHTNESS = 0xC008561C, 0x00980900


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


def played(status: str) -> int:
    """Samples that the device has taken so far; 0 before it runs."""
    with open(status, encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "hw_ptr":
                return int(value)
    return 0


def main() -> None:
    video, status = os.open(sys.argv[1], os.O_RDWR), sys.argv[2]
    command = ["aplay", "-q", "-D", "hw:Loopback,0", "-t", "raw", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as player:
        threading.Thread(target=play, args=(player,), daemon=True).start()
        number = 1
        while True:
            for at_s, brightness in ((0.0, BRIGHT), (FLASH_S, DARK)):
                due = round((number * EVENT_S + at_s) * RATE_HZ)
                while (now := played(status)) < due:
                    time.sleep(max(LOOK_S, (due - now) / RATE_HZ / 2))
                fcntl.ioctl(video, VIDIOC_S_CTRL, struct.pack("Ii", V4L2_CID_BRIGHTNESS, brightness))
                if brightness == BRIGHT:
                    print(time.monotonic_ns(), now - due, flush=True)
            number += 1


if __name__ == "__main__":
    main()
