"""What is read and written at a start is told piece by piece: each sync and each answer of the TPM is one, so that two
seconds without any are a hang, on a slow card too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from agent import durable
from agent.controls.vigil import LIMIT_NS, START_NS
from agent.headway import heard
from agent.model import NS
from agent.sealing.writer import reserve_file
from agent.selftest.keys import MAX_SIGN_MS
from agent.selftest.storage import LONGEST_MS
from agent.spool.store import Spool
from agent.station.layout import AgencyPaths
from agent.tpm import wire
from agent.tpm.device import Tpm
from tests.camera_kit import FakeClock
from tests.recorder_desk import Camera

SYNC, PIECE = "sync", "piece"


@contextmanager
def syncs(told: list[str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            real = getattr(os, name)
            patch.setattr(os, name, lambda fd, real=real: (told.append(SYNC), real(fd))[1])
        with heard(lambda: told.append(PIECE)):
            yield


def apart(told: list[str]) -> bool:
    return SYNC in told and not any(pair == (SYNC, SYNC) for pair in pairwise([*told, SYNC]))


@pytest.mark.parametrize("damage", ["", "seal records", "tiles"])
def test_each_sync_of_a_start_is_a_piece_of_its_own(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """Of the first one, and of one that recovers what the power cut."""
    clock = FakeClock()
    for life in range(3):
        camera, told = Camera(agency, tmp_path, monkeypatch, clock=clock), list[str]()
        gets_on = camera.recorder._gets_on
        with monkeypatch.context() as patch, syncs(told):
            patch.setattr(camera.recorder, "_gets_on", lambda ns, g=gets_on, t=told: (t.append(PIECE), g(ns)))
            open_vault = camera.recorder._open

            def opening(told: list[str] = told, open_vault: Callable[[], None] = open_vault) -> None:
                told.clear()
                open_vault()
                told.append("open")

            patch.setattr(camera.recorder, "_open", opening)
            camera.start()
        assert apart(told[: told.index("open")]), life
        camera.turns(0.5)
        camera.recorder._record("button")
        camera.turns(1)
        camera.drop()
        for path in tmp_path.rglob("*.seal" if damage == "seal records" else "*.p/*" if damage else "nothing"):
            path.unlink() if path.is_file() else None


def test_so_is_each_of_what_keeps_a_file(tmp_path: Path) -> None:
    for action in (
        lambda: durable.write_file(tmp_path / "a", b"1"),
        lambda: durable.create_file(tmp_path / "b", b"1"),
        lambda: durable.move(tmp_path / "a", tmp_path / "c"),
        lambda: durable.remove(tmp_path / "c"),
        lambda: reserve_file(tmp_path / "reserve", 1 << 20),
    ):
        told = list[str]()
        with syncs(told):
            action()
        assert apart(told), told


def test_so_is_each_receipt_that_is_looked_at(tmp_path: Path) -> None:
    spool, told = Spool(tmp_path), list[str]()
    for data in (b"one", b"two", b"three"):
        (spool.receipts_dir / f"{hashlib.sha256(data).hexdigest()}.receipt").write_bytes(data)
    with heard(lambda: told.append(PIECE)):
        assert spool.newest_receipt()
    assert len(told) >= 3


class Patient:
    """A TPM that answers twice that it needs time."""

    def __init__(self, told: list[str]) -> None:
        self._told, self._left = told, 2

    def exchange(self, command: bytes) -> bytes:
        self._told.append(SYNC)
        code, self._left = (min(wire.AGAIN) if self._left else 0), self._left - 1
        return b"\x80\x01" + (10).to_bytes(4, "big") + code.to_bytes(4, "big")

    def close(self) -> None:
        pass


def test_so_is_each_answer_of_the_tpm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.tpm.device.PAUSE_S", 0)
    told = list[str]()
    tpm = Tpm(Path("/dev/tpm"), lambda _: Patient(told))
    with heard(lambda: told.append(PIECE)), tpm.session() as session:
        session.run(b"x", "sign")
    assert told == [SYNC, PIECE] * 3


def test_what_passes_the_self_test_is_no_hang_at_a_start() -> None:
    """Nor is anything else told later than within two seconds."""
    assert max(LONGEST_MS, MAX_SIGN_MS) * NS / 1000 <= START_NS == 2 * NS
    assert LIMIT_NS < START_NS
