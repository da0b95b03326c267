"""What a press finds in the ring becomes durable in few syncs, oldest first; what is live stays in parts of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from agent import recording as recordings
from agent.errors import StorageError
from agent.formats import age
from agent.formats import leaf as leaves
from agent.media.joining import joined
from agent.model import NS, EncodedPacket, MediaPart, SegmentState, StreamInfo, Track
from agent.recording import Recording
from tests.camera_kit import Desk, begin, check_log, failing, read, report

PART_NS = NS // 2
RING = 60
"""Parts, of 30 s."""


class Card:
    """Takes each sync when it may, counts them, and takes `sync_ns` for each by the desk's clock."""

    def __init__(self, desk: Desk, patch: pytest.MonkeyPatch, sync_ns: int = NS // 10) -> None:
        self.syncs, self.refuses = 0, 0
        self.may = threading.Event()
        real = os.fdatasync

        def fdatasync(fd: int) -> None:
            assert self.may.wait(30)
            self.syncs += 1
            desk.clock.now_ns += sync_ns
            if self.refuses:
                self.refuses -= 1
                raise OSError(5, "Input/output error")
            real(fd)

        patch.setattr(os, "fdatasync", fdatasync)


class Press:
    """A recording that reaches `ring_ns` back, whose parts come when they are given."""

    def __init__(self, desk: Desk, ring_ns: int) -> None:
        self.desk, self.faults, self._given = desk, list[StorageError](), 0
        self.data: list[bytes] = []
        begin(desk)
        self.name = desk.sealer.start_recording({"type": "record.start"})
        info = StreamInfo(320, 180, b"", None, desk.clock.now_ns - ring_ns)
        self.recording = Recording(self.name, desk.sealer, info, self._make, self.faults.append, desk.clock)
        opened, begin_media = threading.Event(), desk.sealer.begin_media
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.sealer, "begin_media", lambda *a: (begin_media(*a), opened.set()))
            self.recording.sink(EncodedPacket(Track.VIDEO, 0, 3_000, True, b""))
            assert opened.wait(30)

    def _make(
        self, _: StreamInfo, on_init: Callable[[bytes], None], on_part: Callable[[MediaPart], None]
    ) -> recordings.Muxer:
        self._on_part = on_part

        class Init:
            def push(self, packet: EncodedPacket) -> None:
                on_init(b"ftyp-and-moov")

            def close(self) -> None:
                pass

        return Init()

    def give(self, count: int) -> None:
        for number in range(self._given, self._given + count):
            self.data.append(os.urandom(400))
            self._on_part(MediaPart(number, self.data[-1], number * PART_NS, PART_NS, number % 2 == 0, 15, 24_000))
        self._given += count

    def end(self) -> list[leaves.MediaLeaf]:
        """Its stop, and the media leaves that the sealed log has."""
        self.recording.finish(30)
        self.desk.sealer.stop_recording(self.name, {"type": "record.stop"}, self.recording.offered)
        self.desk.sealer.settle()
        assert failing(report(self.desk)) == []
        return [x for x in check_log(self.desk) if isinstance(x, leaves.MediaLeaf)]

    def plain(self) -> bytes:
        """What its parts hold, one after another."""
        found = []
        for record in self.desk.spool.records(SegmentState.SEALED):
            for entry, leaf in read(self.desk.spool.segment(SegmentState.SEALED, record.segment))[2]:
                if isinstance(leaf, leaves.MediaLeaf):
                    found.append(age.decrypt(entry.sealed, [self.desk.identity()]))
        return b"".join(found)

    def lost(self) -> int:
        for record in self.desk.spool.records(SegmentState.SEALED):
            for entry, leaf in read(self.desk.spool.segment(SegmentState.SEALED, record.segment))[2]:
                if isinstance(leaf, leaves.EventLeaf) and leaf.kind is leaves.Kind.STOP:
                    body = leaves.open_body(age.decrypt(entry.sealed, [self.desk.identity()]), leaf.body)
                    return int(body["lost_parts"])
        raise AssertionError("no stop leaf")


