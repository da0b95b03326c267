"""Room on the card for a recording to begin: looked for, made from what a station has, and where there is none, a press
refused in words, and in the log as a start and its stop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from agent import events
from agent.clock import Clock
from agent.config import Config
from agent.diary import Diary
from agent.errors import NoRoomError, StorageError
from agent.headway import heard
from agent.journal import Faults, Journal
from agent.lens import Lens
from agent.loop import Loop
from agent.model import NS
from agent.sealing.writer import is_full
from agent.spool.room import Room
from agent.status import Life, Wanted
from agent.vault import Vault

FULL = "storage full"
"""Why a recording ends, or has nothing in it."""
NO_ROOM = "the card has no room for them besides what is to come"
"""Why the oldest seconds before a press are lost."""
FREED_NS = 2 * NS
"""So long, space that was made may take to be found: parts are tried each half second, segments at each IDR."""


class CardRoom:
    """In the loop's turn. `gets_on` is called with each segment that went, at that instant."""

    def __init__(
        self, config: Config, clock: Clock, loop: Loop, life: Life, lens: Lens, gets_on: Callable[[int], None]
    ) -> None:
        self._config, self._clock, self._loop, self._life, self._lens = config, clock, loop, life, lens
        self._gets_on = gets_on
        self.retained_ns = 0
        """When it was last looked for what may be deleted."""
        self._unfound_ns = -FREED_NS
        """When what went for a press was last not found free."""

    def room(self, vault: Vault, often: bool = False) -> Room:
        """As it is now; `often` as the vault says. Raises StorageError."""
        return vault.room(self._lens.video.bitrate_kbps + self._config.audio.bitrate_kbps, often)

    def retain(self, vault: Vault, force: bool = False, at_leisure: bool = False) -> int:
        """Delete what a station has and the policy lets go; returns how many went."""
        self.retained_ns = self._clock.monotonic_ns()
        with heard(lambda: self._gets_on(self._clock.monotonic_ns())):
            count = vault.retain(force, at_leisure)
        self._life.deleted += count
        return count

    def make(self, vault: Vault) -> bool:
        """As `retain`, for a recording that finds none, also where that failed just now. True where something went."""
        before = self._life.deleted
        self._loop.act("retention", lambda: self.retain(vault))
        return self._life.deleted > before

    def find(self, vault: Vault) -> None:
        """Where there is none, what a station has goes. Raises StorageError where that is not enough, or not found free
        at once: then it has its time to be, before anything else goes.
        """
        try:
            return vault.sealer.check_room(begins=True)
        except StorageError as err:
            if not is_full(err) or self._clock.monotonic_ns() < self._unfound_ns + FREED_NS:
                raise
        free, gone = vault.spool.space().free_bytes, vault.deleted_bytes
        while self.make(vault):
            found, went = vault.spool.space().free_bytes - free, vault.deleted_bytes - gone
            if self._fits(vault):
                return
            if found < went // 2:
                # As much as lacked went, and did not become free: that all goes would not help either.
                self._unfound_ns = self._life.freed_ns = self._clock.monotonic_ns()
                break
        vault.sealer.check_room(begins=True)

    @staticmethod
    def _fits(vault: Vault) -> bool:
        try:
            vault.sealer.check_room(begins=True)
        except StorageError as err:
            if not is_full(err):
                raise
            return False
        return True

    def since(self, vault: Vault, since_ns: int, wanted_ns: int) -> int:
        """From when on there is room for what is to be recorded, and for a while of what is to come. Of a long ring the
        oldest seconds are left out where the card has no more than a segment or two, and nothing since `wanted_ns`.
        """
        with contextlib.suppress(StorageError):
            holds_ns = vault.sealer.settings.holds_ns()
            return max(since_ns, min(wanted_ns, self._clock.monotonic_ns() - holds_ns))
        # That the start leaf, or the first part, meets.
        return since_ns

    def check(self, vault: Vault) -> None:
        """As `find`, but nothing goes: what a station has counts as free. Takes no time where there is room."""
        try:
            vault.sealer.check_room(begins=True)
        except StorageError as err:
            if not is_full(err) or self.room(vault, often=True).full:
                raise


def refuse(
    vault: Vault,
    start: events.RecordStart,
    wanted: Wanted | None,
    why: StorageError,
    faults: Faults,
    diary: Diary,
    journal: Journal,
) -> NoRoomError:
    """What to raise, once the log has it, with what was said of it while it waited. Nothing is recorded in between, and
    the ring keeps what it holds. Raises StorageError where the log takes nothing either.
    """
    # First, so that the stop leaf says in which state that leaves the camera.
    faults.raised("storage", why.message)
    name = vault.start_recording(start.body())
    for event in wanted.meanwhile if wanted else ():
        journal.say(event, name)
    stop = diary.stopping(FULL)
    vault.sealer.stop_recording(name, stop.body(), 0)
    if stop.then:
        diary.told(stop.then)
    faults.cleared("recording")
    return NoRoomError(f"nothing is recorded: {why.message}", "dock the camera, or take another one")
