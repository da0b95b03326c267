"""The recorder's evidence side: the log and its spool, from recovery at start to deletion on a receipt.

Everything that changes what is stored goes through here, in the order the promises need: a leaf is durable before
what it announces happens.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from agent import events
from agent.clock import Clock
from agent.config import Config
from agent.epochs import Epochs, beyond
from agent.errors import DeviceError, EvidenceError, StorageError
from agent.formats import note
from agent.formats.epoch import Why, number_of
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.held import LostError, facts_at, newest_count
from agent.identity import open_signer
from agent.logbook import MAX_NAMED, Logbook
from agent.model import NS, SegmentState
from agent.sealing.sealer import Sealer
from agent.sealing.session import open_session
from agent.sealing.settings import BEGIN_BYTES
from agent.sealing.writer import with_reserve
from agent.spool import inbox, possession, retention
from agent.spool.docktold import DockTold
from agent.spool.marked import Marked
from agent.spool.receipted import Receipted
from agent.spool.room import Room, room_of
from agent.spool.sealed import Sealed
from agent.spool.shelf import LISTED_NS, Shelf
from agent.spool.store import Spool
from agent.startcounter import StartCounter
from agent.vaultparts import counter_of, read_chain, reserve_log, sealer_settings

RECORDS_AT_ONCE = 64
"""Of what lies in delivered/, read in one turn: all of a large card within its first minute."""


class Vault:
    """Owns the spool. Opening it recovers what a power cut left and writes this session's first leaves, in the next
    epoch where the newest cannot go on.

    Raises KeyTrustError for keys and recipients, StorageError for the disk.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        on_durable: Callable[[int], None] = lambda size: None,
        on_late: Callable[[StorageError], None] = lambda err: None,
    ) -> None:
        """The callbacks are the sealer's."""
        self._config, self._clock = config, clock
        self._on_durable, self._on_late = on_durable, on_late
        signer = open_signer(config.sealing.identity_key, config.sealing.tpm_device)
        self._session = open_session(signer, read_chain(config), config.camera.id, clock.boot_id)
        self.spool = Spool(config.spool.dir)
        self._receipted = Receipted(self.spool, clock)
        self._sealed, self._shelf = Sealed(self.spool), Shelf(self.spool)
        stem = f"{config.camera.log_name}/{config.camera.id}"
        self._epochs = Epochs(self.spool, stem, self._session, note.parse_vkeys(*config.dock.receipt_keys))
        self._reserve = self.spool.root / "log" / "reserve"
        self._counter = StartCounter(
            counter_of(config),
            self.spool.root / "log" / "counter.json",
            config.sealing.count_recordings,
            partial(facts_at, self.spool),
            partial(newest_count, self.spool, self._epochs.own),
        )
        self._behind: note.Checkpoint | None = None
        self._lost: LostError | None = None
        self._looked: tuple[str, int] | None = None
        self._next: Logbook | None = None
        self._delivering: list[SealRecord] = []
        self._deleting: deque[SealRecord] = deque()
        self._listed_until_ns = self.deleted_bytes = 0
        """Of segments, in this life: by their records."""
        self.more_to_delete = False
        """Of what `retain` may delete now, some is left for a later turn."""
        self._damaged: list[StorageError] = []
        self._unshown: dict[str, str] = {}
        self._marked = Marked(config.control.socket.parent, clock.boot_id)
        self._dock = DockTold(self.spool, clock, self._marked)
        self._book = self._open_book()
        self.keep_reserve()
        try:
            self._book.begin()
        except BaseException:
            # Whoever tries again leaves no file open behind.
            self._book.sealer.close()
            raise

    def _open_book(self) -> Logbook:
        """The newest epoch, recovered, or the one after it. Writes no leaf. Raises StorageError."""
        stand = with_reserve(self._reserve, self._epochs.stand)
        every_ns, settings = (
            self._config.sealing.checkpoint_identity_s * NS,
            sealer_settings(self._config, self.spool.root),
        )
        hear = self._clock, self._on_durable, self._on_late
        return Logbook(stand, self._epochs, self.spool, self._session, every_ns, settings, self._counter, *hear)

    @property
    def sealer(self) -> Sealer:
        """Of the log that is being written."""
        return self._book.sealer

    @property
    def origin(self) -> str:
        """The log that is being written."""
        return self._book.origin

    @property
    def epoch(self) -> int:
        """Its number."""
        return self._book.epoch

    @property
    def began(self) -> str | None:
        """Why this log began, in words, where it did so in this life."""
        return self._book.began

    @property
    def behind(self) -> str | None:
        """Why this log has to end: a station saw more of it, or another one, or a part of it is lost. In words; None
        where all is well.
        """
        if self._behind is None:
            return self._lost.message if self._lost else None
        return beyond(self._behind, self._book.log.next_index)

    def mend(self, lacking: str) -> None:
        """Look at a tile that the uploader says the card lacks, once for each length of the tiles; where that is so,
        write it anew, or have this log end. Not during a recording. Raises StorageError.
        """
        asked = lacking, self._book.log.tiles_size
        if asked == self._looked:
            return
        self._looked = asked
        try:
            if self._book.remake(lacking):
                self.sealer.flush_tiles()
        except LostError as err:
            self._lost = err

    def renew(self) -> None:
        """Begin the next epoch, where this log is behind. Not during a recording. Raises StorageError, after which the
        same call goes on where it was; until it is done, events go to the old log.
        """
        if self.behind is None:
            return
        self._settle_old()
        if self._next is None:
            head = self._book.head()
            if self._epochs.newest() == self.epoch:
                if self._behind:
                    detail = beyond(self._behind, head.size)
                    self._epochs.begin(self.origin, Why.BEHIND, detail, self._behind, head)
                elif self._lost:
                    self._epochs.begin(self.origin, Why.DAMAGED, self._lost.message)
            self._next = self._open_book()
        self._next.begin()
        self._settle_old()
        self._book, self._next, self._behind, self._lost = self._next, None, None, None

    def _settle_old(self) -> None:
        self.sealer.seal_open()
        if self.sealer.owes:
            raise StorageError("the old log is not sealed yet, so the next does not begin", "look at the fault sealing")

    @property
    def identity_trouble(self) -> DeviceError | None:
        """Why the identity key, which is in hardware, did not sign the last time; None where it did."""
        return next(iter(self._session.trouble), None)

    def start_recording(self, body: Mapping[str, Any]) -> str:
        """The start leaf, durable, and the recording's name. Raises StorageError."""
        return self._book.start_recording(body)

    def say(self, body: Mapping[str, Any], recording: str | None) -> None:
        """An event's leaf, durable. Raises StorageError."""
        self._counter.settle()
        self.sealer.event(Kind.EVENT, body, recording)
        name = self.sealer.open_name
        if body.get("type") == events.Mark.NAME and name:
            self._marked.add(name)

    @property
    def rollback(self) -> str | None:
        """Why the card looks as if it was put back to an older state, in words; None where the hardware counter, if
        there is one, agrees with it.
        """
        return self._counter.suspicion

    @property
    def counter_trouble(self) -> DeviceError | None:
        """Why this session was not counted by the hardware counter; None where it was, or there is none."""
        return self._counter.trouble

    def keep_reserve(self) -> StorageError | None:
        """Hold back room for the log again, where it was given up to a full disk. Returns what keeps it from that: a
        camera without it still records, and must start to get its card emptied.
        """
        return reserve_log(self.spool, self._reserve, self._config.spool)

    def room(self, kbps: int, often: bool = False) -> Room:
        """How much room there is for media of this bitrate, what a station has counted as free: where that is asked
        `often`, as it was some seconds ago, unless this vault changed it. Raises StorageError.
        """
        now = self._clock.monotonic_ns()
        if not often or now >= self._listed_until_ns:
            self._shelf.look()
            self._listed_until_ns = now + LISTED_NS
        return room_of(self.spool.space(), self._shelf.bytes, self.sealer.settings.begins_bytes, kbps)

    # -- receipts --------------------------------------------------------------------------------------------------

    def accept_receipts(self) -> tuple[int, list[str]]:
        """Read inbox/, check each receipt, move what it proves to delivered/. Returns (segments delivered,
        refusals in words). Raises StorageError, after which the same call goes on where it was.
        """
        delivered, refusals = self._move(), []
        self._sealed.turn()
        for path, data in inbox.messages(self.spool.inbox_dir, ".checkpoint"):
            try:
                self._hear(inbox.read_head(data, self._book.trust), data)
            except EvidenceError as err:
                refusals.append(f"{path.name[:80]}: {err.message}")
            inbox.taken(path)
        for path, data in inbox.messages(self.spool.inbox_dir, ".receipt"):
            try:
                count, stays = self._accept(data)
                delivered, refusals = delivered + count, [*refusals, *stays.values()]
            except EvidenceError as err:
                refusals.append(f"{path.name[:80]}: {err.message}")
            inbox.taken(path)
        if delivered:
            self._sealed.look_through()
            self.more_to_delete = True  # Room is made while nobody waits for it.
        here = SegmentState.SEALED
        self._unshown = {n: why for n, why in self._unshown.items() if self.spool.segment(here, n).exists()}
        return delivered, refusals

    def _accept(self, data: bytes) -> tuple[int, dict[str, str]]:
        """One receipt: how many segments it delivered, and which it names but does not show to be there. The signature
        first: nothing is read from the card for who has no pinned key. Raises EvidenceError, StorageError.
        """
        told, head = inbox.read_receipt(data, self._book.trust)
        self._sealed.measure(told, self._clock.monotonic_ns())
        if self._hear(head, told.checkpoint):
            return 0, {}
        sealed = self._sealed.named(told)
        proven = inbox.proven_by(told, head, self._book.trust, sealed)
        stays = possession.differing(told, sealed) | possession.unshown(told, proven)
        self._unshown |= stays
        gone = [r for r in proven if r.segment not in stays]
        moved = self._deliver(data, gone)
        self._sealed.moved(record.segment for record in gone)
        return moved, stays

    @property
    def unshown(self) -> str:
        """In words, a segment that stays since no receipt showed yet that the station has our bytes; "" without one."""
        return next(iter(self._unshown.values()), "")

    @property
    def damaged(self) -> StorageError | None:
        """A seal record that cannot be read: its segment is neither delivered nor deleted, until the next start makes
        the record anew. None where all can.
        """
        return next(iter((*self._sealed.damaged, *self._damaged)), None)

    def _hear(self, head: note.Checkpoint, cosigned: bytes) -> bool:
        """A head that the station signed: where it is of more, or of another log, this one has to end. True then."""
        self._epochs.remember(cosigned, head)
        if not inbox.is_beyond(head, self._book.trust):
            return False
        if self._behind is None or (number_of(head.origin), head.size) > (
            number_of(self._behind.origin),
            self._behind.size,
        ):
            self._behind = head
        return True

    def _deliver(self, data: bytes, proven: list[SealRecord]) -> int:
        """Receipt durable, then the leaf, then the moves: a cut in between is met by reading the receipt again."""
        if not proven:
            return 0
        moved = 0
        self._receipted.accepted(data)
        digest = self.spool.keep_receipt(data)
        for start in range(0, len(proven), MAX_NAMED):
            batch = proven[start : start + MAX_NAMED]
            facts = {"receipt": digest, "segments": [r.segment for r in batch]}
            self.sealer.event(Kind.DELIVERY, events.Delivery().body(), None, facts)
            self._delivering.extend(batch)
            moved += self._move()
        return moved

    def _move(self) -> int:
        """The moves that a delivery leaf has announced. What the disk refuses is owed, and comes before any other
        receipt: a leaf is not written twice for it.
        """
        if not self._delivering:
            return 0
        self._listed_until_ns = 0
        self.spool.deliver(self._delivering)
        moved, self._delivering = self._delivering, []
        return len(moved)

    # -- retention -------------------------------------------------------------------------------------------------

    def look_at_delivered(self) -> bool:
        """Some of the records in delivered/ that are not read yet: all at once would hold the loop up. True where none
        is left. Raises StorageError.
        """
        done = self._shelf.read(RECORDS_AT_ONCE)
        self._damaged = self._shelf.damaged
        return done

    def retain(self, force: bool = False, at_leisure: bool = False) -> int:
        """Delete delivered segments as the policy says, without `force` so many as one turn may take, or a recording
        that begins needs; the deletion leaf is durable first. Returns how many went. With `at_leisure`, none where many
        records are still to be read. Raises StorageError.

        One whose leaves the tiles do not hold yet stays: recovery would need it to go on with the log.
        """
        count = self._unlink()
        self._receipted.look_again()
        if self._sealed.damaged:
            self._sealed.look_through()
        self._shelf.look()
        if not self._shelf.read(RECORDS_AT_ONCE if at_leisure else None):
            self.more_to_delete = True  # They are read in the loop's turns.
            return count
        config = self._config.retention
        # Who waits, for a press say, has what one more segment needs; the ring's is made before.
        least = (self.sealer.settings.wants_bytes if at_leisure else self.sealer.settings.begins_bytes) + BEGIN_BYTES
        policy = retention.Policy(config.keep_days, config.max_used_percent, force, least)
        now, space = time.time(), self.spool.space()
        held = [retention.Held(r, self._age_s(r, now)) for r in self._shelf.records()]
        chosen = retention.to_delete(held, space, policy)
        old = [r for r in chosen if r.epoch < self.epoch or r.end <= self._book.log.tiles_size]
        receipts = self._receipted.proof(old) if old else {}
        proven = [r for r in old if r.sha256 in receipts]
        lacks = 0 if at_leisure else policy.least_free_bytes - space.free_bytes
        portion = proven if force else retention.portion(proven, lacks)
        self.more_to_delete = len(portion) < len(proven)
        # Whose record was damaged since it was read stays, and is named.
        chosen = [r for r in portion if self._shelf.again(r.segment)]
        self._damaged = self._shelf.damaged
        for start in range(0, len(chosen), MAX_NAMED):
            batch = chosen[start : start + MAX_NAMED]
            named = [{"segment": r.segment, "sha256": r.sha256, "receipt": receipts[r.sha256]} for r in batch]
            self.sealer.event(Kind.DELETION, events.Deletion(force).body(), None, {"segments": named})
            self._deleting.extend(batch)
            count += self._unlink()
        return count

    def _unlink(self) -> int:
        """What a deletion leaf has announced goes; as with `_move`, a leaf is not written twice for it."""
        gone = 0
        while self._deleting:
            self._listed_until_ns = 0
            self.spool.delete(self._deleting[0])
            self.deleted_bytes += self._deleting[0].size
            self._receipted.deleted(self._deleting.popleft())
            gone += 1
        return gone

    def _age_s(self, record: SealRecord, now: float) -> float:
        """Since the rename into delivered/ (its ctime), whatever the clock did in between: never more than signed times
        say, and never negative.
        """
        by_card_s = max(0.0, now - self._shelf.since_s(record.segment))
        if by_card_s <= self._config.retention.keep_days * retention.DAY_S:
            return by_card_s
        return min(by_card_s, self._receipted.age_s(record))

    # -- dock ------------------------------------------------------------------------------------------------------

    def tell_dock(self, docked: bool, sends: bool = False) -> None:
        """In each turn; see agent/spool/docktold.py. Raises StorageError."""
        self._dock.tell(docked, sends)

    def close(self, clean: bool = True) -> None:
        """The last leaf of this session, and its segment sealed; an unclean close leaves that to recovery."""
        if clean:
            self.sealer.event(Kind.SHUTDOWN, events.Shutdown().body())
            self.sealer.seal_open()
        self.sealer.close()
