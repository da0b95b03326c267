"""Lives of a camera, written down call by call: recordings with rotations, events, dock visits, deletions, ends with
and without a shutdown, as the recorder's vault and sealer live them.
"""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent import durable, vault
from agent.clock import Clock
from agent.config import Config, RecordingConfig
from agent.errors import StorageError
from agent.formats import certs, merkle, note, receipt
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.recording import Recording
from agent.sealing.sealer import Sealer
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests import answering, campaigns
from tests.camera_kit import CAMERA, FakeClock
from tests.fault.replay.cuts import RENEW
from tests.fault.replay.tape import SYNCS, Do, Tape
from tests.muxer_kit import Muxer
from tests.recorder_kit import make_config

PART_NS = NS // 2
ENCODE_NS = NS // 5
"""From the last sample of a part until it is offered to the sealer: what the house allows encoder and muxer."""
SYNC_NS = NS // 50
"""What each fsync costs: a slow card."""
INIT = b"ftyp-and-moov"
IDLE_NS = 59 * NS
"""Until the next heartbeat, at the most, less what the card takes for it."""
RING_PARTS = campaigns.size(sample=16, full=2 * RecordingConfig().pre_event_s)
"""Of half a second: in full a ring as a camera has it."""
TRIES = 50
T = TypeVar("T")
COUNTER = 40
"""Where the hardware counter stands before a life."""


def insist(action: Callable[[], T]) -> T:
    """As the recorder does: what the disk refused is tried again."""
    for _ in range(TRIES):
        try:
            return action()
        except StorageError as err:
            last = err
    raise last


