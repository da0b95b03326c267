"""What is recorded becomes evidence here: encrypt, hash into a leaf, sign, one write, one fdatasync.

The sealer owns the one open segment. Segments tile the log: whatever comes next, media or event, goes to the
segment that is open. One that is full goes to `Closing`, so that a disk which refuses to seal it cannot stop what is
recorded next (docs/evidence-format.md, "Segment").
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from agent import events, probe
from agent.clock import Clock
from agent.errors import StorageError, reason
from agent.formats import age, pack, possession
from agent.formats import leaf as leaves
from agent.formats.seal import SealRecord
from agent.model import MediaPart
from agent.sealing.blank import Blank, NextFile
from agent.sealing.closing import Closing
from agent.sealing.encryption import Encryption
from agent.sealing.log import Log, stamp
from agent.sealing.rotation import Rotation
from agent.sealing.settings import EVENT_RESERVE_BYTES
from agent.sealing.settings import SealerSettings as SealerSettings
from agent.sealing.state import Ended, OwedStop, RecordingState
from agent.sealing.turns import TurnLock
from agent.sealing.writer import SegmentWriter, is_full, with_reserve

LOG = logging.getLogger("bodycam.sealing")
T = TypeVar("T")


class Sealer:
    """Thread-safe. `event`, `start_recording`, `begin_media` and `media` return only when what they wrote is durable,
    or raise StorageError with nothing changed.

    What must happen, whatever the disk says now, is owed instead: the stop leaf, sealing, seal leaves, tiles. Then
    `on_late` hears the StorageError, which is `refused` until a try succeeds, `owes` is true, and `settle` tries again.
    Of the segment before, all of this is owed from `begin_media` and `media`: whoever gives parts settles between them.
    `no_room` is there from when the next media segment did not fit on the disk: the open one takes what still waits,
    for about two seconds.
    """

    def __init__(
        self,
        settings: SealerSettings,
        log: Log,
        clock: Clock,
        on_durable: Callable[[int], None] = lambda size: None,
        unannounced: Sequence[SealRecord] = (),
        on_late: Callable[[StorageError], None] = lambda err: None,
    ) -> None:
        """`unannounced` are segments sealed before, by recovery, whose seal leaves are still owed; `on_durable`
        hears each entry's bytes. Both callbacks are called under the sealer's lock, on the caller's thread.
        """
        self._s, self._log, self._clock = settings, log, clock
        self._encryption = Encryption(settings.recipients)
        self._on_durable, self._on_late = on_durable, on_late
        self._closing = Closing(settings.sealed_dir, log.flushing_tiles, unannounced)
        self._next = NextFile(settings.open_dir, settings.media_reserve_bytes, self.check_room)
        self._open: SegmentWriter | None = None
        self._event_name = ""
        self._seal_due = False
        self.owed_stop: OwedStop | None = None
        self._begun: str | None = None
        self._recording: RecordingState | None = None
        self.no_room: StorageError | None = None
        self.refused: StorageError | None = None
        self._lock = TurnLock()
        self._part_waits = False

    # -- events ----------------------------------------------------------------------------------------------------

    def event(
        self,
        kind: leaves.Kind,
        body: Mapping[str, Any],
        recording: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        """Append one event leaf; returns its log index. Falls back on the log's reserve when the disk is full. Where
        parts wait, it comes after the one that is being written.
        """
        with self._lock.in_turn():
            return self._with_reserve(lambda: self._event(kind, body, recording, facts or {}))

    def _with_reserve(self, action: Callable[[], T]) -> T:
        return with_reserve(self._s.log_reserve, action)

    def _event(
        self, kind: leaves.Kind, body: Mapping[str, Any], recording: str | None, facts: Mapping[str, Any]
    ) -> int:
        self._end_segment()
        fresh = self._open is None
        if fresh and kind is not leaves.Kind.SESSION:
            self._open_events()
            self.settle()
        index = self._append_event(kind, body, recording, facts)
        if fresh and kind is leaves.Kind.SESSION:
            # A session's own leaf is its first: the seal leaves that the last one still owed come after it.
            self.settle()
        return index

    def _append_event(
        self, kind: leaves.Kind, body: Mapping[str, Any], recording: str | None, facts: Mapping[str, Any]
    ) -> int:
        if self._open is None:
            self._open_events()
        plain, digest = leaves.seal_body(body, self._encryption.draw(leaves.SALT_SIZE))
        sealed = self._encryption.seal(plain)
        return self._append(sealed, lambda common: leaves.EventLeaf(common, kind, recording, facts, digest))

    def start_recording(
        self, body: Mapping[str, Any], facts_at: Callable[[int], Mapping[str, Any]] = lambda index: {}
    ) -> str:
        """The start leaf, durable at once, with these public facts; the recording is named after its index. Media
        follow `begin_media`. Where the one before still owes its stop leaf, that comes first.
        """
        with self._lock:
            self._with_reserve(self._end_segment)
            if self._open is None:
                self._with_reserve(self._open_events)
                self.settle()
            index = self._log.next_index
            recording = f"r{index:010d}-{self._encryption.draw(4).hex()}"
            self.event(leaves.Kind.START, body, recording, facts_at(index))
            self._begun, self.no_room = recording, None
            self._next.want(f"{recording}-0000")
            return recording

    # -- media -----------------------------------------------------------------------------------------------------

    def begin_media(self, recording: str, init: bytes, zero_mono_ns: int) -> None:
        """Open the recording's first segment. To seal the event segment before it is owed."""
        with self._lock:
            if recording != self._begun:
                raise ValueError(f"{recording} is not the recording that goes on")
            sealed = self._encryption.seal(init)
            digest = leaves.Sealed.of(sealed.data, sealed.header_size).sha256
            state = RecordingState(recording, sealed.data, digest, zero_mono_ns)
            self._open_media(state, 0)
            self._recording = state

    def media(self, recording: str, part: MediaPart) -> int:
        """Append one part; rotates first where the segment is due. Returns the bytes of its .age file."""
        self._part_waits = True
        with self._lock.in_turn():
            self._part_waits = False
            state = self._recording
            if state is None or self._open is None or state.recording != recording:
                raise ValueError(f"{recording} is not the recording that goes on")
            self._rotate(state, part)
            sealed = self._encryption.seal(part.data)
            self._append(
                sealed,
                lambda common: leaves.MediaLeaf(
                    common,
                    state.recording,
                    state.parts,
                    part.starts_with_idr,
                    state.zero_mono_ns,
                    part.start_ns,
                    part.duration_ns,
                    state.init_sha256,
                ),
            )
            state.parts += 1
            state.pieces += part.pieces
            if Rotation(self._s, self._open.size, state.segment_start_ns, part).near:
                self._next.want(f"{state.recording}-{state.seq + 1:04d}")
            return len(sealed.data)

    def stop_recording(self, recording: str, body: Mapping[str, Any], offered: int | None = None) -> Ended:
        """The stop leaf, as the last of the recording's last segment, which is then sealed. What the disk refuses of
        this stays owed; until the stop leaf is written, no other event is.

        Of `offered` pieces the body says how many are lost: counted here, where no more can become durable, however
        long the disk held on to the last one.
        """
        with self._lock:
            state = self._recording
            parts, pieces = (state.parts, state.pieces) if state else (0, 0)
            lost = 0 if offered is None else offered - pieces
            told = {} if offered is None else {"lost_parts": lost}
            self.owed_stop = OwedStop(recording, {**body, **told}, parts)
            self._recording = self._begun = None
            self._next.drop()
            self._seal_due = True
            self.settle()
            return Ended(parts, lost)

    def _write_stop(self) -> None:
        if self.owed_stop is not None:
            facts = {"parts": self.owed_stop.parts, "interrupted": False}
            self._append_event(leaves.Kind.STOP, self.owed_stop.body, self.owed_stop.recording, facts)
            self.owed_stop = None

    def _rotate(self, state: RecordingState, part: MediaPart) -> None:
        assert self._open is not None
        if state.parts == state.segment_part:
            return
        rotation = Rotation(self._s, self._open.size, state.segment_start_ns, part)
        if not rotation.due:
            return
        try:
            self._open_media(state, state.seq + 1)
        except StorageError as err:
            if rotation.must or not is_full(err):
                raise
            # There is room in this segment for what still waits. Who records ends it, before a part finds none.
            self.no_room = err
            return
        self.no_room = None
        state.segment_part = state.parts
        state.segment_start_ns = part.start_ns

    # -- segments --------------------------------------------------------------------------------------------------

    def seal_open(self) -> None:
        """Seal the open segment, if any, and bring the tiles up to date. Its seal leaf opens the next one."""
        with self._lock:
            self._seal_due = self._open is not None
            self.settle()

    def flush_tiles(self) -> None:
        """Owe tiles, and the checkpoint beside them, of the log's size now, and `settle`: what it does not come to, or
        the disk refuses, stays owed.
        """
        with self._lock:
            self._closing.owe_tiles()
            self.settle()

    def root_at(self, size: int) -> bytes:
        """The root of the log's first `size` leaves. Raises EvidenceError where it never was that long."""
        with self._lock:
            return self._log.root_at(size)

    @property
    def open_name(self) -> str | None:
        """The segment that is being written."""
        segment = self._open
        return segment.name if segment else None

    @property
    def owes(self) -> bool:
        """True while something that was asked for is not durable yet. Does not wait for a disk that stalls."""
        unsaid = self._open is not None and bool(self._closing.unannounced)
        return self.owed_stop is not None or self._seal_due or self._next.owes or self._closing.owes or unsaid

    def settle(self, gives_way: Callable[[], bool] = lambda: False) -> None:
        """Try once to do what is owed, in the log's order. To seal a segment takes a dozen syncs, and a power cut would
        cost the part that waits for them: after any one of them this stops where one waits, or where it `gives_way`;
        the rest stays owed.
        """
        with self._lock:
            try:
                while self._with_reserve(self._step) and not self._part_waits and not gives_way():
                    pass
            except StorageError as err:
                self.refused = err
                self._on_late(err)
            except Exception as err:
                # A defect of ours must not end the thread that seals what is recorded: this too is tried again.
                LOG.exception("sealing failed")
                self.refused = StorageError(f"sealing failed: {reason(err)}", getattr(err, "hint", ""))
                self._on_late(self.refused)

    def _step(self) -> bool:
        """The next of what is owed; False where that was the last."""
        self._end_segment()
        if self._next.owes:
            # Its failure is none yet, so its success says nothing of what was refused.
            self._next.make()
            return self.owes
        if self._closing.owes:
            self._closing.step()
        elif self._open is not None:
            self._announce()
        self.refused = None
        return self.owes

    def _end_segment(self) -> None:
        """The stop leaf that is owed, and no more entries for a segment that is to be sealed."""
        self._write_stop()
        if self._seal_due:
            self._retire()

    def _retire(self) -> None:
        if self._open is not None:
            # Until a failed entry is erased, its index must not be used in the next segment.
            self._open.roll_back()
            if self._open.empty:
                # Its first entry failed. A segment tells of at least one leaf; recovery drops one that does not.
                with contextlib.suppress(StorageError):
                    self._open.discard()
            else:
                self._closing.add(self._open)
            self._open = None
        self._seal_due = False

    def close(self) -> None:
        """Let what is not sealed go as it is (a failing disk); recovery seals it at the next start."""
        with self._lock:
            self._closing.close()
            self._next.close()
            if self._open is not None:
                self._open.close()
                self._open = None

    def _open_events(self) -> None:
        start = f"e{self._log.next_index:010d}-"
        if not self._event_name.startswith(start):
            # The same name when it is tried again: what could be neither written nor removed is written over.
            self._event_name = start + self._encryption.draw(4).hex()
        header, challenge = self._next_header(None, 0)
        blank = Blank(self._s.open_dir, self._event_name, EVENT_RESERVE_BYTES)
        self._switch(header, blank, challenge)

    def _open_media(self, state: RecordingState, seq: int) -> None:
        header, challenge = self._next_header(state.recording, seq)
        blank = self._next.take(f"{state.recording}-{seq:04d}")
        self._switch(header, blank, challenge, state.init)
        state.seq = seq

    @property
    def settings(self) -> SealerSettings:
        """Which say how much room it needs, and whether that is there."""
        return self._s

    def check_room(self, begins: bool = False) -> None:
        """Raises StorageError where the disk is full for media, or for a recording that begins; the log goes on."""
        self._s.check_room(begins)

    def check_disk(self) -> None:
        """Raises StorageError where the disk takes nothing at all, or does not answer. Costs it no write."""
        self._s.check_writable()
        segment = self._open
        if segment:
            probe.read_through(segment.path)

    def check_signer(self) -> None:
        """Raises StorageError where the log's head, as it is, cannot be signed."""
        self._log.check_signer()

    def check_encryption(self) -> None:
        """Raises EncryptionError where nothing can be encrypted, and so nothing recorded."""
        self._encryption.check()

    def _next_header(self, recording: str | None, seq: int) -> tuple[pack.SegmentHeader, str]:
        """Of a segment that begins here, and a fresh challenge. Until a failed entry is erased, its index must not be
        used in it.
        """
        challenge = self._encryption.draw(possession.CHALLENGE_BYTES).hex()
        if self._open is not None:
            self._open.roll_back()
        return pack.SegmentHeader(self._log.origin, self._s.camera, recording, seq, self._log.frontier), challenge

    def _switch(self, header: pack.SegmentHeader, blank: Blank, challenge: str, init: bytes | None = None) -> None:
        """The next segment is open before this one goes to be sealed: where the disk has no room, it stays open for
        the stop leaf.
        """
        fresh = SegmentWriter(blank, header, self._log.session.chain_pem, challenge, init)
        self._retire()
        self._open = fresh

    def _announce(self) -> None:
        """The seal leaf of the oldest segment that has none."""
        if self._closing.unannounced:
            record = self._closing.unannounced[0]
            self._append_event(leaves.Kind.SEAL, events.Seal().body(), record.recording, record.facts())
            self._closing.unannounced.popleft()

    # -- one entry -------------------------------------------------------------------------------------------------

    def _append(self, sealed: age.SealedFile, make: Callable[[leaves.Common], leaves.Leaf]) -> int:
        assert self._open is not None
        # An index is proposed for another leaf only when the note of the one that failed is gone from the disk.
        self._open.roll_back()
        common = leaves.Common(
            self._s.camera,
            self._log.next_index,
            stamp(self._clock),
            self._log.session.chain_sha256,
            self._encryption.recipients_sha256,
            leaves.Sealed.of(sealed.data, sealed.header_size),
        )
        proposal = self._log.propose(make(common))
        try:
            self._open.append(proposal.index, sealed.data, proposal.leaf, proposal.note)
        except StorageError:
            with contextlib.suppress(StorageError):
                self._open.roll_back()
            raise
        self._log.commit(proposal)
        self._on_durable(len(sealed.data))
        return proposal.index
