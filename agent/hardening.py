"""What a process that holds keys does before anything else, so that its memory stays its own: no core dump, no look
into it by others of the same user, no page of it in swap.

prctl(2), getrlimit(2), mlock(2); /proc/PID/status shows the last, /proc/PID/limits the first.
"""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

from agent.errors import StorageError
from agent.output import complain

_PR_SET_DUMPABLE = 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


def harden() -> str | None:
    """Close this process. Returns, in words, why its memory may still reach swap; None where it cannot.

    Raises StorageError where the kernel refuses what every Linux grants.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Besides core dumps this refuses ptrace and /proc/PID/mem to other processes of the same user.
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise StorageError("prctl(PR_SET_DUMPABLE) was refused", "run on Linux 5.4 or newer")
    trouble = _lock(libc)
    return trouble if swap_devices() else None


def hardened() -> None:
    """The first line of each command that holds a key of this camera: none is in memory yet. What is not granted is
    said.
    """
    trouble = harden()
    if trouble:
        complain(f"note: keys in this process's memory may reach swap: {trouble}")


def _lock(libc: ctypes.CDLL) -> str | None:
    """Pages are locked as they are touched (MCL_ONFAULT): all at once would fill a small camera's memory."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock():
        # Not tried: with a limit the lock succeeds now, and a later allocation fails for it.
        return f"this user may lock {limit >> 10} KiB (LimitMEMLOCK=infinity in the unit lifts that)"
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return f"mlockall was refused (error {ctypes.get_errno()})"
    return None


def _may_lock() -> bool:
    return bool(_effective_capabilities() >> _CAP_IPC_LOCK & 1)


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def swap_devices() -> list[str]:
    """Where pages could go; none on a camera."""
    try:
        lines = Path("/proc/swaps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line.split()[0] for line in lines[1:] if line.strip()]
