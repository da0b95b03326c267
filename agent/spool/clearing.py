"""Keeps inbox/ small: an uploader that was taken over could else fill the card there, and nothing would be recorded any
more.

Up to a measure that no honest uploader reaches, what is no message stays where it lies, for people to look at. What is
beyond it goes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from agent import durable
from agent.spool import inbox

MAX_BYTES = 16 << 20
AT_ONCE = 64
"""Entries that one turn of the recorder's loop removes at most."""


def clear(directory: Path) -> list[str]:
    """The kinds (`inbox.kinds`) of what lay there before. The largest of what is no message goes, until no more than
    512 entries and 16 MiB are left, or 64 are gone; after that messages too, of which so many are a flood: what counts
    of them comes again. No link is followed, and nothing removed that lies deeper: a directory with something in it
    stays. Raises StorageError where the directory cannot be read.
    """
    found = inbox.look(directory)
    count, used = len(found), sum(one.used for one in found)
    kinds = inbox.kinds(found) + ([f"more than {MAX_BYTES >> 20} MiB"] if used > MAX_BYTES else [])
    may_go = (one for one in found if one.kind or one.name not in inbox.REMEMBERED)
    first = sorted(may_go, key=lambda one: (one.own, -one.used))
    with durable.storage_errors(directory, "cannot open"):
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for one in first[:AT_ONCE]:
            if count <= inbox.MAX_ENTRIES and used <= MAX_BYTES:
                break
            if _removed(folder, one):
                count, used = count - 1, used - one.used
    finally:
        os.close(folder)
    return sorted(kinds)


def _removed(folder: int, one: inbox.Found) -> bool:
    """What does not go is shown as long as it is there."""
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(one.mode):
            os.rmdir(one.name, dir_fd=folder)
        else:
            os.unlink(one.name, dir_fd=folder)
        return True
    return False
