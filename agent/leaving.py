"""When a recorder ends because of its disk, for another to begin anew: who has files open on a file system that the
kernel gave up keeps it from being mounted anew, and a process sees the mounts as they were when its unit began. Root's
part (systemd/libexec/disk) mounts it anew behind a recorder that ends so, with status 4.
"""

from __future__ import annotations

import errno
import sys
import threading
from pathlib import Path

from agent import durable
from agent.clock import Clock
from agent.errors import EncryptionError, StorageError
from agent.journal import Faults, Journal, Refusal
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.mounts import read_mounts
from agent.status import CONTINUED, Life, Wanted
from agent.vault import Vault

ANEW_NS = 60 * NS
"""After so long in which the disk refuses. A journal that can be written nowhere for so long is given up by then (ext4
commits its own every 5 s).
"""
GIVEN_UP_NS = 10 * NS
"""The same, where it says EROFS, or is shut: nobody takes a file system from under open files but the kernel that gave
it up, and then nothing that waits is ever taken. An emergency remount by hand (magic SysRq) may be taken back within
it.
"""
REFUSES = (errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADMSG, errno.EUCLEAN, errno.ESHUTDOWN)
"""What a disk says that fails or is gone, and a file system that was given up. One that is full has room again by
itself; and no mount helps where it is a right, a key or a file's name that lacks.
"""


def given_up(refusal: Refusal | None, now_ns: int, shut: bool = False, keeps: bool = False) -> bool:
    """Whether to stay would not help, by what the log was told, and whether the file system is `shut` (durable.py).
    `keeps`: what is recorded waits in memory, and nothing of it is lost yet; a disk that only fails may still take all
    of it.
    """
    if refusal is None or isinstance(refusal.last, EncryptionError):
        return False
    cause, for_ns = refusal.last.__cause__, now_ns - refusal.since_ns
    number = cause.errno if isinstance(cause, OSError) else None
    if number == errno.EROFS or (number in REFUSES and shut):
        return for_ns >= GIVEN_UP_NS
    return number in REFUSES and for_ns >= ANEW_NS and not keeps


class Look:
    """Whether another recorder would find more: None as long as that is not known. Beside the loop, which a disk that
    hangs must not hold up.

    Data on the system's own disk nobody mounts anew. And where the disk that the next one is started from fails, too,
    nobody would be left for alarm, light and ctl.
    """

    def __init__(self, spool: Path, at_ns: int) -> None:
        self.at_ns, self._spool = at_ns, spool
        self.helps: bool | None = None
        threading.Thread(target=self._ask, name="look", daemon=True).start()

    def _ask(self) -> None:
        try:
            durable.read_through(Path(sys.executable).resolve(), own=False)
            self.helps = read_mounts().of(self._spool) != Path("/")
        except (OSError, StorageError):
            self.helps = False


class Leaving:
    """In the loop's turn. `refused`: why it ends, for its exit status; None as long as it does not end so."""

    def __init__(
        self, spool: Path, clock: Clock, loop: Loop, faults: Faults, journal: Journal, life: Life, lens: Lens
    ) -> None:
        self._spool, self._clock, self._loop, self._faults = spool, clock, loop, faults
        self._journal, self._life, self._lens = journal, life, lens
        self._begun_ns = clock.monotonic_ns()
        self._look: Look | None = None
        self.refused: StorageError | None = None

    def due(self, vault: Vault | None) -> bool:
        """Without a vault the disk has refused from the start on."""
        now, recording = self._clock.monotonic_ns(), self._life.recording
        if vault is None:
            return now - self._begun_ns >= ANEW_NS
        if self._journal.refusal is None:
            return False
        keeps = recording is not None and recording.progress().lost_parts == 0
        return given_up(self._journal.refusal, now, _is_shut(vault), keeps) and self._helps(now)

    def _helps(self, now_ns: int) -> bool:
        if self._look is None or (self._look.helps is False and now_ns - self._look.at_ns >= GIVEN_UP_NS):
            self._look = Look(self._spool, now_ns)
        return self._look.helps is True

    def leave(self, vault: Vault | None) -> None:
        """As if the disk had refused from the start on: no file is held, what was recorded is to go on, and all that
        waits is kept for the next start. What waited in memory is lost, and nothing that is written says so yet.
        """
        self.refused = StorageError(self._faults.shown().get("storage", "the disk refuses"), "look at the card")
        if vault is None:
            return
        self._journal.close()
        recording = self._life.recording
        if recording and self._life.ends is None:
            self._life.wanted = Wanted(CONTINUED, recording.name, sound=self._life.silence)
        self._loop.attempt("camera", self._lens.close)
        if recording:
            self._loop.attempt("media", lambda: recording.finish(0))
            self._life.ended(recording)
        self._loop.attempt("log", lambda: vault.close(clean=False))


def _is_shut(vault: Vault) -> bool:
    name = vault.sealer.open_name
    return name is not None and durable.is_shut(vault.sealer.settings.open_dir / f"{name}.tar")
