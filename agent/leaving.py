"""When a recorder ends because of its disk, for another to begin anew: who has files open on a file system that the
kernel gave up keeps it from being mounted anew, and a process sees the mounts as they were when its unit began. Root's
part (systemd/libexec/disk) mounts it anew behind a recorder that ends so, with status 4.
"""

from __future__ import annotations

import errno
import sys
import threading
from enum import Enum
from pathlib import Path

from agent import probe
from agent.clock import Clock
from agent.controls.presses import LetGo, Presses
from agent.errors import EncryptionError, StorageError
from agent.events import Actor
from agent.journal import Faults, Journal
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.mounts import read_mounts
from agent.recording import Recording
from agent.status import CONTINUED, Life, Wanted
from agent.vault import Vault

DATA = Path("/var/lib/bodycam-agent")
"""What root's part mounts anew, where /etc/fstab has it."""
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


class Refusal(Enum):
    FAILS = "the disk fails"
    GIVEN_UP = "the kernel gave its file system up"


def refusal_of(error: StorageError | None, shut: bool) -> Refusal | None:
    """What a disk means by an error, whose file system is `shut` (probe.py) or not; None: nothing that a mount helps
    against.
    """
    cause = error.__cause__ if error and not isinstance(error, EncryptionError) else None
    number = cause.errno if isinstance(cause, OSError) else None
    if number == errno.EROFS or (number in REFUSES and shut):
        return Refusal.GIVEN_UP
    return Refusal.FAILS if number in REFUSES else None


class Look:
    """Whether another recorder would find more: None as long as that is not known. Beside the loop, which a disk that
    hangs must not hold up.

    Data on the system's own file system, or where root mounts nothing, nobody mounts anew. And where the disk that the
    next one is started from fails, too, nobody would be left for alarm, light and ctl.
    """

    def __init__(self, spool: Path, at_ns: int) -> None:
        self.at_ns, self._spool = at_ns, spool
        self.helps: bool | None = None
        threading.Thread(target=self._ask, name="look", daemon=True).start()

    def _ask(self) -> None:
        try:
            probe.read_through(Path(sys.executable).resolve(), own=False)
            mounts = read_mounts()
            self.helps = mounts.of(self._spool) == DATA and DATA in mounts.wanted
        except (OSError, StorageError):
            self.helps = False


class Leaving:
    """In the loop's turn. `refused`: why it ends, for its exit status; None as long as it does not end so."""

    def __init__(
        self,
        spool: Path,
        clock: Clock,
        loop: Loop,
        faults: Faults,
        journal: Journal,
        life: Life,
        lens: Lens,
        presses: Presses,
    ) -> None:
        self._spool, self._clock, self._loop, self._faults = spool, clock, loop, faults
        self._journal, self._life, self._lens, self._presses = journal, life, lens, presses
        self._begun_ns = clock.monotonic_ns()
        self._refuses_ns: int | None = None
        self._given_up_ns: int | None = None
        self._lost: tuple[Recording | None, int] = None, 0
        self._look: Look | None = None
        self.refused: StorageError | None = None

    def due(self, vault: Vault | None) -> bool:
        """Without a vault the disk has refused from the start on. Asked in each turn."""
        now = self._clock.monotonic_ns()
        if vault is None:
            return now - self._begun_ns >= ANEW_NS
        return self._sees_it_given_up(vault, now) and self._helps(now)

    def _sees_it_given_up(self, vault: Vault, now_ns: int) -> bool:
        """Remembers since when it refuses."""
        recording = self._life.recording
        progress = recording.progress() if recording else None
        errors = [error for error in (self._journal.refused, progress.refused if progress else None) if error]
        shut = bool(errors) and _is_shut(vault)
        said = {refusal_of(error, shut) for error in errors} - {None}
        if not said:
            self._refuses_ns = self._given_up_ns = None
            return False
        lost = progress.lost_parts if progress else 0
        if self._refuses_ns is None or recording is not self._lost[0]:
            self._lost = recording, lost
        self._refuses_ns = now_ns if self._refuses_ns is None else self._refuses_ns
        if Refusal.GIVEN_UP in said and self._given_up_ns is None:
            self._given_up_ns = now_ns
        # What still waits in memory, a disk that only fails may take yet.
        keeps = recording is not None and lost == self._lost[1]
        given_up = self._given_up_ns is not None and now_ns - self._given_up_ns >= GIVEN_UP_NS
        return given_up or (now_ns - self._refuses_ns >= ANEW_NS and not keeps)

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
        if recording:
            self._keep(recording)
        self._loop.attempt("camera", self._lens.close)
        if recording:
            self._loop.attempt("media", lambda: recording.finish(0))
            self._life.ended(recording)
        elif owed := vault.sealer.owed_stop:
            # The next life finds it cut, and says who had ended it.
            self._life.wanted = self._life.wanted or Wanted(CONTINUED, owed.recording)
            by, at_ns = Actor(owed.body.get("actor", Actor.RECORDER)), int(owed.body.get("mono_ns", 0))
            self._presses.stop(owed.recording, LetGo(str(owed.body["reason"]), by, at_ns, waits=True))
        self._loop.attempt("log", lambda: vault.close(clean=False))

    def _keep(self, recording: Recording) -> None:
        """It is to go on; or, in its last seconds, who had ended it is to be said."""
        ends = self._life.ends
        if ends:
            now = self._clock.monotonic_ns()
            self._presses.stop(recording.name, LetGo(ends.reason, ends.actor, now, waits=True))
        self._life.wanted = Wanted(CONTINUED, recording.name, sound=self._life.silence)


def _is_shut(vault: Vault) -> bool:
    name = vault.sealer.open_name
    return name is not None and probe.is_shut(vault.sealer.settings.open_dir / f"{name}.tar")
