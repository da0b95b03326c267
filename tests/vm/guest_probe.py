"""Run in the guest by /usr/bin/python3, inside a unit or outside it: what may this process do? Prints a JSON object on
its last line: name of the attempt to "done", or the name of the error or of the signal that ended it. It imports
nothing of ours.

    guest_probe.py recorder|uploader SPOOL STATION RECORDER_PID HOST_NETWORK
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

side, spool, station, recorder_pid, host_network = sys.argv[1:]
KEYS = {
    "recorder": "/etc/bodycam-agent/recorder/identity.key",
    "uploader": "/etc/bodycam-agent/uploader/tls.key",
}
HANDED = {
    "recorder": "/run/credentials/bodycam-recorder.service/identity.key",
    "uploader": "/run/credentials/bodycam-uploader.service/tls.key",
}
OTHER = {"recorder": "uploader", "uploader": "recorder"}[side]
VIDIOC_QUERYCAP = 0x80685600
GPIO_GET_CHIPINFO_IOCTL = 0x8044B401
ADJ_STATUS, STA_UNSYNC = 0x0010, 0x0040
told: dict[str, str] = {}


def attempt(name: str, do: Callable[[], Any]) -> None:
    try:
        do()
        told[name] = "done"
    except OSError as err:
        told[name] = errno.errorcode.get(err.errno or 0, str(err))


def tune(modes: int) -> None:
    """adjtimex(2): without `modes` it only tells; with ADJ_STATUS it says that nobody vouches for the clock. At 64 bits
    `status` is the sixth word, and `modes` the first.
    """
    timex = (ctypes.c_long * 64)(modes)
    timex[5] = STA_UNSYNC
    if ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")


def opened(path: str, flags: int = os.O_RDWR | os.O_NONBLOCK) -> int:
    return os.open(path, flags | os.O_CLOEXEC)


def filling(path: str) -> Callable[[], None]:
    """A megabyte: more than a process needs that keeps nothing."""

    def do() -> None:
        fd = opened(path, os.O_WRONLY | os.O_CREAT)
        try:
            while os.fstat(fd).st_size < 1 << 20:
                os.write(fd, bytes(1 << 14))
        finally:
            os.close(fd)

    return do


def device(path: str, request: int = 0, size: int = 0) -> Callable[[], None]:
    """Open it, and ask it something where that is known: a node alone proves nothing."""

    def do() -> None:
        fd = opened(path)
        try:
            if request:
                fcntl.ioctl(fd, request, bytes(size))
        finally:
            os.close(fd)

    return do


def a_socket(family: int, kind: int = socket.SOCK_STREAM) -> Callable[[], None]:
    return lambda: socket.socket(family, kind).close()


def connect() -> None:
    host, port = station.rsplit(":", 1)
    socket.create_connection((host, int(port)), 10).close()


def ask_control() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect("/run/bodycam-agent/control.sock")


def network_of_its_own() -> None:
    if os.readlink("/proc/self/ns/net") == host_network:
        raise OSError(errno.EEXIST, "the machine's")


def look_into(pid: str) -> None:
    opened(f"/proc/{pid}/mem", os.O_RDONLY)


def mount() -> None:
    if ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")


def writable_and_executable() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    if libc.mmap(None, 4096, 7, 0x22, -1, 0) == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


def first(pattern: str) -> str:
    return next(iter(sorted(glob.glob(pattern))), pattern)


def create(path: str) -> Callable[[], None]:
    return lambda: os.close(opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


# -- devices ---------------------------------------------------------------------------------------------------------

attempt("open the lens", device("/dev/video0", VIDIOC_QUERYCAP, 104))
attempt("open the buttons", device(first("/dev/gpiochip*"), GPIO_GET_CHIPINFO_IOCTL, 68))
attempt("open the sound card", device("/dev/snd/controlC0"))
attempt("open the microphone", device("/dev/snd/pcmC0D1c"))
attempt("open a disk", lambda: opened("/dev/ubda", os.O_RDONLY))
attempt("open the machine's memory", device("/dev/mem"))
attempt("make a device", lambda: os.mknod("/tmp/probe-lens", stat.S_IFCHR | 0o600, os.makedev(81, 0)))

# -- network ---------------------------------------------------------------------------------------------------------

attempt("a socket for IPv4", a_socket(socket.AF_INET))
attempt("a socket for IPv6", a_socket(socket.AF_INET6))
attempt("a datagram for IPv4", a_socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("a netlink socket", a_socket(socket.AF_NETLINK, socket.SOCK_RAW))
attempt("a packet socket", a_socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("connect to the station", connect)
attempt("a network of its own", network_of_its_own)
attempt("ask the control socket", ask_control)

# -- keys and others' memory -----------------------------------------------------------------------------------------

attempt("read its own key as handed over", lambda: opened(HANDED[side], os.O_RDONLY))
attempt("read its own key on the disk", lambda: opened(KEYS[side], os.O_RDONLY))
attempt("read the other's key on the disk", lambda: opened(KEYS[OTHER], os.O_RDONLY))
attempt("read the other's key as handed over", lambda: opened(HANDED[OTHER], os.O_RDONLY))
attempt("look into the recorder's memory", lambda: look_into(recorder_pid))
attempt("signal the recorder", lambda: os.kill(int(recorder_pid), 0))

# -- the spool -------------------------------------------------------------------------------------------------------

segment = first(f"{spool}/sealed/*.tar")
attempt("read a segment", lambda: os.read(opened(segment, os.O_RDONLY), 1))
attempt("write into inbox", create(f"{spool}/inbox/probe"))
attempt("delete from inbox", lambda: os.unlink(f"{spool}/inbox/probe"))
if side == "uploader":
    made = subprocess.run(["/usr/bin/mkdir", f"{spool}/inbox/probe.d"], check=False).returncode
    told["make a directory in inbox"] = signal.Signals(-made).name if made < 0 else f"status {made}" if made else "done"
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        attempt(f"fill {place}", filling(f"{place}/probe"))
for place in ("", "open", "sealed", "delivered", "log", "receipts", "outbox", "apply"):
    where = os.path.join(spool, place)
    attempt(f"create in {place or 'the spool'}", create(f"{where}/probe"))
    attempt(f"delete what was created in {place or 'the spool'}", lambda where=where: os.unlink(f"{where}/probe"))
attempt("change a segment", lambda: opened(segment, os.O_RDWR))
attempt("truncate a segment", lambda: os.truncate(segment, 0))
attempt("change a segment's mode", lambda: os.chmod(segment, 0o666))
attempt("link a segment into inbox", lambda: os.link(segment, f"{spool}/inbox/probe-link"))
attempt("rename a segment", lambda: os.rename(segment, f"{segment}.moved"))
attempt("move a segment into inbox", lambda: os.rename(f"{segment}.moved", f"{spool}/inbox/probe.tar"))
attempt("delete a segment", lambda: os.unlink(first(f"{spool}/sealed/*.seal")))
attempt("truncate the log", lambda: os.truncate(first(f"{spool}/log/*/checkpoint"), 0))
attempt("delete the log", lambda: os.unlink(first(f"{spool}/log/*/checkpoint")))
attempt("replace inbox", lambda: os.rename(f"{spool}/inbox", f"{spool}/old"))

# Where the recorder asks root to switch the camera off; this name asks for nothing.
attempt("create beside the request to switch off", create("/run/bodycam-agent/probe"))
attempt("delete beside the request to switch off", lambda: os.unlink("/run/bodycam-agent/probe"))

# -- the system ------------------------------------------------------------------------------------------------------

attempt("write into the configuration", create("/etc/bodycam-agent/probe"))
attempt("write into the program", create("/opt/bodycam-agent/probe"))
attempt("set the clock", lambda: __import__("time").clock_settime(0, __import__("time").clock_gettime(0)))
attempt("ask how well the clock is known", lambda: tune(0))
attempt("tune the clock", lambda: tune(ADJ_STATUS))
attempt("mount", mount)
attempt("memory to write and run", writable_and_executable)
print(json.dumps(told))
