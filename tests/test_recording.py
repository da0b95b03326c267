"""One recording's queue and its sealing thread: what fails is said and counted, and what follows is kept."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent import recording as recordings
from agent.errors import StorageError
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.recording import Recording
from tests.camera_kit import Desk, all_leaves, read
from tests.muxer_kit import Muxer

STOP = {"type": "record.stop"}


class Begun:
    """A recording whose first segment is open."""

    def __init__(self, desk: Desk, at_close: int = 0, room_bytes: int = recordings.HELD_BYTES) -> None:
        self.faults: list[StorageError] = []
        self.faulted = threading.Event()
        self.desk, self.name = desk, desk.sealer.start_recording({"type": "record.start"})
        info = StreamInfo(320, 180, b"", None, desk.clock.monotonic_ns())

        def make(_: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]) -> Muxer:
            self.muxer = Muxer(on_init, on_part, at_close)
            return self.muxer

        self.recording = Recording(self.name, desk.sealer, info, make, self._fault, desk.clock, room_bytes)
        opened, begin_media = threading.Event(), desk.sealer.begin_media
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.sealer, "begin_media", lambda *a: (begin_media(*a), opened.set()))
            self.recording.sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
            assert opened.wait(30)

    def _fault(self, error: StorageError) -> None:
        self.faults.append(error)
        self.faulted.set()

    def stop(self) -> int:
        return self.desk.sealer.stop_recording(self.name, STOP, self.recording.offered).parts

    def told(self) -> tuple[int, int]:
        """What its stop leaf says: parts, lost parts. The log's media leaves are as many as it says."""
        for record in self.desk.spool.records(SegmentState.SEALED):
            for entry, leaf in read(self.desk.spool.segment(SegmentState.SEALED, record.segment))[2]:
                if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.STOP:
                    body = leaves.open_body(age.decrypt(entry.sealed, [self.desk.identity()]), leaf.body)
                    assert leaf.facts["parts"] == sum(isinstance(x, leaves.MediaLeaf) for x in all_leaves(self.desk))
                    return leaf.facts["parts"], body["lost_parts"]
        raise AssertionError("no stop leaf")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("a defect"), AssertionError()])
def test_a_defect_costs_the_part_it_met_and_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begun = Begun(desk, at_close=4)
    real = desk.sealer.media

    def media(recording: str, part: MediaPart) -> int:
        if part.number == 1:
            raise error
        return real(recording, part)

    monkeypatch.setattr(desk.sealer, "media", media)
    begun.recording.finish(10)
    progress = begun.recording.progress()
    assert (progress.parts, progress.lost_parts, progress.refused) == (3, 1, None)
    assert [f.message.startswith("sealing failed") for f in begun.faults] == [True]
    assert begun.stop() == 3
    assert begun.told() == (3, 1)


@pytest.mark.parametrize("refusals", [recordings.FULL_TRIES - 1, 1_000])
def test_a_full_disk_holds_the_end_up_for_a_few_tries_and_no_longer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """What it takes after all is kept: nothing of it is lost but where it stays full."""
    monkeypatch.setattr(recordings, "RETRY_S", 0.001)
    begun = Begun(desk, at_close=4)
    real, tries = desk.sealer.media, list[int]()

    def media(recording: str, part: MediaPart) -> int:
        if part.number == 1 and len(tries) < refusals:
            with begun.recording._changed:
                assert begun.recording._changed.wait_for(lambda: begun.recording._ended, 30)
            tries.append(part.number)
            raise StorageError("no room") from OSError(errno.ENOSPC, "No space left on device")
        return real(recording, part)

    monkeypatch.setattr(desk.sealer, "media", media)
    begun.recording.finish(60)
    kept = 4 if refusals < recordings.FULL_TRIES else 1
    assert len(tries) == min(refusals, recordings.FULL_TRIES)
    assert begun.stop() == kept
    assert begun.told() == (kept, 4 - kept)


class HangingDisk:
    """fdatasync answers as it is told to: hangs until `go`, or raises."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hang = threading.Event()
        self.go = threading.Event()
        self.entered = threading.Event()
        self.errors: list[OSError] = []
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            if self.hang.is_set():
                self.entered.set()
                assert self.go.wait(60)
            if self.errors:
                raise self.errors[0] if len(self.errors) > 1_000 else self.errors.pop()
            real(fd)

        patch.setattr(os, "fdatasync", fdatasync)


def test_the_stop_leaf_counts_what_a_disk_that_hung_at_the_stop_did_not_take(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write in flight may still succeed: it is counted when that is known."""
    monkeypatch.setattr(recordings, "GRACE_S", 0.0)
    begun, disk = Begun(desk), HangingDisk(monkeypatch)
    disk.hang.set()
    begun.muxer.give(10)
    assert disk.entered.wait(30)
    begun.recording.finish(0.0)
    assert begun.recording.progress().waiting == 10
    with ThreadPoolExecutor(1) as other:
        stop = other.submit(begun.stop)
        disk.hang.clear()
        disk.go.set()
        assert stop.result(30) == 1
    assert begun.told() == (1, 9)


