"""Memory from the C library as the recorder wants it, asked of the C library itself (malloc_info(3))."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

CHILD = """
import ctypes, sys, threading
from agent import heap

if sys.argv[1] == "settled":
    heap.settle()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
pictures, together = [], threading.Barrier(6)

def take():
    together.wait()
    pictures.append(libc.malloc(ctypes.c_size_t(3 << 20)))
    together.wait()

threads = [threading.Thread(target=take) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def told(how: str) -> ElementTree.Element:
    done = subprocess.run([sys.executable, "-c", CHILD, how], capture_output=True, timeout=60, check=True)
    return ElementTree.fromstring(done.stdout)


@pytest.mark.parametrize(("how", "few"), [("settled", True), ("as it is", False)])
def test_many_threads_share_one_heap(how: str, few: bool) -> None:
    assert (len(told(how).findall("heap")) == 1) is few


def test_pictures_are_not_fetched_from_the_kernel_one_by_one() -> None:
    mapped = []
    for how in ("as it is", "settled"):
        total = told(how).find("total[@type='mmap']")
        assert total is not None
        mapped.append(int(total.attrib["count"]))
    assert mapped[0] - mapped[1] == 6
