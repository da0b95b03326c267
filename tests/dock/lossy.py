"""Two network namespaces and a link between them that loses, delays and drops: two TUN devices, whose packets this
process carries. (netem.py has the kernel do so, where it can.) Needs root; what it makes goes with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time

from tests.dock import spaces
from tests.dock.spaces import CAMERA, STATION, ip

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET = 1 << 16


def missing() -> str:
    """Why there can be no such link here, in words; "" where there can."""
    return spaces.missing() or ("" if os.path.exists("/dev/net/tun") else "this kernel has no TUN devices")


class Lossy:
    """Camera (10.99.0.1) and station (10.99.0.2), each in a namespace of its own."""

    def __init__(self, seed: int, loss: float = 0.0, delay_s: float = 0.0) -> None:
        self.loss, self.delay_s, self.cut = loss, delay_s, False
        self.lost = self.carried = 0
        self._chance = random.Random(seed)
        self._stack = contextlib.ExitStack()
        self.camera, self.station = spaces.names()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._carry, name="lossy")

    def __enter__(self) -> Lossy:
        with contextlib.ExitStack() as stack:
            self._ends = {}
            stack.enter_context(spaces.made(self.camera, self.station))
            pairs = ((self.camera, CAMERA, STATION), (self.station, STATION, CAMERA))
            for number, (space, ours, theirs) in enumerate(pairs):
                name = f"bct{os.getpid() % 100_000}{number}"
                fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
                stack.callback(os.close, fd)
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
                ip("link", "set", name, "netns", space)
                ip("-n", space, "addr", "add", ours, "peer", theirs, "dev", name)
                ip("-n", space, "link", "set", name, "up")
                self._ends[number] = fd
            self._thread.start()
            stack.callback(self._thread.join, 10)
            stack.callback(self._over.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _carry(self) -> None:
        """Each packet goes on after the delay, in order, or is lost."""
        queue: list[tuple[float, int, int, bytes]] = []
        other = {self._ends[0]: self._ends[1], self._ends[1]: self._ends[0]}
        count = 0
        while not self._over.is_set():
            wait = max(0.0, queue[0][0] - time.monotonic()) if queue else 0.05
            for fd in select.select(list(other), [], [], min(wait, 0.05))[0]:
                with contextlib.suppress(OSError):
                    packet = os.read(fd, _PACKET)
                    if self.cut or self._chance.random() < self.loss:
                        self.lost += 1
                        continue
                    count += 1
                    heapq.heappush(queue, (time.monotonic() + self.delay_s, count, other[fd], packet))
            while queue and queue[0][0] <= time.monotonic():
                _, _, fd, packet = heapq.heappop(queue)
                with contextlib.suppress(OSError):
                    os.write(fd, packet)
                    self.carried += 1
