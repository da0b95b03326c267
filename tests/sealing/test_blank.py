"""The next segment's file, made ahead: used once, gone where no segment comes, and never told as one that was."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.errors import EncryptionError, StorageError
from agent.formats.leaf import Kind
from agent.model import NS, MediaPart
from agent.sealing.tiles import TileStore
from tests.camera_kit import Desk, begin, check_log, failing, report

SEGMENT_S = 8
NEAR = 9
"""So many parts of half a second, and the next one's file is made."""


@pytest.fixture
def near(desk: Desk) -> Desk:
    desk.segment_ns = SEGMENT_S * NS
    begin(desk.open()).record(NEAR)
    return desk


def ahead(desk: Desk) -> list[Path]:
    return list(desk.root.glob("open/*-0001.tar"))


def test_it_is_there_before_its_segment_and_goes_where_none_comes(near: Desk) -> None:
    (path,) = ahead(near)
    assert not path.read_bytes().strip(b"\0")
    near.sealer.stop_recording(near._name, {"type": "record.stop"}, NEAR)
    assert ahead(near) == []


def test_it_is_its_segment_s(near: Desk) -> None:
    (path,) = ahead(near)
    inode = path.stat().st_ino
    for number in range(NEAR, 2 * SEGMENT_S + 1):
        near.add(number)
    assert ahead(near) == [path] and path.stat().st_ino == inode
    assert path.read_bytes().strip(b"\0")


def test_one_that_a_cut_left_is_removed_and_named_nowhere(near: Desk) -> None:
    assert ahead(near)
    again = Desk(near.agency, near.root, near.clock).open()
    assert ahead(near) == []
    assert [(r.segment, r.entries > 0) for r in again.outcome.recovered] == [(f"{near._name}-0000", True)]
    begin(again).sealer.seal_open()
    check_log(again)
    assert failing(report(again)) == []


def test_what_the_disk_refuses_ahead_is_no_fault_and_made_when_it_is_needed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.segment_ns = SEGMENT_S * NS
    begin(desk.open())

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    desk.record(NEAR - 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        for number in range(NEAR - 2, NEAR):
            desk.add(number)
        assert ahead(desk) == [] and desk.sealer.refused is None and desk.late == []
    for number in range(NEAR, 2 * SEGMENT_S + 1):
        desk.add(number)
    assert len(ahead(desk)) == 1


def test_making_it_says_nothing_of_what_the_disk_has_refused(near: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("cannot write a tile")

    with monkeypatch.context() as patch:
        patch.setattr(TileStore, "flushing", refuse)
        near.sealer.flush_tiles()
        assert near.sealer.refused is not None
        near.sealer._next.want(f"{near._name}-0002")
        near.sealer.settle(lambda: True)
        assert list(near.root.glob("open/*-0002.tar"))
        assert near.sealer.refused is not None
    near.sealer.settle()
    assert near.sealer.refused is None and not near.sealer.owes


def test_a_part_at_which_it_rotates_and_the_random_source_fails_is_refused_whole(
    near: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As what cannot be encrypted, so that it is tried again; and no descriptor is left open."""
    for number in range(NEAR, 2 * (SEGMENT_S - 2)):
        near.add(number)
    number = 2 * (SEGMENT_S - 2)
    part = MediaPart(number, b"a part", number * NS // 2, NS // 2, True, 15, 24_000)

    def gone(size: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", gone)
        for _ in range(3):
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(EncryptionError):
                near.sealer.media(near._name, part)
            assert len(os.listdir("/proc/self/fd")) == before
    near.sealer.media(near._name, part)
    near.sealer.settle()
    assert near.sealer.open_name == f"{near._name}-0001"
    near.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    near.sealer.seal_open()
    check_log(near)