def test_a_full_queue_and_a_broken_disk_leave_no_thread_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, disk = Begun(desk, room_bytes=9_000), HangingDisk(monkeypatch)
    disk.errors = [OSError(errno.EIO, "Input/output error")] * 100_000
    begun.muxer.give(30)
    assert begun.faulted.wait(30)
    assert begun.recording.progress().waiting == 10
    begun.recording.finish(0.0)
    assert begun.recording.progress().waiting == 0
    disk.errors = []
    assert begun.stop() == 0
    assert begun.told() == (0, 30)
    assert [f.message.endswith("Input/output error") for f in begun.faults] == [True]


def test_a_whole_ring_flows_in_at_once_however_short_its_parts_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes in parts of a fifth of a second, before the disk has taken the first."""
    begun, disk = Begun(desk), HangingDisk(monkeypatch)
    disk.hang.set()
    begun.muxer.give(600)
    assert disk.entered.wait(30)
    disk.hang.clear()
    disk.go.set()
    begun.recording.finish(60)
    assert begun.stop() == 600
    assert begun.told() == (600, 0)


def test_a_muxer_that_fails_at_the_end_costs_nothing_that_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, disk = Begun(desk), HangingDisk(monkeypatch)
    disk.hang.set()
    begun.muxer.give(10)
    assert disk.entered.wait(30)

    def fails() -> None:
        disk.hang.clear()
        disk.go.set()
        raise ValueError("a defect")

    monkeypatch.setattr(begun.muxer, "close", fails)
    with pytest.raises(ValueError, match="a defect"):
        begun.recording.finish(30)
    assert begun.recording.progress().waiting == 0
    assert begun.stop() == 10


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_one_refusal_costs_nothing_that_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    begun, disk = Begun(desk), HangingDisk(monkeypatch)
    disk.errors = [OSError(code, os.strerror(code))]
    begun.muxer.give(20)
    begun.recording.finish(30)
    assert begun.stop() == 20
    assert begun.told() == (20, 0)
    assert not begun.recording.storage_full
    assert [os.strerror(code) in f.message for f in begun.faults] == [True]


def test_a_disk_that_stalls_is_trouble_before_it_answers(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, disk = Begun(desk), HangingDisk(monkeypatch)
    disk.hang.set()
    begun.muxer.give(2)
    assert disk.entered.wait(30)
    now = desk.clock.monotonic_ns()
    assert begun.recording.progress().trouble(now) is None
    assert "stalls" in str(begun.recording.progress().trouble(now + 6 * NS))
    disk.hang.clear()
    disk.go.set()
    begun.recording.finish(30)
    assert begun.recording.progress().trouble(now + 6 * NS) is None
    assert begun.stop() == 2


def test_a_signer_that_fails_for_a_while_costs_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for it is tried again, as for a disk that refuses."""
    begun = Begun(desk, at_close=2)
    real, failed = desk.log.session.sign_checkpoint, list[int]()

    def sign(*arguments: object, **named: object) -> bytes:
        if len(failed) < 3:
            failed.append(1)
            raise RuntimeError("the key does not answer")
        return real(*arguments, **named)

    monkeypatch.setattr(type(desk.log.session), "sign_checkpoint", lambda _, *a, **named: sign(*a, **named))
    begun.recording.finish(10)
    assert begun.stop() == 2
    assert begun.told() == (2, 0)
    assert len(failed) == 3 and "cannot be signed: the key does not answer" in begun.faults[0].message


def test_a_ring_that_comes_all_at_once_does_not_lie_in_memory_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "SOFT_BYTES", 2_000)
    monkeypatch.setattr(recordings, "SOFT_S", 30.0)
    begun = Begun(desk)
    most: list[int] = []
    media = desk.sealer.media

    def slowly(name: str, part: MediaPart) -> None:
        most.append(begun.recording.progress().waiting)
        media(name, part)

    monkeypatch.setattr(desk.sealer, "media", slowly)
    begun.muxer.give(40)
    begun.recording.finish(30)
    assert len(most) == 40
    # Of 900 bytes each: what is over the limit waits outside.
    assert max(most) <= 3


def test_a_disk_that_stalls_holds_up_nobody_for_longer_than_a_part_lasts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recordings.SOFT_S < 0.25
    monkeypatch.setattr(recordings, "SOFT_BYTES", 2_000)
    begun, gate = Begun(desk), threading.Event()
    media = desk.sealer.media
    monkeypatch.setattr(desk.sealer, "media", lambda *a: (gate.wait(30), media(*a)))
    begun.muxer.give(10)
    assert begun.recording.progress().waiting == 10 and not gate.is_set()
    gate.set()
    begun.recording.finish(30)
    assert begun.recording.progress().parts == 10