def test_a_ring_on_a_card_that_syncs_slowly_is_durable_ten_times_as_fast_as_real_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """30 s where each sync takes 0.1 s; in parts of their own they would take 6 s."""
    press = Press(desk, RING * PART_NS)
    card = Card(desk, monkeypatch)
    pressed_ns = desk.clock.now_ns
    press.give(RING)
    card.may.set()
    media = press.end()
    assert desk.clock.now_ns - pressed_ns < RING * PART_NS / 10
    assert card.syncs < RING / 3
    assert press.plain() == b"".join(press.data)
    ends = [leaf.start_ns + leaf.duration_ns for leaf in media]
    assert [leaf.start_ns for leaf in media] == [0, *ends[:-1]] and ends[-1] == RING * PART_NS
    assert media[0].duration_ns == PART_NS
    assert press.lost() == 0 and not press.faults


def test_a_ring_is_durable_sooner_than_as_much_comes_in_on_a_card_that_takes_longer_than_a_part_lasts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    press = Press(desk, RING * PART_NS)
    card = Card(desk, monkeypatch, 6 * NS // 10)
    pressed_ns = desk.clock.now_ns
    press.give(RING)
    card.may.set()
    assert len(press.end()) < RING * 2 / 3
    assert desk.clock.now_ns - pressed_ns < RING * PART_NS
    assert press.plain() == b"".join(press.data) and press.lost() == 0


def test_what_comes_live_behind_the_ring_has_parts_of_its_own(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    press = Press(desk, 8 * PART_NS)
    card = Card(desk, monkeypatch, 0)
    press.give(12)
    card.may.set()
    lengths = [leaf.duration_ns for leaf in press.end()]
    # What ended in the second before, and after it.
    assert lengths[-6:] == [PART_NS] * 6 and max(lengths[:-6]) > PART_NS
    assert press.plain() == b"".join(press.data)


def test_nothing_of_a_longer_part_is_told_durable_before_its_sync(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    press = Press(desk, RING * PART_NS)
    card = Card(desk, monkeypatch)
    told: list[int] = []
    append = desk.sealer._append

    def watched(*arguments: object) -> int:
        before = press.recording.progress().media_ns, desk.log.next_index
        real = os.fdatasync

        def at_sync(fd: int) -> None:
            told.append((press.recording.progress().media_ns, desk.log.next_index) == before)
            real(fd)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fdatasync", at_sync)
            return append(*arguments)

    monkeypatch.setattr(desk.sealer, "_append", watched)
    press.give(RING)
    card.may.set()
    assert len(press.end()) < RING / 3
    assert len(told) > 5 and all(told)


def test_a_longer_part_that_the_disk_refused_is_tried_again_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "RETRY_S", 0.01)
    press = Press(desk, RING * PART_NS)
    card = Card(desk, monkeypatch)
    press.give(RING)
    real, media = desk.sealer.media, list[int]()

    def refused_once(name: str, part: MediaPart) -> int:
        media.append(part.pieces)
        card.refuses = len(media) == 3
        return real(name, part)

    monkeypatch.setattr(desk.sealer, "media", refused_once)
    card.may.set()
    press.end()
    assert media[2] == media[3] > 1 and len(press.faults) == 1
    assert press.plain() == b"".join(press.data) and press.lost() == 0


def test_lost_is_counted_in_pieces_where_the_last_word_on_them_is(desk: Desk) -> None:
    """By whoever holds the disk, and not by who waits for it: a longer part may still be on its way at the end."""
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.sealer.begin_media(name, b"ftyp-and-moov", 0)
    pieces = [MediaPart(n, os.urandom(400), n * PART_NS, PART_NS, n % 2 == 0, 15, 24_000) for n in range(4)]
    desk.sealer.media(name, pieces[0])
    desk.sealer.media(name, joined(pieces[1:]))
    assert desk.sealer.stop_recording(name, {"type": "record.stop"}, 9) == (2, 5)


def test_of_a_longer_part_that_is_lost_each_piece_is_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    press = Press(desk, RING * PART_NS)
    card = Card(desk, monkeypatch)
    real, cost = desk.sealer.media, list[int]()

    def broken(name: str, part: MediaPart) -> int:
        if part.pieces > 1 and not cost:
            cost.append(part.pieces)
            raise ValueError("a defect")
        return real(name, part)

    monkeypatch.setattr(desk.sealer, "media", broken)
    press.give(RING)
    card.may.set()
    durable = len(press.end())
    assert cost[0] > 1
    assert press.lost() == press.recording.progress().lost_parts == cost[0]
    assert press.recording.offered == RING > durable + cost[0]