@contextmanager
def refusing(chance: random.Random, share: float) -> Iterator[None]:
    """A disk that refuses this share of writes and syncs."""

    def flaky(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(fd: int, *arguments: Any) -> Any:
            if share and chance.random() < share:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(fd, *arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("pwrite", "fsync", "fdatasync"):
            patch.setattr(os, name, flaky(getattr(os, name)))
        yield


class Hardware:
    """A counter as a TPM has one; None where the camera has none. `counted` hears each new value."""

    def __init__(self, now: int | None, counted: Callable[[int], None]) -> None:
        self.now, self._counted = now, counted

    def value(self) -> int:
        assert self.now is not None
        return self.now

    def increment(self) -> int:
        self.now = self.value() + 1
        self._counted(self.now)
        return self.now


def start_vault(
    config: Config, clock: Clock, counter: Hardware, on_durable: Callable[[int], None] = lambda size: None
) -> Vault:
    """As the recorder does, with this counter in the place of a TPM's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault, "counter_of", lambda config: counter if counter.now is not None else None)
        return Vault(config, clock, on_durable)


class Camera:
    """The recorder's evidence side on a desk. Its clock goes on with parts and with each fsync. `parts` are the bytes
    of each, by recording and number.
    """

    def __init__(self, agency: AgencyPaths, root: Path, chance: random.Random, refused: float = 0.0) -> None:
        """`refused` is the share of writes and syncs that the disk refuses; all are tried again, as by the recorder."""
        self._agency, self.chance, self._refused = agency, chance, refused
        self.root = root / "spool"
        recording = RecordingConfig(segment_s=chance.choice((3, 4)))
        self.config = replace(make_config(agency, root), recording=recording)
        self.clock = FakeClock(boot_id=boot_id(chance))
        self.parts: dict[tuple[str, int], bytes] = {}
        self._taped: Tape | None = None

    def live(self, script: Callable[[Camera], None], deaf: Callable[[Do, str], bool] = lambda do, path: False) -> Tape:
        """From an empty spool to a cut at the end of `script`."""
        tape = Tape(self.root, lambda: self.clock.now_ns, self._took, deaf)
        with refusing(self.chance, self._refused), tape.running():
            self._taped = tape
            self._counter = Hardware(COUNTER, tape.counted)
            self.start()
            script(self)
        self.vault.sealer.close()
        return tape

    def _took(self, do: Do) -> None:
        if do in SYNCS:
            self.clock.now_ns += SYNC_NS

    def start(self) -> None:
        """A recorder process begins."""
        tape = self._taped
        assert tape is not None
        self.vault = insist(lambda: start_vault(self.config, self.clock, self._counter, lambda size: tape.promise()))

    @property
    def sealer(self) -> Sealer:
        """Of the log that is being written."""
        return self.vault.sealer

    def restart(self) -> None:
        """It ends as asked, and begins again in the same boot."""
        insist(self.vault.close)
        self.start()

    # -- what happens to it ----------------------------------------------------------------------------------------

    def record(self, parts: int) -> str:
        """So many parts, with an IDR in every second one; left open."""
        name = insist(lambda: self.sealer.start_recording({"type": "record.start", "trigger": "test"}))
        zero_ns = self.clock.now_ns
        insist(lambda: self.sealer.begin_media(name, INIT, zero_ns))
        for number in range(parts):
            end = zero_ns + (number + 1) * PART_NS + ENCODE_NS
            self.clock.now_ns = max(self.clock.now_ns, end)
            data = self.parts[name, number] = self.chance.randbytes(self.chance.randrange(300, 3_000))
            part = MediaPart(number, data, number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000)
            insist(partial(self.sealer.media, name, part))
            self._settle_until(end + PART_NS)
        return name

    def press(self, ring_parts: int, live_parts: int) -> int:
        """A recording that reaches so far back, by its own thread, on a card that hangs until all of the ring waits;
        what comes live meanwhile comes when it is due. Left open. Returns how many parts it made of all of them.
        """
        name = insist(lambda: self.sealer.start_recording({"type": "record.start", "trigger": "test"}))
        zero_ns = self.clock.now_ns - ring_parts * PART_NS
        made, real = list[MediaPart](), self.sealer.media
        first, ring_waits = threading.Event(), threading.Event()
        given, total = ring_parts, ring_parts + live_parts

        def give_due() -> None:
            nonlocal given
            while given < total and self.clock.now_ns >= zero_ns + (given + 1) * PART_NS + ENCODE_NS:
                given += 1
                muxer.give(1)

        def media(recording: str, part: MediaPart) -> int:
            first.set()
            assert ring_waits.wait(30)
            self.parts[recording, len(made)] = part.data
            taken = real(recording, part)
            made.append(part)
            give_due()
            return taken

        muxer: Muxer

        def make(_: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
            nonlocal muxer
            muxer = Muxer(on_init, on_part, 0, 1)
            return muxer

        info = StreamInfo(320, 180, b"", None, zero_ns)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.sealer, "media", media)
            recording = Recording(name, self.sealer, info, make, lambda err: None, self.clock)
            recording.sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
            assert first.wait(30)
            muxer.give(ring_parts - 1)
            ring_waits.set()
            while given < total:
                self._until_sealed(recording)
                if given < total:
                    self.clock.now_ns = max(self.clock.now_ns, zero_ns + (given + 1) * PART_NS + ENCODE_NS)
                    give_due()
            recording.finish(30)
        assert sum(part.pieces for part in made) == total
        return len(made)

    def _until_sealed(self, recording: Recording) -> None:
        end = time.monotonic() + 30
        while recording.progress().waiting or recording.settling:
            assert time.monotonic() < end
            time.sleep(0.001)

    def _settle_until(self, due_ns: int) -> None:
        """As the recording does between two parts."""
        if self.clock.now_ns < due_ns and self.sealer.owes:
            self.sealer.settle(lambda: self.clock.now_ns >= due_ns)

    def stop(self, name: str) -> None:
        self.sealer.stop_recording(name, {"type": "record.stop"})
        self._settle()

    def _settle(self) -> None:
        for _ in range(TRIES):
            if not self.sealer.owes:
                return
            self.sealer.settle()
        raise AssertionError("something is still owed")

    def event(self, after_ns: int = 0) -> int:
        self.clock.now_ns += after_ns
        return insist(lambda: self.sealer.event(Kind.EVENT, {"type": "heartbeat"}))

    def dock(self) -> None:
        """Docked, all of it sent, and receipted."""
        self.sealer.seal_open()
        self._settle()
        insist(lambda: self.vault.tell_dock(True))
        insist(
            lambda: durable.write_file(
                self.vault.spool.inbox_dir / "one.receipt", receipt_of(self._agency, self.vault), 0o644
            )
        )
        assert insist(self.vault.accept_receipts)[1] == []
        insist(lambda: self.vault.tell_dock(False))

    def hear_of_more(self) -> None:
        """The station saw more of this log than there is: it ends, and the next epoch begins."""
        assert self._taped is not None
        with self._taped.during(RENEW):
            head = longer_head(self._agency, self.vault, self.chance)
            durable.write_file(self.vault.spool.inbox_dir / "one.checkpoint", head, 0o644)
            assert self.vault.accept_receipts() == (0, [])
            self.vault.renew()

    def delete(self) -> None:
        insist(lambda: self.vault.retain(force=True))


def receipt_of(
    agency: AgencyPaths,
    vault: Vault,
    unix_s: int = 1_780_000_000,
    epoch: int | None = None,
    kept: Sequence[SealRecord] = (),
) -> bytes:
    """What the station signs at this second for all that is sealed of the newest log, or of an earlier one; and for
    the bytes of what is `kept`.
    """
    epoch = vault.epoch if epoch is None else epoch
    origin = f"{vault.origin.rpartition('/')[0]}/{epoch}"
    key = load_pem_private_key(agency.receipt_key.read_bytes(), None)
    station, _ = note.parse_vkey(agency.receipt_vkey.read_text())
    own = tuple(certs.der(c) for c in certs.parse_pem(agency.receipt_chain.read_bytes()))
    signed = note.parse((vault.spool.log_dir(epoch) / "checkpoint").read_bytes())
    cosigned = signed.with_signatures([note.cosign(signed.text, station, key, unix_s)])
    stored = tuple(
        answering.stored(vault.spool, r) for r in vault.spool.records(SegmentState.SEALED) if r.epoch == epoch
    )
    left = tuple(answering.stored(vault.spool, r) for r in kept)
    text = receipt.Receipt(station, origin, CAMERA, unix_s, cosigned.to_bytes(), stored, own, left).text()
    return note.Note(text, (note.sign_ed25519(text, station, key),)).to_bytes()


def longer_head(agency: AgencyPaths, vault: Vault, chance: random.Random) -> bytes:
    """What the station cosigned of this log, and the card has lost."""
    key = load_pem_private_key(agency.receipt_key.read_bytes(), None)
    station, _ = note.parse_vkey(agency.receipt_vkey.read_text())
    text = note.Checkpoint(vault.origin, 9_999, chance.randbytes(32)).text()
    return note.Note(text, (note.cosign(text, station, key, 1_780_000_000),)).to_bytes()


def busy(camera: Camera) -> None:
    """A shift: recordings, one dock visit or two, a restart; the power goes while it records."""
    chance = camera.chance
    for _ in range(chance.choice((1, 2))):
        for _ in range(chance.choice((1, 2))):
            name = camera.record(chance.randrange(1, 8))
            if chance.random() < 0.5:
                camera.event()
            camera.stop(name)
        camera.event(chance.randrange(IDLE_NS))
        if chance.random() < 0.5:
            camera.restart()
        camera.dock()
        camera.event(chance.randrange(IDLE_NS))
        camera.delete()
    camera.record(chance.randrange(2, 7))


def renewed(camera: Camera) -> None:
    """A log that ends, and the next one."""
    for _ in range(2):
        camera.stop(camera.record(camera.chance.randrange(1, 5)))
        camera.event()
    if camera.chance.random() < 0.5:
        camera.dock()
    camera.hear_of_more()
    assert camera.vault.epoch == 2
    camera.stop(camera.record(2))
    camera.dock()
    camera.record(camera.chance.randrange(1, 4))


def pressed(camera: Camera) -> None:
    """A press with a ring before it, of which the card takes a while, and what comes after."""
    camera.event(camera.chance.randrange(IDLE_NS))
    camera.press(RING_PARTS, 5)


def long_log(camera: Camera) -> None:
    """Past the leaf that makes the first full tile; what came before is delivered and deleted."""
    while camera.event(NS) < merkle.TILE_WIDTH - 8:
        pass
    camera.dock()
    camera.delete()
    camera.stop(camera.record(3))
    camera.dock()
    camera.record(2)


def boot_id(chance: random.Random) -> str:
    text = f"{chance.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
