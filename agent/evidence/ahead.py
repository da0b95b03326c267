"""Evidence at the speed of its primitives: on more than one core, since hashing, decrypting and writing give the
interpreter's lock away while they run, and in memory that is used again.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
THREADS = min(4, os.cpu_count() or 1)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20


def keep_memory() -> None:
    """Have this process keep up to 64 MiB of what it frees. Else glibc gives each part's memory back to the kernel at
    once, and gets it again page by page for the next: that costs as much as to decrypt it. Where the C library has no
    mallopt(3), nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)


@contextmanager
def alongside(job: Callable[[], T], worthwhile: bool = True) -> Iterator[Callable[[], T]]:
    """Begin `job` on a thread of its own; what is given waits for its result, or raises what it raised. Where it is not
    worthwhile, it runs only then.
    """
    if not worthwhile:
        yield job
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(job).result


def in_order(jobs: Iterable[Callable[[], T]], threads: int = THREADS) -> Iterator[T]:
    """The results of `jobs`, in their order; a few run at once, and no more results than that wait in memory."""
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[T]] = deque()
        try:
            for job in jobs:
                if len(running) > threads:
                    yield running.popleft().result()
                running.append(pool.submit(job))
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
