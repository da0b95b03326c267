"""What is around a camera for a month: a card whose size is the test's, and a station that keeps what it signs for."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.clock import Utc
from agent.formats import note, receipt
from agent.model import SegmentState
from agent.sealing.tiles import TileStore
from agent.station.layout import AgencyPaths
from agent.vault import Vault
from tests.camera_kit import CAMERA, FakeClock
from tests.fault.replay.lives import receipt_of

CARD_BYTES = 8 << 30
STATES = (SegmentState.OPEN, SegmentState.SEALED, SegmentState.DELIVERED)


class SmallCard:
    """What the kernel says of the room on the card, in the place of the disk that the tests run on: the segments', and
    `other_bytes` of whatever else lies there. `refusing`: it takes no part. `stalling`: it
    answers to none.
    """

    def __init__(self, spool: Path, patch: pytest.MonkeyPatch) -> None:
        self._spool, self.other_bytes, self.refusing, self.stalling = spool, 0, False, False
        real = os.statvfs

        def statvfs(path: Any) -> Any:
            return self if Path(path).is_relative_to(spool) else real(path)

        patch.setattr(os, "statvfs", statvfs)

    f_frsize, f_blocks, f_flag = 1, CARD_BYTES, 0

    @property
    def f_bavail(self) -> int:
        return max(0, CARD_BYTES - self.other_bytes - sum(self.held_bytes(state) for state in STATES))

    def held_bytes(self, state: SegmentState) -> int:
        total = 0
        for path in (self._spool / state.value).glob("*.tar"):
            # The sealing thread may move it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def names(self, state: SegmentState) -> set[str]:
        """Of the segments in this state."""
        found = os.listdir(self._spool / state.value)
        return {name.removesuffix(".tar") for name in found if name.endswith(".tar")}

    def leave(self, free_bytes: int) -> None:
        """Something else takes all of the card but this."""
        self.other_bytes = 0
        self.other_bytes = max(0, self.f_bavail - free_bytes)


class RootsClock:
    """The wall clock that `bodycam-agent apply` sets; `jumped` hears how far it did."""

    def __init__(self, clock: FakeClock, jumped: Callable[[int], None]) -> None:
        self._clock, self._jumped = clock, jumped

    @property
    def boot_id(self) -> str:
        return self._clock.boot_id

    def boottime_ns(self) -> int:
        return self._clock.boottime_ns()

    def set(self, utc_ns: int, bound_ms: int | None) -> None:
        jump_ns = utc_ns - self._clock.utc().ns
        self._clock.stepped_ns += jump_ns
        self._clock.utc_source, self._clock.utc_bound_ms = ("synchronised" if bound_ms else "unverified"), bound_ms
        self._jumped(jump_ns)


class TrueClock(FakeClock):
    """The station's."""

    def __init__(self, true_ns: Callable[[], int]) -> None:
        super().__init__()
        self._true_ns = true_ns

    def utc(self) -> Utc:
        return Utc(self._true_ns(), "synchronised", 3)


class Storehouse:
    """The station, as the recorder meets it: by what an uploader brings to inbox/. `receipted` is the digest of each
    segment that it has signed for; a copy of its bytes lies in `dir`. `forked` are the epochs of which it has seen
    another history than the card tells: it cosigns them no more.
    """

    def __init__(self, agency: AgencyPaths, dir: Path) -> None:
        self._agency, self.dir = agency, dir
        self.receipted: dict[str, str] = {}
        self.forked: set[int] = set()
        self._heads: dict[int, bytes] = {}
        """Of each epoch what it cosigned last; the tiles of that are in `_log`."""
        self._visits = 0
        dir.mkdir()

    def take(self, vault: Vault, unix_s: int) -> None:
        """All that is sealed is stored, and signed for at this second. What no log of it proves is kept for its bytes,
        under a log that this station knows.
        """
        waiting = vault.spool.records(SegmentState.SEALED)
        for record in waiting:
            shutil.copyfile(vault.spool.segment(SegmentState.SEALED, record.segment), self._at(record.segment))
        epochs = {vault.epoch, *(r.epoch for r in waiting)}
        self.forked |= {epoch for epoch in epochs if not self._goes_on(vault, epoch)}
        if vault.epoch in self.forked:
            self._bring_head(vault)
            return
        kept = [r for r in waiting if r.epoch in self.forked]
        told = {
            epoch: receipt_of(self._agency, vault, unix_s, epoch, kept if epoch == vault.epoch else ())
            for epoch in epochs - self.forked
        }
        self.receipted |= {record.segment: record.sha256 for record in waiting}
        for epoch, signed in sorted(told.items()):
            self._follow(vault, epoch, receipt.parse(note.parse(signed).text).checkpoint)
            self._bring(vault, signed)

    def _log(self, epoch: int) -> Path:
        return self.dir.with_name("station-log") / str(epoch)

    def _goes_on(self, vault: Vault, epoch: int) -> bool:
        """The card's log and what was cosigned of it are one, as far as both go."""
        if epoch not in self._heads:
            return True
        theirs, ours = TileStore(vault.spool.log_dir(epoch)), TileStore(self._log(epoch))
        size = min(theirs.size, ours.size)
        return theirs.root_at(size) == ours.root_at(size)

    def _follow(self, vault: Vault, epoch: int, cosigned: bytes) -> None:
        if epoch not in self._heads or TileStore(vault.spool.log_dir(epoch)).size > TileStore(self._log(epoch)).size:
            shutil.rmtree(self._log(epoch), ignore_errors=True)
            shutil.copytree(vault.spool.log_dir(epoch), self._log(epoch))
            self._heads[epoch] = cosigned

    def _bring_head(self, vault: Vault) -> None:
        """The newest that it cosigned, of the newest epoch that it knows."""
        durable.write_file(vault.spool.inbox_dir / "head.checkpoint", self._heads[max(self._heads)], 0o644)

    def lie(self, vault: Vault, unix_s: int) -> None:
        """A receipt for all that is sealed, which somebody else signed: nothing is stored anywhere."""
        told = note.parse(receipt_of(self._agency, vault, unix_s))
        (signed,) = told.signatures
        wrong = note.Signature(signed.name, signed.key_id, bytes(len(signed.value)))
        self._bring(vault, note.Note(told.text, (wrong,)).to_bytes())

    def _at(self, segment: str) -> Path:
        return self.dir / f"{segment}.tar"

    def _bring(self, vault: Vault, told: bytes) -> None:
        self._visits += 1
        durable.write_file(vault.spool.inbox_dir / f"{CAMERA}-{self._visits:04}.receipt", told, 0o644)

    def stored(self, segment: str) -> bool:
        return segment in self.receipted and self._at(segment).exists()
