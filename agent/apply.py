"""`bodycam-agent apply`: the little that needs root, done for a recorder that has none. A path unit starts it when
there is something in `apply/`, it does that once, and ends. The number of each order is kept beside the configuration
(agent/ordernumbers.py) before that is changed, and none that is older is put in place.

It believes a file because of where it lies: in a directory that only the recorder's user can write, as a regular file
of that user, under the digest of its content. The recorder puts nothing there that it has not verified. It imports no
more than it must.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import json
import os
import pwd
import re
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent import durable, ordernumbers
from agent.clock import Timex
from agent.errors import EvidenceError, Exit, StorageError, UsageError

ABOUT = (
    "as root, once: set the clock, put a configuration in place, keep an order's number, as the recorder verified it",
    "example: bodycam-agent apply --from /var/lib/bodycam-agent/spool/apply\n"
    "bodycam-apply.path starts it; there is no need to by hand.",
)
MAX_BYTES = 256 << 10
MAX_FILES = 16
_NAME = re.compile(r"([0-9a-f]{64})\.(clock|configuration|orders)")
_STARTS = re.compile(r"[^.].*\.(clock|configuration|orders)", re.DOTALL)
"""What bodycam-apply.path looks for: as long as there is one, it starts this."""
_ADJ_MAXERROR, _ADJ_ESTERROR, _ADJ_STATUS = 0x0004, 0x0008, 0x0010
_STA_UNSYNC = 0x0040
_MOST_MS = 16_000
"""The kernel gives up a clock whose error may be more (NTP_PHASE_LIMIT)."""
_EARLIEST_NS, _LATEST_NS = 1_700_000_000 * 10**9, 1 << 62


class WallClock(Protocol):
    """The one that is set."""

    boot_id: str

    def boottime_ns(self) -> int: ...
    def set(self, utc_ns: int, bound_ms: int | None) -> None: ...


class KernelClock:
    """CLOCK_REALTIME, and how far it may be off (clock_settime(2), adjtimex(2))."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def set(self, utc_ns: int, bound_ms: int | None) -> None:
        time.clock_settime_ns(time.CLOCK_REALTIME, utc_ns)
        if bound_ms is None:
            # Nobody vouches for it: to the kernel, and so in every leaf, it stays unverified.
            return
        # Setting it makes the kernel forget what was known of its error.
        libc, timex = ctypes.CDLL(None, use_errno=True), Timex()
        libc.adjtimex(ctypes.byref(timex))
        timex.modes = _ADJ_MAXERROR | _ADJ_ESTERROR | _ADJ_STATUS
        timex.maxerror = timex.esterror = bound_ms * 1000
        timex.status &= ~_STA_UNSYNC
        if libc.adjtimex(ctypes.byref(timex)) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file, in words."""

    name: str
    fine: bool
    words: str


def apply(directory: Path, config: Path, user: str, clock: WallClock) -> list[Done]:
    """Do what lies in `directory`, which `user` writes, and remove it. Raises StorageError, UsageError where the
    directory is not what it should be.
    """
    with durable.storage_errors(directory, "cannot open"):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = _owner(os.fstat(fd), directory, user)
        work: dict[str, Callable[[bytes], str]] = {
            "clock": lambda data: _step(fd, data, clock),
            "configuration": lambda data: _configure(config, data),
            "orders": lambda data: _keep(config, data)[0],
        }
        found = [name for name in sorted(os.listdir(fd)) if _STARTS.fullmatch(name)]
        return [_one(fd, name, owner, work) for name in found[:MAX_FILES]]
    finally:
        os.close(fd)


def _owner(found: os.stat_result, directory: Path, user: str) -> int:
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UsageError(
            f"there is no user {user[:60]!r}", "install the units' users, or name another --user"
        ) from None
    if found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise UsageError(f"{directory} is open to others than {user}: nothing in it is believed", "see who changed it")
    return uid


def _one(fd: int, name: str, owner: int, work: dict[str, Callable[[bytes], str]]) -> Done:
    """Whatever became of it, it goes: a path unit would start this again for what stays. One that does not go keeps no
    other waiting.
    """
    try:
        digest, kind = _named(name)
        done = Done(name, True, work[kind](_read(fd, name, digest, owner)))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        StorageError,
        EvidenceError,
    ) as err:
        done = Done(name, False, f"not done: {err}")
    try:
        os.unlink(name, dir_fd=fd)
        os.fsync(fd)
    except OSError as err:
        return Done(name, False, f"{done.words}; and it cannot be taken away: {err.strerror}")
    return done


def _named(name: str) -> tuple[str, str]:
    """Digest and kind."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError("it is not named after its content")
    return found[1], found[2]


