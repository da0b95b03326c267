"""When a recorder ends because of its disk, for another to begin anew: who has files open on a file system that the
kernel gave up keeps it from being mounted anew, and a process sees the mounts as they were when its unit began. Root's
part (systemd/libexec/disk) mounts it anew behind a recorder that ends so, with status 4.
"""

from __future__ import annotations

import errno

from agent.clock import Clock
from agent.errors import StorageError
from agent.journal import Faults, Journal, Refusal
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.status import CONTINUED, Life, Wanted
from agent.vault import Vault

ANEW_NS = 60 * NS
"""After so long in which the disk refuses. Of what is recorded about as much waits in memory: to stay would keep no
more. A journal whose disk took nothing for so long is given up by then (ext4 commits its own every 5 s).
"""
READ_ONLY_NS = 10 * NS
"""The same, where it says EROFS: nobody takes a file system from under open files but the kernel that gave it up, and
then nothing that waits is ever taken. An emergency remount by hand (magic SysRq) may be taken back within it.
"""


def given_up(refusal: Refusal | None, now_ns: int) -> bool:
    """Whether to stay would not help, by what the log was told. A disk that is full has room again by itself; and where
    it is not the kernel that refuses, but a key say, no mount helps.
    """
    cause = refusal.last.__cause__ if refusal else None
    if refusal is None or not isinstance(cause, OSError) or cause.errno in (errno.ENOSPC, errno.EDQUOT):
        return False
    return now_ns - refusal.since_ns >= (READ_ONLY_NS if cause.errno == errno.EROFS else ANEW_NS)


class Leaving:
    """In the loop's turn. `refused`: why it ends, for its exit status; None as long as it does not end so."""

    def __init__(self, clock: Clock, loop: Loop, faults: Faults, journal: Journal, life: Life, lens: Lens) -> None:
        self._clock, self._loop, self._faults = clock, loop, faults
        self._journal, self._life, self._lens = journal, life, lens
        self._begun_ns = clock.monotonic_ns()
        self.refused: StorageError | None = None

    def due(self, vault: Vault | None) -> bool:
        """Without a vault the disk has refused from the start on."""
        now = self._clock.monotonic_ns()
        return now - self._begun_ns >= ANEW_NS if vault is None else given_up(self._journal.refusal, now)

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
