"""What a disk and its file system answer when they are asked. Nothing is written for it."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

from agent import durable

BLOCK = 4096


def read_through(path: Path, own: bool = True) -> None:
    """Ask the disk itself, not memory, for a file's first block (open(2), O_DIRECT): of a file of one's `own` it costs
    it no write, of its time of access neither, which nobody else may ask for. Raises StorageError where it does not
    give it. A file system that knows no such read, or none of so small a block, has nothing to say.
    """
    untouched = os.O_NOATIME if own else 0
    with durable.storage_errors(path, "cannot read"):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECT | untouched | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                with mmap.mmap(-1, BLOCK) as block:
                    os.preadv(fd, [block], 0)
            finally:
                os.close(fd)
        except OSError as err:
            # EPERM: a file system that gives all its files one owner, which is not this user.
            if err.errno not in (errno.EINVAL, errno.EPERM):
                raise


def is_shut(path: Path) -> bool:
    """Whether a file that somebody holds open cannot be opened once more for an I/O error. No disk is asked for that,
    so it is the file system that was shut, as ext4 and XFS are once the kernel gave them up (ext4_file_open and
    xfs_file_open: EIO), and stays so whatever the disk does.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))
    except OSError as err:
        return err.errno in (errno.EIO, errno.ESHUTDOWN)
    return False
