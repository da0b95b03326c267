"""Clocks, passed in wherever time matters, so that tests own time.

CLOCK_MONOTONIC is the timeline of capture; CLOCK_BOOTTIME shows suspends; CLOCK_REALTIME is only ever reported
together with what is known about its truth (adjtimex(2)).
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Utc:
    """Wall-clock time and how far to trust it.

    `source` is "synchronised" where the kernel's clock is disciplined (STA_UNSYNC clear), else "unverified";
    `bound_ms` is the kernel's maximum error in milliseconds, None where nobody vouches for one.
    """

    ns: int
    source: str
    bound_ms: int | None


class Clock(Protocol):
    """The instants a leaf carries, and the wait that goes with them."""

    boot_id: str

    def monotonic_ns(self) -> int: ...
    def boottime_ns(self) -> int: ...
    def utc(self) -> Utc: ...


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); only `maxerror` and `status` are read."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    ]


_STA_UNSYNC = 0x0040


class SystemClock:
    """The clocks of the running Linux kernel."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        self._libc = ctypes.CDLL(None, use_errno=True)

    def monotonic_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def utc(self) -> Utc:
        timex = _Timex()
        state = self._libc.adjtimex(ctypes.byref(timex))
        if state < 0 or timex.status & _STA_UNSYNC:
            return Utc(time.time_ns(), "unverified", None)
        return Utc(time.time_ns(), "synchronised", timex.maxerror // 1000 + 1)
