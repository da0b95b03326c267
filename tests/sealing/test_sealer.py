"""What the sealer writes is evidence, in order, whatever the disk does in between."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent import durable
from agent.errors import StorageError
from agent.formats import age, merkle, note
from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from agent.model import NS, SegmentState
from tests.camera_kit import Desk, all_leaves, read


def test_segments_tile_the_log_and_every_root_is_signed(desk: Desk) -> None:
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {"resumes": None})
    name = desk.record(5)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    records = desk.spool.records(SegmentState.SEALED)
    assert [(r.first, r.end) for r in records] == [(0, 2), (2, 9)]
    frontier = merkle.Frontier()
    for record in records:
        header, reader, entries = read(desk.spool.segment(SegmentState.SEALED, record.segment))
        assert reader.sealed
        assert header.frontier == frontier
        for entry, leaf in entries:
            frontier = frontier.append(merkle.leaf_hash(entry.leaf))
            signed = note.parse(entry.note)
            note.verify_ed25519(signed, desk.log.origin, desk.log.session.key.public_key())
            assert note.parse_checkpoint(signed.text).root == frontier.root()
            assert leaf.common.sealed.sha256 == hashlib.sha256(entry.sealed).hexdigest()


def test_seal_leaf_names_the_file_that_was_sealed(desk: Desk) -> None:
    name = desk.record(2)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    desk.sealer.seal_open()
    seals = [x for x in all_leaves(desk) if isinstance(x, leaves.EventLeaf) and x.kind is Kind.SEAL]
    for leaf in seals:
        path = desk.spool.segment(SegmentState.SEALED, str(leaf.facts["segment"]))
        assert hashlib.sha256(path.read_bytes()).hexdigest() == leaf.facts["sha256"]
        assert path.stat().st_size == leaf.facts["size"]
    assert len(seals) == 2


def test_only_the_agency_opens_it_and_the_hash_in_the_leaf_fits(desk: Desk) -> None:
    desk.sealer.event(Kind.EVENT, {"type": "mark", "text": "secret"})
    desk.sealer.seal_open()
    record = desk.spool.records(SegmentState.SEALED)[0]
    path = desk.spool.segment(SegmentState.SEALED, record.segment)
    assert b"secret" not in path.read_bytes()
    ((entry, leaf),) = read(path)[2]
    assert isinstance(leaf, leaves.EventLeaf)
    body = leaves.open_body(age.decrypt(entry.sealed, [desk.identity()]), leaf.body)
    assert body == {"type": "mark", "text": "secret"}


def test_rotation_is_at_the_first_idr_and_loses_no_part(agency, tmp_path: Path) -> None:
    desk = Desk(agency, tmp_path / "spool", segment_ns=6 * NS).open()
    name = desk.record(41)
    parts = desk.sealer.stop_recording(name, {"type": "record.stop"}).parts
    media = [x for x in all_leaves(desk) if isinstance(x, leaves.MediaLeaf)]
    assert [m.part for m in media] == list(range(41)) == list(range(parts))
    for record in desk.spool.records(SegmentState.SEALED):
        in_segment = [x for _, x in read(desk.spool.segment(SegmentState.SEALED, record.segment))[2]]
        firsts = [x for x in in_segment if isinstance(x, leaves.MediaLeaf)]
        if firsts:
            assert firsts[0].idr
            assert firsts[-1].start_ns + firsts[-1].duration_ns - firsts[0].start_ns <= 6 * NS


def test_a_part_that_begins_a_segment_waits_for_two_syncs(agency, tmp_path: Path, monkeypatch) -> None:
    """The head, and the part itself. The file's name is durable by then; to seal the segment before takes many more,
    and comes after.
    """
    desk = Desk(agency, tmp_path / "spool", segment_ns=6 * NS).open()
    syncs, waited = 0, {}
    real_fsync, real_fdatasync, real_commit = os.fsync, os.fdatasync, desk.log.commit

    def counting(real):
        def call(fd: int) -> None:
            nonlocal syncs
            syncs += 1
            real(fd)

        return call

    def commit(proposal) -> None:
        real_commit(proposal)
        waited.setdefault(number, syncs)

    name, number = desk.sealer.start_recording({"type": "record.start"}), -1
    desk.sealer.settle()
    desk.begin_media(name)
    monkeypatch.setattr(os, "fsync", counting(real_fsync))
    monkeypatch.setattr(os, "fdatasync", counting(real_fdatasync))
    monkeypatch.setattr(desk.log, "commit", commit)
    for number in range(16):
        syncs = 0
        desk.add(number, 400)
        assert not desk.sealer.owes
    assert set(waited.values()) == {1, 2}
    assert len(desk.spool.records(SegmentState.SEALED)) >= 2


def test_a_segment_never_grows_beyond_its_bytes(agency, tmp_path: Path) -> None:
    desk = Desk(agency, tmp_path / "spool", segment_bytes=1 << 20).open()
    name = desk.record(30, part_bytes=200_000)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    sizes = [r.size for r in desk.spool.records(SegmentState.SEALED)]
    assert max(sizes) <= 1 << 20
    assert len(sizes) > 5


def test_no_checkpoint_is_the_logs_before_fdatasync_returned(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sealer.event(Kind.EVENT, {"type": "one"})
    seen: list[int] = []
    real = os.fdatasync

    def watch(fd: int) -> None:
        seen.append(desk.log.next_index)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", watch)
    desk.sealer.event(Kind.EVENT, {"type": "two"})
    assert seen == [1]
    assert desk.log.next_index == 2


@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_a_failed_write_changes_nothing_and_leaves_no_note_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    desk.sealer.event(Kind.EVENT, {"type": "one"})
    path = next(desk.spool.open_dir.glob("*.tar"))
    with monkeypatch.context() as patch:
        broken = _fail_after_writing(getattr(os, call))
        patch.setattr(os, call, broken)
        with pytest.raises(StorageError, match="Input/output"):
            desk.sealer.event(Kind.EVENT, {"type": "lost"})
    assert desk.log.next_index == 1
    assert b"0000000001.note" not in path.read_bytes()
    assert desk.sealer.event(Kind.EVENT, {"type": "two"}) == 1
    desk.sealer.seal_open()
    assert [x.common.index for x in all_leaves(desk)] == [0, 1]


def _fail_after_writing(real):
    def call(*arguments):
        real(*arguments)
        raise OSError(errno.EIO, "Input/output error")

    return call


def test_the_logs_reserve_lets_the_stop_leaf_through_a_full_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = desk.root / "log" / "reserve"
    reserve.write_bytes(bytes(4096))
    name = desk.record(3)
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match="No space left"):
        desk.add(3)
    desk.sealer.stop_recording(name, {"type": "record.stop", "reason": "storage full"})
    stops = [x for x in all_leaves(desk) if isinstance(x, leaves.EventLeaf) and x.kind is Kind.STOP]
    assert stops[0].facts["parts"] == 3


def test_tiles_lead_to_the_checkpoint_at_every_flush(desk: Desk) -> None:
    for count in (1, 254, 1, 1, 300):
        for _ in range(count):
            desk.sealer.event(Kind.EVENT, {"type": "x"})
        desk.sealer.seal_open()
        directory = desk.spool.log_dir(1)
        head = note.parse_checkpoint(note.parse((directory / "checkpoint").read_bytes()).text)
        tree = merkle.TileTree(head.size, partial(_bytes, directory))
        assert tree.frontier() == desk.log.frontier
        assert head.root == desk.log.root_at(head.size) == desk.log.frontier.root()
        assert desk.log.root_at(1) == merkle.leaf_hash(_leaf_zero(desk))


def _bytes(directory: Path, tile: merkle.TileId) -> bytes | None:
    path = directory / tile.path
    return path.read_bytes() if path.exists() else None


def _leaf_zero(desk: Desk) -> bytes:
    first = desk.spool.records(SegmentState.SEALED)[0]
    return read(desk.spool.segment(SegmentState.SEALED, first.segment))[2][0][0].leaf


@pytest.mark.wide
@pytest.mark.parametrize("failing", range(4))
def test_a_tile_that_cannot_be_written_costs_no_leaf(desk: Desk, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """A leaf is durable before its tile is: a failure at the 1st, 2nd ... file of a flush is made good by the next."""
    for _ in range(300):
        desk.sealer.event(Kind.EVENT, {"type": "x"})
    real, calls = durable.writing, iter(range(1_000))

    def broken(path: Path, data: bytes, mode: int = 0o600) -> Iterator[None]:
        if desk.spool.log_dir(1) in path.parents and next(calls) == failing:
            raise StorageError(f"cannot write {path}: Input/output error", "replace the card")
        yield from real(path, data, mode)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "writing", broken)
        desk.sealer.seal_open()
    assert "Input/output" in desk.late[0].message
    assert desk.sealer.owes
    for _ in range(300):
        desk.sealer.event(Kind.EVENT, {"type": "y"})
    desk.sealer.seal_open()
    assert not desk.sealer.owes
    assert [x.common.index for x in all_leaves(desk)] == list(range(desk.log.next_index))
    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    assert again.log.frontier == desk.log.frontier
    assert all(len(t.read_bytes()) == 8192 for t in desk.spool.log_dir(1).glob("tile/0/*") if t.is_file())
