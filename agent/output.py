"""What is said to people, for as long as somebody reads it: who stops reading does not stop the work."""

from __future__ import annotations

import os
import sys


def nobody_reads(fd: int) -> None:
    """The reader of this output went away (`| head`). What is still buffered goes nowhere, without a word about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def complain(text: str) -> None:
    """One message on standard error."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        nobody_reads(2)
    except BlockingIOError:
        # A daemon's journal that does not read (agent/journalstream.py).
        pass


class Screen:
    """Standard output; `read` is False once nobody reads it. Ctrl-C, for one, ends `| tee` as well."""

    def __init__(self) -> None:
        self.read = True

    def put(self, text: str, end: str = "\n") -> None:
        if not self.read:
            return
        try:
            print(text, end=end, flush=True)
        except BrokenPipeError:
            self.read = False
            nobody_reads(1)
