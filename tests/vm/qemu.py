"""QEMU's q35, emulated: Debian's own kernel, five to ten times slower, and a data disk whose volatile cache is lost
with the power.

Its clock is this machine's, or, where it is `steady`, that of the instructions which it executed: QEMU's manual, "TCG
Instruction Counting" and -icount. One processor then runs one instruction each nanosecond (shift=0, the most there is),
whatever else runs here, and its clock goes as this machine's only while it waits for a timer, the disk or the network.
So by its own clock the camera is never too slow to encode, and what it loses in a second of that clock is its own
loss; such a second takes up to five here. sleep=off would be quicker, and no clock to count a loss by: while the disk
is at work, time leaps from timer to timer, in an idle boot by minutes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from agent.model import NS
from tests.vm.channel import MachineError, Tick
from tests.vm.instant import Instant
from tests.vm.machine import Machine, end_with_parent

FREE = ("-accel", "tcg,thread=multi", "-smp", "2")
STEADY = ("-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=0,sleep=on", "-rtc", "clock=vm")
"""-rtc clock=vm: its calendar follows the same clock."""
SLOWER = 5
"""So much longer a second of a steady machine takes here, about."""
TICK_S = 0.02
PATIENCE = 6.0
"""It may have to share a processor with others besides, and no harm comes of that."""
REST_S = 600
HEARD = 10
HEARD_S = 60.0
_PACKET = re.compile(rb"\$([^#]*)#[0-9a-f]{2}")
KERNEL_WORDS = (
    "console=ttyS0 panic=5 mitigations=off quiet loglevel=4 systemd.show_status=0 net.ifnames=0 "
    "random.trust_cpu=on cryptomgr.notests no_timer_check tsc=reliable"
)


class Qemu(Machine):
    """The guest reaches `station_port` of this machine at `host`:8443, and nothing else. One that is reset, by its
    watchdog or itself, is off; with `resets` it boots again.
    """

    kind = "qemu"
    one_at_a_time = False
    host = "10.0.2.100"

    def __init__(
        self,
        images: Path,
        work: Path | None = None,
        *,
        station_port: int,
        memory_mib: int = 1024,
        volatile: bool = True,
        steady: bool = False,
        resets: bool = False,
        tpm: bool = False,
    ) -> None:
        super().__init__(images, work)
        self.steady, self.patience = steady, PATIENCE if steady else 1.0
        self._after_reset = [] if resets else ["-no-reboot"]
        self._port, self._memory_mib, self._volatile = station_port, memory_mib, volatile
        self._cache: subprocess.Popen[bytes] | None = None
        self._chip = self.work / "tpm" if tpm else None
        self._tpm_process: subprocess.Popen[bytes] | None = None
        self._instant: Instant | None = None

    def start(self, timeout_s: float = 180) -> float:
        took_s = super().start(timeout_s)
        if self.steady:
            self._instant = Instant(self._reach("monitor"))
            self._hear(timeout_s)
        return took_s

    def _hear(self, timeout_s: float) -> None:
        """How its clock and the HPET lie to each other, by some of its ticks."""
        assert self._instant
        deadline, heard = time.monotonic() + timeout_s, list[Tick]()
        while len(heard) < HEARD:
            tick = self.tick()
            if tick and tick not in heard[-1:]:
                self._instant.heard(tick.guest_ns)
                heard.append(tick)
            elif not self.running() or time.monotonic() > deadline:
                raise MachineError(f"it tells no time; console: {self.console_tail()}")
            else:
                time.sleep(0.001)

    def _power_on(self) -> tuple[socket.socket, socket.socket]:
        for name in ("commands", "ticks", "disk", "monitor", "chip"):
            (self.work / name).unlink(missing_ok=True)
        if self._chip:
            self._solder(self._chip)
        data = self._cached_disk() if self._volatile else f"file={self._data_disk()},format=raw"
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                self._arguments(data),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        return self._reach("commands"), self._reach("ticks")

    def _arguments(self, data: str) -> list[str]:
        return [
            *("qemu-system-x86_64", "-cpu", "max", "-M", "q35", *(STEADY if self.steady else FREE)),
            *("-m", str(self._memory_mib), "-nodefaults", "-no-user-config", "-display", "none", *self._after_reset),
            *(
                "-kernel",
                str(self.images / "vmlinuz"),
                "-initrd",
                str(self.images / "initrd.gz"),
                "-append",
                KERNEL_WORDS,
            ),
            *("-serial", f"file:{self.work / 'serial.log'}"),
            *(
                "-drive",
                f"file={self._root_disk()},format=qcow2,if=none,id=d0",
                "-device",
                "virtio-blk-pci,drive=d0,serial=root",
            ),
            *("-drive", f"{data},if=none,id=d1,cache=writeback", "-device", "virtio-blk-pci,drive=d1,serial=data"),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci,id=vs0,max_ports=4"),
            *("-chardev", f"socket,id=commands,path={self.work / 'commands'},server=on,wait=off"),
            *("-device", "virtserialport,bus=vs0.0,nr=1,chardev=commands,name=commands"),
            *("-chardev", f"socket,id=ticks,path={self.work / 'ticks'},server=on,wait=off"),
            *("-device", "virtserialport,bus=vs0.0,nr=2,chardev=ticks,name=ticks"),
            *("-chardev", f"socket,id=monitor,path={self.work / 'monitor'},server=on,wait=off"),
            *("-mon", "chardev=monitor,mode=control"),
            *("-device", "i6300esb", "-action", "watchdog=reset"),
            *(self._tpm() if self._chip else ()),
            # No way out of the guest but to the station; each connection has a relay of its own.
            *("-netdev", f"user,id=n0,restrict=on,guestfwd=tcp:{self.host}:8443-cmd:busybox nc 127.0.0.1 {self._port}"),
            *("-device", "virtio-net-pci,netdev=n0"),
        ]

    def _solder(self, state: Path) -> None:
        """A TPM 2.0, as swtpm makes one: what it was told to keep it has after a cut, too. It ends with the machine."""
        state.mkdir(exist_ok=True)
        at = self.work / "chip"
        if self._tpm_process:
            # That of the boot before may still hold the state.
            self._tpm_process.wait(10)
        self._tpm_process = subprocess.Popen(
            [
                "swtpm",
                "socket",
                "--tpm2",
                "--tpmstate",
                f"dir={state}",
                "--ctrl",
                f"type=unixio,path={at}",
                "--terminate",
            ],
            preexec_fn=end_with_parent,
        )
        _appears(at, "swtpm")

    def _tpm(self) -> list[str]:
        """On the bus of the board, where the kernel looks for one."""
        chip = ("-chardev", f"socket,id=chip,path={self.work / 'chip'}", "-tpmdev", "emulator,id=tpm,chardev=chip")
        return [*chip, "-device", "tpm-tis,tpmdev=tpm"]

    def hang(self) -> None:
        """Its kernel stands still from the next tick of its clock on: the processor halts there, deaf to all (hlt, and
        the same again: interrupts are off there). A steady one alone, which has one processor.
        """
        (line,) = self.run("grep ' asm_sysvec_apic_timer_interrupt$' /proc/kallsyms").splitlines()
        gdb = self.work / "gdb"
        gdb.unlink(missing_ok=True)
        assert self._instant
        self._instant.monitor(f"gdbserver unix:{gdb},server=on,wait=off")
        with self._reach("gdb") as debugger:
            debugger.settimeout(HEARD_S)
            # GDB's Remote Serial Protocol: write memory, go on without a debugger.
            for packet in (f"M{line.split()[0]},3:f4ebfd", "D"):
                debugger.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
                if (answer := _debuggers_answer(debugger)) != b"OK":
                    raise MachineError(f"QEMU's debugger to {packet}: {answer!r}")

    def rest(self, seconds: float) -> None:
        if not self.steady:
            super().rest(seconds)
            return
        begin = self.tick()
        if not begin:
            raise MachineError("it tells no time yet")
        left_s, deadline = seconds, time.monotonic() + REST_S + SLOWER * seconds
        while left_s > TICK_S:
            if not self.running() or time.monotonic() > deadline:
                raise MachineError(f"its clock does not go on: {left_s:.2f} of {seconds:.2f} s are left")
            time.sleep(0.002)
            now = self.tick()
            assert now
            left_s = seconds - (now.guest_ns - begin.guest_ns) / NS
        # Between two ticks, wherever that is.
        time.sleep(max(0.0, left_s) * SLOWER)

    def _root_disk(self) -> Path:
        disk = self.work / "root.qcow2"
        if not disk.exists():
            file = {"driver": "file", "filename": str((self.images / "root.ext4").resolve()), "locking": "off"}
            base = "json:" + json.dumps({"driver": "raw", "file": file})
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, str(disk)], check=True)
        return disk

    def _cached_disk(self) -> str:
        """The disk's own volatile cache: nbdkit keeps what is written to itself until the guest flushes; killed, it
        takes that along.
        """
        at = self.work / "disk"
        self._cache = subprocess.Popen(
            [
                "nbdkit",
                "-f",
                "--exit-with-parent",
                "-U",
                str(at),
                "--filter=cache",
                "file",
                str(self._data_disk()),
                "cache=writeback",
            ],
            start_new_session=True,
        )
        _appears(at, "nbdkit")
        return f"file.driver=nbd,file.server.type=unix,file.server.path={at},format=raw"

    def _reach(self, name: str, timeout_s: float = 15) -> socket.socket:
        assert self._process
        deadline = time.monotonic() + timeout_s
        while True:
            end = socket.socket(socket.AF_UNIX)
            try:
                end.connect(str(self.work / name))
                return end
            except OSError as err:
                end.close()
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise MachineError(f"qemu does not answer: {err}; {self.console_tail()}") from err
                time.sleep(0.05)

    def _power_off(self) -> None:
        # First, so that nothing which QEMU still says on its way out reaches the disk.
        if self._cache:
            os.killpg(self._cache.pid, signal.SIGKILL)
            self._cache.wait()
            self._cache = None

    def _own_clock_ns(self, told: Tick) -> int | None:
        """The disk's power is off already; the processor's goes when this is known."""
        return told.guest_ns + self._instant.since_ns(told.guest_ns) if self._instant and self.running() else None

    def power_cut(self) -> int | None:
        try:
            return super().power_cut()
        finally:
            if self._instant:
                self._instant.close()
                self._instant = None

    def connect(self) -> None:
        self.run("ip addr replace 10.0.2.15/24 dev eth0 && ip link set eth0 up")


def _appears(at: Path, program: str) -> None:
    """The socket of a program that was just started."""
    deadline = time.monotonic() + 10
    while not at.exists():
        if time.monotonic() > deadline:
            raise MachineError(f"{program} did not start")
        time.sleep(0.02)


def _debuggers_answer(debugger: socket.socket) -> bytes:
    """The next packet that does not tell that the machine was stopped for the debugger; each is acknowledged."""
    heard = b""
    while piece := debugger.recv(1 << 12):
        heard += piece
        while packet := _PACKET.search(heard):
            debugger.sendall(b"+")
            heard = heard[packet.end() :]
            if packet[1][:1] not in (b"T", b"S"):
                return packet[1]
    raise MachineError("QEMU's debugger is gone")
