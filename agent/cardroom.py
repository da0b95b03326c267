"""Room on the card for one more segment: looked for, made from what a station has, and where there is none, a press
refused in words, and in the log as a start and its stop.
"""

from __future__ import annotations

from agent import events
from agent.clock import Clock
from agent.config import Config
from agent.diary import Diary
from agent.errors import RefusedError, StorageError
from agent.journal import Faults, Journal
from agent.lens import Lens
from agent.loop import Loop
from agent.sealing.writer import is_full
from agent.spool.room import Room
from agent.status import Life, Wanted
from agent.vault import Vault

FULL = "storage full"
"""Why a recording ends, or has nothing in it."""


class CardRoom:
    """In the loop's turn."""

    def __init__(self, config: Config, clock: Clock, loop: Loop, life: Life, lens: Lens) -> None:
        self._config, self._clock, self._loop, self._life, self._lens = config, clock, loop, life, lens
        self.retained_ns = 0
        """When it was last looked for what may be deleted."""

    def room(self, vault: Vault) -> Room:
        """As it is now. Raises StorageError."""
        return vault.room(self._lens.video.bitrate_kbps + self._config.audio.bitrate_kbps)

    def retain(self, vault: Vault, force: bool = False, at_leisure: bool = False) -> int:
        """Delete what a station has and the policy lets go; returns how many went."""
        self.retained_ns = self._clock.monotonic_ns()
        count = vault.retain(force, at_leisure)
        self._life.deleted += count
        return count

    def make(self, vault: Vault) -> bool:
        """As `retain`, for a recording that finds none, also where that failed just now. True where something went."""
        before = self._life.deleted
        self._loop.act("retention", lambda: self.retain(vault))
        return self._life.deleted > before

    def find(self, vault: Vault) -> None:
        """Where there is none, what a station has goes. Raises StorageError where that is not enough: the card is
        full.
        """
        while True:
            try:
                return vault.sealer.check_room()
            except StorageError as err:
                if not is_full(err) or not self.make(vault):
                    raise

    def check(self, vault: Vault) -> None:
        """As `find`, but nothing goes: what a station has counts as free. Takes no time where there is room."""
        try:
            vault.sealer.check_room()
        except StorageError as err:
            if not is_full(err) or self.room(vault).full:
                raise


def refuse(
    vault: Vault,
    start: events.RecordStart,
    wanted: Wanted | None,
    why: StorageError,
    faults: Faults,
    diary: Diary,
    journal: Journal,
) -> RefusedError:
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
    return RefusedError(f"nothing is recorded: {why.message}", "dock the camera, or take another one")
