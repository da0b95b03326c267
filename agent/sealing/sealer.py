"""What is recorded becomes evidence here: encrypt, hash into a leaf, sign, one write, one fdatasync.

The sealer owns the one open segment. Segments tile the log: whatever comes next, media or event, goes to the
segment that is open, and opening another seals this one first (docs/evidence-format.md, "Segment").
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent import durable
from agent.clock import Clock
from agent.errors import StorageError
from agent.formats import age, pack
from agent.formats import leaf as leaves
from agent.formats.seal import SealRecord
from agent.model import NS, MediaPart
from agent.sealing.log import Log
from agent.sealing.writer import SegmentWriter, is_full

EVENT_RESERVE_BYTES = 64 << 10
ROTATE_WITHIN_NS = 2 * NS
"""A segment ends at the first IDR in its last two seconds: after 58 s where it may have 60."""


@dataclass(frozen=True, slots=True)
class SealerSettings:
    """`open_dir` and `sealed_dir` lie on one file system. `log_reserve` is a file given up when an event meets a
    full disk.
    """

    camera: str
    recipients: tuple[age.Recipient, ...]
    open_dir: Path
    sealed_dir: Path
    log_reserve: Path
    segment_ns: int = 60 * NS
    segment_bytes: int = 64 << 20
    media_reserve_bytes: int = 8 << 20
    free_floor_bytes: int = 0


@dataclass(slots=True)
class _Recording:
    recording: str
    init: bytes
    init_sha256: str
    zero_mono_ns: int
    parts: int = 0
    seq: int = 0
    segment_start_ns: int = 0


class Sealer:
    """Thread-safe. Every method that writes returns only when what it wrote is durable, or raises StorageError
    with nothing changed.
    """

    def __init__(
        self,
        settings: SealerSettings,
        log: Log,
        clock: Clock,
        on_durable: Callable[[int], None] = lambda size: None,
        unannounced: Sequence[SealRecord] = (),
    ) -> None:
        """`unannounced` are segments sealed before, by recovery, whose seal leaves are still owed; `on_durable`
        hears each entry's bytes.
        """
        self._s, self._log, self._clock = settings, log, clock
        self._recipients_sha256 = age.recipient_set_hash(settings.recipients)
        self._on_durable = on_durable
        self._owed = list(unannounced)
        self._open: SegmentWriter | None = None
        self._recording: _Recording | None = None
        self._lock = threading.RLock()

    # -- events ----------------------------------------------------------------------------------------------------

    def event(
        self,
        kind: leaves.Kind,
        body: Mapping[str, Any],
        recording: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        """Append one event leaf; returns its log index. Falls back on the log's reserve when the disk is full."""
        with self._lock:
            try:
                return self._event(kind, body, recording, facts or {})
            except StorageError as err:
                if not is_full(err) or not self._s.log_reserve.exists():
                    raise
                self._s.log_reserve.unlink()
                return self._event(kind, body, recording, facts or {})

    def _event(
        self, kind: leaves.Kind, body: Mapping[str, Any], recording: str | None, facts: Mapping[str, Any]
    ) -> int:
        if self._open is None:
            self._open_events()
            if kind is not leaves.Kind.SESSION:
                self._announce()
        plain, digest = leaves.seal_body(body, secrets.token_bytes(leaves.SALT_SIZE))
        sealed = age.encrypt(plain, self._s.recipients)
        index = self._append(sealed, lambda common: leaves.EventLeaf(common, kind, recording, facts, digest))
        if kind is leaves.Kind.SESSION:
            # A session's own leaf is its first: the seal leaves that the last one still owed come after it.
            self._announce()
        return index

    def start_recording(self, body: Mapping[str, Any]) -> str:
        """The start leaf, durable at once; the recording is named after its index. Media follow `begin_media`."""
        with self._lock:
            if self._open is None:
                self._open_events()
                self._announce()
            recording = f"r{self._log.next_index:010d}-{os.urandom(4).hex()}"
            self.event(leaves.Kind.START, body, recording)
            return recording

    # -- media -----------------------------------------------------------------------------------------------------

    def begin_media(self, recording: str, init: bytes, zero_mono_ns: int) -> None:
        """Seal the event segment and open the recording's first one."""
        with self._lock:
            sealed = age.encrypt(init, self._s.recipients)
            digest = leaves.Sealed.of(sealed.data, sealed.header_size).sha256
            state = _Recording(recording, sealed.data, digest, zero_mono_ns)
            self._open_media(state)
            self._recording = state

    def media(self, part: MediaPart) -> int:
        """Append one part; rotates first where the segment is due. Returns the bytes of its .age file."""
        with self._lock:
            state = self._recording
            if state is None or self._open is None:
                raise ValueError("no recording is open")
            if self._due(state, part):
                self._rotate_media(state, part)
            sealed = age.encrypt(part.data, self._s.recipients)
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
            return len(sealed.data)

    def stop_recording(self, recording: str, body: Mapping[str, Any]) -> int:
        """The stop leaf, as the last of the recording's last segment, which is then sealed. Returns the number of
        parts.
        """
        with self._lock:
            parts = self._recording.parts if self._recording else 0
            self.event(leaves.Kind.STOP, body, recording, {"parts": parts, "interrupted": False})
            self._recording = None
            self.seal_open()
            return parts

    def _due(self, state: _Recording, part: MediaPart) -> bool:
        assert self._open is not None
        length = part.start_ns - state.segment_start_ns
        if self._open.size + len(part.data) + (64 << 10) > self._s.segment_bytes:
            return True
        if length + part.duration_ns > self._s.segment_ns:
            return True
        return length >= self._s.segment_ns - ROTATE_WITHIN_NS and part.starts_with_idr

    def _rotate_media(self, state: _Recording, part: MediaPart) -> None:
        state.seq += 1
        try:
            self._open_media(state)
        except StorageError:
            state.seq -= 1
            raise
        state.segment_start_ns = part.start_ns

    # -- segments --------------------------------------------------------------------------------------------------

    def seal_open(self) -> None:
        """Seal the open segment, if any, and bring the tiles up to date. Its seal leaf opens the next one."""
        with self._lock:
            if self._open is not None:
                self._owed.append(self._open.seal(self._s.sealed_dir))
                self._open = None
                self._log.flush_tiles()

    def close(self) -> None:
        """Let the open segment go as it is (a failing disk); recovery seals it at the next start."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _open_events(self) -> None:
        name = f"e{self._log.next_index:010d}-{os.urandom(4).hex()}"
        self._switch(name, None, None, 0, EVENT_RESERVE_BYTES)

    def _open_media(self, state: _Recording) -> None:
        self._refuse_full()
        name = f"{state.recording}-{state.seq:04d}"
        self._switch(name, state.recording, state.init, state.seq, self._s.media_reserve_bytes)
        self._announce()

    def _refuse_full(self) -> None:
        """Media never takes the last of the disk: below the floor it counts as full; the log goes on."""
        stat = os.statvfs(self._s.open_dir)
        if stat.f_bavail * stat.f_frsize < self._s.free_floor_bytes + self._s.media_reserve_bytes:
            with durable.storage_errors(self._s.open_dir, "no room for one more segment in"):
                raise OSError(errno.ENOSPC, "No space left on device")

    def _switch(self, name: str, recording: str | None, init: bytes | None, seq: int, reserve: int) -> None:
        """Open the next segment before sealing this one: where the disk has no room, this one stays open for the
        stop leaf.
        """
        header = pack.SegmentHeader(self._log.origin, self._s.camera, recording, seq, self._log.frontier)
        fresh = SegmentWriter(self._s.open_dir, name, header, self._log.session.chain_pem, init, reserve)
        self.seal_open()
        self._open = fresh

    def _announce(self) -> None:
        """The seal leaves of segments sealed since the last ones."""
        while self._owed:
            record = self._owed[0]
            self._event(leaves.Kind.SEAL, {"type": "seal"}, record.recording, record.facts())
            self._owed.pop(0)

    # -- one entry -------------------------------------------------------------------------------------------------

    def _append(self, sealed: age.SealedFile, make: Callable[[leaves.Common], leaves.Leaf]) -> int:
        assert self._open is not None
        common = leaves.Common(
            self._s.camera,
            self._log.next_index,
            stamp(self._clock),
            self._log.session.chain_sha256,
            self._recipients_sha256,
            leaves.Sealed.of(sealed.data, sealed.header_size),
        )
        proposal = self._log.propose(make(common))
        try:
            self._open.append(proposal.index, sealed.data, proposal.leaf, proposal.note)
        except StorageError:
            # The index may be taken by another leaf only when this note is gone from the disk.
            self._open.roll_back()
            raise
        self._log.commit(proposal)
        self._on_durable(len(sealed.data))
        return proposal.index


def stamp(clock: Clock) -> leaves.Stamp:
    """The instant, by every clock."""
    utc = clock.utc()
    moment = datetime.fromtimestamp(utc.ns // NS, UTC) + timedelta(microseconds=utc.ns % NS // 1000)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return leaves.Stamp(clock.boot_id, clock.monotonic_ns(), clock.boottime_ns(), text, utc.source, utc.bound_ms)
