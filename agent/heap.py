"""How this process gets memory from the C library, while pictures of some megabytes come and go 30 times a second."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
ARENAS = 1
KEPT_BYTES = 8 << 20
LARGEST_BYTES = 32 << 20


def settle() -> None:
    """Before any thread is started. glibc else gives each of the first threads a heap of its own, and each heap keeps
    what its thread needed at its fullest; even between two, pictures wander with their threads and fill both. Pictures
    come from the heap and not from the kernel, which would hand over each of their pages anew: that costs more than to
    copy them. What is free at the heap's end goes back from KEPT_BYTES on. Where the C library has no mallopt(3),
    nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, LARGEST_BYTES)
