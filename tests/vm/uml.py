"""User-mode Linux (build-kernel.sh): the guest's code runs at this machine's own speed. One CPU, and no disk cache of
its own: what the guest wrote is in this machine's page cache, so a cut tests the guest's cache and journal.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path

from tests.vm.machine import Machine, end_with_parent

GUEST = "10.99.0.2"


class Uml(Machine):
    """With a network name space of its own, for all that the camera talks to: `inside` goes before its command."""

    kind = "uml"
    one_at_a_time = True
    host = "10.99.0.1"

    def __init__(self, images: Path, work: Path | None = None, *, memory_mib: int = 768) -> None:
        super().__init__(images, work)
        self._memory_mib = memory_mib
        self._space = f"bodycam-{os.getpid()}-{id(self) & 0xFFFF:x}"
        self._ip("netns", "add", self._space)
        self._ip("-n", self._space, "link", "set", "lo", "up")
        self._ip("-n", self._space, "tuntap", "add", "dev", "tap0", "mode", "tap")
        self._ip("-n", self._space, "addr", "add", f"{self.host}/24", "dev", "tap0")
        self._ip("-n", self._space, "link", "set", "tap0", "up")

    @property
    def inside(self) -> list[str]:
        return ["ip", "netns", "exec", self._space]

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def _power_on(self) -> tuple[socket.socket, socket.socket]:
        commands, their_commands = socket.socketpair()
        ticks, their_ticks = socket.socketpair()
        fds = (their_commands.fileno(), their_ticks.fileno())
        fast = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *self.inside,
                    str(self.images / "linux-uml"),
                    f"mem={self._memory_mib}M",
                    f"ubd0={self.work / 'root.cow'},{self.images / 'root.ext4'}",
                    f"ubd1={self._data_disk()}",
                    "vec0:transport=tap,ifname=tap0,depth=64,gro=1",
                    *("root=/dev/ubda", "ro", "con=null", "con0=null,fd:1"),
                    *(f"ssl0=fd:{fds[0]}", f"ssl1=fd:{fds[1]}", "ssl=null"),
                    *("panic=5", "quiet", "systemd.show_status=0"),
                ],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=end_with_parent,
                env={**os.environ, "TMPDIR": str(fast)},
            )
        their_commands.close()
        their_ticks.close()
        return commands, ticks

    def connect(self) -> None:
        self.run(f"ip addr replace {GUEST}/24 dev vec0 && ip link set vec0 up")

    def _power_off(self) -> None:
        pass

    def close(self) -> None:
        super().close()
        with contextlib.suppress(subprocess.CalledProcessError):
            self._ip("netns", "del", self._space)
