"""Run in the guest by /usr/bin/python3, in the uploader's unit in the place of its program: what it must not do, and
where. Prints a JSON object on its last line: attempt to its path and "done", or the name of the
error or of the signal that ended it. It imports nothing of ours.

    guest_trespass.py SPOOL
"""

from __future__ import annotations

import errno
import glob
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

(spool,) = sys.argv[1:]
told: dict[str, tuple[str, str]] = {}


class EndedError(Exception):
    """By a signal, whose name it has, or with another status than 0."""


def attempt(name: str, path: str, do: Callable[[str], Any]) -> None:
    try:
        do(path)
        told[name] = path, "done"
    except OSError as err:
        told[name] = path, errno.errorcode.get(err.errno or 0, str(err))
    except EndedError as err:
        told[name] = path, str(err)


def create(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))


IO_URING_SETUP = 425
"""On every architecture (asm-generic/unistd.h)."""


def run(*command: str) -> None:
    """In a process of its own, since this one would not outlive it."""
    ended = subprocess.run(command, check=False).returncode
    if ended:
        raise EndedError(signal.Signals(-ended).name if ended < 0 else f"status {ended}")


def directory(path: str) -> None:
    run("/usr/bin/mkdir", path)


def queue(path: str) -> None:
    """The first of the calls by which requests are queued that no filter looks into."""
    run(sys.executable, "-c", f"import ctypes; ctypes.CDLL(None).syscall({IO_URING_SETUP}, 8, bytes(120))")


def first(pattern: str) -> str:
    return sorted(glob.glob(pattern))[0]


def bound(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)


inbox = f"{spool}/inbox"
for place in ("sealed", "delivered"):
    segment = first(f"{spool}/{place}/*.tar")
    attempt(f"change one in {place}", segment, lambda path: os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC)))
    attempt(f"cut one in {place}", segment, lambda path: os.truncate(path, 0))
    attempt(f"open one in {place} to others", segment, lambda path: os.chmod(path, 0o666))
    attempt(f"rename one in {place}", segment, lambda path: os.rename(path, f"{path}.moved"))
    attempt(f"move one from {place}", segment, lambda path: os.rename(path, f"{inbox}/moved.tar"))
    attempt(f"link one from {place}", segment, lambda path: os.link(path, f"{inbox}/linked.tar"))
    attempt(f"delete one in {place}", segment, os.unlink)
for place in ("open", "sealed", "delivered", "log", "receipts", "outbox", "apply"):
    attempt(f"create in {place}", f"{spool}/{place}/trespass", create)
    attempt(f"make a directory in {place}", f"{spool}/{place}/trespass.d", directory)
attempt("cut the log", first(f"{spool}/log/*/checkpoint"), lambda path: os.truncate(path, 0))
attempt("replace inbox", inbox, lambda path: os.rename(path, f"{spool}/old"))
for outside in ("/etc/bodycam-agent", "/opt/bodycam-agent", "/run/bodycam-agent", "/usr/bin"):
    attempt(f"create in {outside}", f"{outside}/trespass", create)
attempt("queue what is to be done", inbox, queue)
attempt("make a directory in inbox", f"{inbox}/planted.d", directory)
attempt("plant a link", f"{inbox}/planted.receipt", lambda path: os.symlink(segment, path))
attempt("plant a pipe", f"{inbox}/planted.pipe", os.mkfifo)
attempt("plant a socket", f"{inbox}/planted.socket", bound)
print(json.dumps(told))