def _read(fd: int, name: str, digest: str, owner: int) -> bytes:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner or found.st_nlink != 1 or found.st_mode & 0o022:
            raise ValueError("it is no regular file of its own that the recorder alone can write")
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES or hashlib.sha256(data).hexdigest() != digest:
        raise ValueError("it is not what its name says")
    return data


def _configure(config: Path, data: bytes) -> str:
    """The number of its order is kept first. The configuration before is kept beside it, for a technician. What is in
    place is not written once more: a request that does not go comes again.
    """
    line, _, data = data.partition(b"\n")
    if set(_keep(config, line)[1]) != {"configuration"}:
        raise ValueError("it does not say by which order it came")
    if config.exists():
        before = config.read_bytes()
        if before == data:
            return f"{config} is as it should be"
        durable.write_file(config.with_name(f"{config.name}.before"), before, 0o644)
    durable.write_file(config, data, 0o644)
    return f"{config} is written"


def _keep(config: Path, line: bytes) -> tuple[str, ordernumbers.Marks]:
    """In words, and what is kept of now."""
    camera, marks = ordernumbers.requested(line)
    ordernumbers.keep(config.with_name(ordernumbers.FILE), camera, marks)
    told = ", ".join(f"{kind} {mark.number}" for kind, mark in sorted(marks.items()))
    return f"kept, that {camera} has taken {told}", marks


def _step(fd: int, data: bytes, clock: WallClock) -> str:
    value = json.loads(data)
    offset, bound = value["offset_ns"], value["bound_ms"]
    if type(offset) is not int or not (bound is None or type(bound) is int) or value["boot"] != clock.boot_id:
        raise ValueError("it is of another boot, or holds no numbers")
    still = os.open("still", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        # Held by the recorder while it records. Held here it keeps no press waiting.
        fcntl.flock(still, fcntl.LOCK_EX | fcntl.LOCK_NB)
        utc_ns = clock.boottime_ns() + offset
        if not _EARLIEST_NS <= utc_ns < _LATEST_NS:
            raise ValueError("that is no time of our days")
        # More than the kernel can say of an error is as good as not known: never less than was signed.
        known = None if bound is None or bound > _MOST_MS else max(1, bound)
        clock.set(utc_ns, known)
    except BlockingIOError:
        raise ValueError("the camera records, and nobody steps its clock now") from None
    finally:
        os.close(still)
    return "the clock is set" + (", and nobody vouches for how well" if known is None else f", within {known} ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `bodycam-agent apply`, which `main` then runs."""
    config = Path("/etc/bodycam-agent/agent.toml")
    parser.add_argument("--from", dest="directory", type=Path, required=True, metavar="DIR", help="apply/ in the spool")
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help="configuration (default %(default)s)"
    )
    parser.add_argument("--user", default="bodycam-recorder", help="whose word counts (default %(default)s)")
    parser.set_defaults(run=main)


def main(options: argparse.Namespace) -> int:
    """One line for each file. Raises what `apply` raises."""
    done = apply(options.directory, options.config, options.user, KernelClock())
    for one in done:
        print(f"{one.name}: {one.words}", flush=True)
    return int(Exit.OK if all(one.fine for one in done) else Exit.STORAGE)
