"""The battery falls out. What was durable is there, continues in one log, and says that it was cut."""

from __future__ import annotations

import errno
import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agent import recovery
from agent.errors import EvidenceError, StorageError
from agent.formats import leaf as leaves
from agent.formats import pack
from agent.formats.leaf import Kind
from agent.formats.seal import SealRecord
from agent.model import NS, SegmentState
from agent.sealing.sealer import Sealer
from agent.sealing.tiles import TileStore
from agent.sealing.writer import SegmentWriter
from tests import answering, campaigns
from tests.camera_kit import Desk, begin, check_log, failing, report


def ends_of_entries(path: Path) -> list[int]:
    return [entry.end for entry, _ in read_open(path)]


def read_open(path: Path):
    """Entries of a segment that is still open: reading stops at the preallocated zeros."""
    found = []
    with path.open("rb") as file:
        reader = pack.PackReader(file.read)
        reader.head()
        try:
            for entry in reader.entries():
                found.append((entry, leaves.parse(entry.leaf)))
        except EvidenceError:
            pass
    return found


def reopened(desk: Desk, root: Path) -> Desk:
    return Desk(desk.agency, root, clock=desk.clock).open()


def go_on_and_check(desk: Desk) -> list[leaves.Leaf]:
    """The log goes on without a gap, and its tiles still lead to its head."""
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {})
    desk.sealer.seal_open()
    return check_log(desk)


@pytest.fixture(scope="module")
def cut_recording(agency, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A recording of six parts whose segment is still open; no tile holds any of them."""
    desk = Desk(agency, tmp_path_factory.mktemp("cut") / "spool").open()
    desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {})
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StorageError("refused")

        patch.setattr(TileStore, "flushing", refuse)
        desk.record(6, part_bytes=700)
    return desk


def test_a_cut_at_any_byte_keeps_every_whole_entry(cut_recording: Desk, tmp_path: Path) -> None:
    """At every block boundary, a byte on either side, and a sample between: the file ends there, or zeros follow."""
    path = next(cut_recording.root.glob("open/*.tar"))
    whole, ends = path.read_bytes(), ends_of_entries(path)
    used = ends[-1]
    lengths = {n + d for n in range(0, used + 1, 512) for d in (-1, 0, 1)}
    lengths |= set(random.Random(7).sample(range(used), 60))
    for number, length in enumerate(sorted(n for n in lengths if 0 <= n <= used)):
        root = tmp_path / f"{number}"
        shutil.copytree(cut_recording.root, root)
        torn = whole[:length] + (bytes(4096) if number % 2 else b"")
        (root / "open" / path.name).write_bytes(torn)
        desk = reopened(cut_recording, root)
        kept = sum(torn[:end] == whole[:end] for end in ends)
        if torn.strip(b"\0"):
            (found,) = desk.outcome.recovered
            assert found.entries == kept, length
            assert found.torn_bytes <= max(0, length - ([0, *ends][kept]))
        else:
            # Nothing was in it: the recording that was cut is named beside the segment with its start.
            (found,) = desk.outcome.recovered
            assert found.segment != path.stem and found.cut_recording == path.stem[: -len("-0000")]
            assert not (root / "open" / path.name).exists()
        media = [x for x in go_on_and_check(desk) if isinstance(x, leaves.MediaLeaf)]
        assert len(media) == kept, length
        shutil.rmtree(root)


@pytest.mark.parametrize("tail", ["garbage", "header-without-data", "note-without-data"])
def test_a_torn_entry_is_erased_before_its_index_is_used_again(cut_recording: Desk, tmp_path: Path, tail: str) -> None:
    """Blocks of the last write may reach the disk in any order: a valid note may be there while its media is not."""
    root = tmp_path / "spool"
    shutil.copytree(cut_recording.root, root)
    path = next(root.glob("open/*.tar"))
    data, ends = bytearray(path.read_bytes()), ends_of_entries(path)
    start, end = ends[-2], ends[-1]
    if tail == "garbage":
        data[start:end] = random.Random(1).randbytes(end - start)
    elif tail == "header-without-data":
        data[start + 512 : end] = bytes(end - start - 512)
    else:
        data[start + 512 : start + 1024] = bytes(512)
    path.write_bytes(data)
    desk = reopened(cut_recording, root)
    assert desk.outcome.recovered[0].entries == len(ends) - 1
    sealed = desk.spool.records(SegmentState.SEALED)[-1]
    text = desk.spool.segment(SegmentState.SEALED, sealed.segment).read_bytes()
    lost = read_open(cut_recording.root / "open" / path.name)[-1][0]
    assert f"{lost.index:010d}.note".encode() not in text
    go_on_and_check(desk)


def test_a_cut_recording_is_named_with_its_parts(cut_recording: Desk, tmp_path: Path) -> None:
    root = tmp_path / "spool"
    shutil.copytree(cut_recording.root, root)
    desk = reopened(cut_recording, root)
    (found,) = desk.outcome.recovered
    assert found.cut_recording is not None
    assert (found.parts, found.torn_bytes) == (6, 0)


@pytest.mark.parametrize("session", ["no leaf", "its session leaf"])
def test_a_second_cut_before_it_is_logged_still_names_the_recording(
    cut_recording: Desk, tmp_path: Path, session: str
) -> None:
    root = tmp_path / "spool"
    shutil.copytree(cut_recording.root, root)
    first = reopened(cut_recording, root)
    if session == "its session leaf":
        first.sealer.event(Kind.SESSION, {"type": "session"}, None, {})
    second = reopened(cut_recording, root)
    cut = [(r.cut_recording, r.parts) for r in first.outcome.recovered]
    assert [(r.cut_recording, r.parts) for r in second.outcome.recovered] == cut
    if session == "no leaf":
        assert second.log.frontier == first.log.frontier
        assert [r.segment for r in second.outcome.unannounced] == [r.segment for r in first.outcome.unannounced]
    ended = begin(second)
    third = reopened(cut_recording, root)
    assert [r.cut_recording for r in third.outcome.recovered] == [None]
    begin(third)
    third.sealer.seal_open()
    check_log(third)
    (log,) = report(ended).logs
    assert [(s.ended, s.parts) for s in log.watch.recordings.values()] == [("interrupted", 6)]


def test_a_cut_between_the_start_and_the_first_part_is_named(desk: Desk) -> None:
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.sealer.event(Kind.EVENT, {"type": "fault"})
    again = reopened(desk, desk.root)
    assert [(r.cut_recording, r.parts) for r in again.outcome.recovered] == [(name, 0)]
    begin(again)
    again.sealer.seal_open()
    assert failing(report(again)) == []


def test_a_cut_right_after_a_rotation_names_the_recording_with_its_parts(desk: Desk, monkeypatch) -> None:
    """The fresh segment holds nothing yet: the last part is in the one before."""
    begin(desk)
    name = desk.record(4)
    desk.sealer._s = replace(desk.sealer._s, segment_ns=2 * NS)

    def cut(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr(Sealer, "_retire", cut)
    with pytest.raises(PowerCut):
        desk.add(4)
    monkeypatch.undo()
    again = reopened(desk, desk.root)
    assert [(r.cut_recording, r.parts) for r in again.outcome.recovered if r.cut_recording] == [(name, 4)]
    assert len(again.outcome.recovered) == 2
    begin(again)
    again.sealer.seal_open()
    assert failing(report(again)) == []


def test_a_full_segment_still_open_that_lost_a_leaf_is_kept_as_it_is(desk: Desk, monkeypatch) -> None:
    """It was durable to its end before the next one began: to cut it would destroy what is left of it."""
    begin(desk)
    desk.record(4)

    def refuse(*_: object) -> None:
        raise StorageError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "sealing", refuse)
        desk.sealer.seal_open()
        desk.sealer.event(Kind.EVENT, {"type": "x"})
    full = next(desk.spool.open_dir.glob("r*.tar"))
    harmed = bytearray(full.read_bytes())
    harmed[len(harmed) // 2] ^= 1
    full.write_bytes(harmed)
    with pytest.raises(StorageError, match="the log goes on"):
        reopened(desk, desk.root)
    assert full.read_bytes() == harmed


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it on the way out."""


CALLS = ("pwrite", "write", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "open")


@pytest.mark.campaign
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_cut_at_every_system_call_of_a_life(agency, tmp_path: Path, monkeypatch, before: bool) -> None:
    """Record, rotate, stop, seal, then again with the power cut at the 1st, 2nd, 3rd ... call that changes the disk.

    `make test` takes every third of them; "before" and "after" begin at different ones.
    """
    campaign = campaigns.Campaign(f"cut-at-every-call-{'before' if before else 'after'}")
    step, stride, finished = int(before), campaigns.size(full=1, sample=3), False
    while not finished:
        root = tmp_path / f"{step}"
        cut = _cut_at(step, before)
        desk = Desk(agency, root, segment_ns=2_000_000_000)
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, cut(getattr(os, name)))
            finished = _live(desk)
        shown = _durable_leaves(desk)
        again = Desk(agency, root, clock=desk.clock).open()
        found = go_on_and_check(again)
        assert len(found) > shown, f"call {step}: {shown} leaves were durable, {len(found) - 1} are there"
        assert not list(root.glob("open/*"))
        shutil.rmtree(root)
        step += stride
    assert step > 60
    campaign.finish(calls=step, every=stride)


def _cut_at(step: int, before: bool):
    calls = iter(range(1_000_000))

    def wrap(real):
        def call(*arguments, **keywords):
            number = next(calls)
            if number == step and before:
                raise PowerCut
            result = real(*arguments, **keywords)
            if number >= step:
                raise PowerCut
            return result

        return call

    return wrap


def _live(desk: Desk) -> bool:
    try:
        desk.open()
        desk.sealer.event(Kind.SESSION, {"type": "session"}, None, {})
        name = desk.record(7, part_bytes=400)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
        desk.sealer.event(Kind.EVENT, {"type": "heartbeat"})
    except PowerCut:
        return False
    return True


def _durable_leaves(desk: Desk) -> int:
    """What the process believed durable when the power went."""
    return desk.log.next_index if hasattr(desk, "log") else 0


def test_a_missing_undelivered_segment_stops_the_camera_with_words(desk: Desk) -> None:
    for _ in range(2):
        name = desk.record(3)
        desk.sealer.stop_recording(name, {"type": "record.stop"})
    desk.sealer.event(Kind.EVENT, {"type": "x"})
    head = desk.spool.log_dir(1)
    shutil.rmtree(head)
    first = desk.spool.records(SegmentState.SEALED)[0]
    desk.spool.segment(SegmentState.SEALED, first.segment).unlink()
    with pytest.raises(StorageError, match="begins at leaf"):
        Desk(desk.agency, desk.root, clock=desk.clock).open()


@pytest.mark.wide
@pytest.mark.parametrize("harm", ["flip", "oversized", "missing", "checkpoint"])
def test_bad_tiles_are_made_anew_from_segments(desk: Desk, harm: str) -> None:
    for _ in range(300):
        desk.sealer.event(Kind.EVENT, {"type": "x"})
    desk.sealer.seal_open()
    tile, checkpoint = desk.spool.log_dir(1) / "tile/0/000", desk.spool.log_dir(1) / "checkpoint"
    whole = tile.read_bytes()
    if harm == "flip":
        tile.write_bytes(bytes([tile.read_bytes()[0] ^ 1]) + tile.read_bytes()[1:])
    elif harm == "oversized":
        tile.write_bytes(bytes(32) + tile.read_bytes())
    elif harm == "missing":
        tile.unlink()
    else:
        checkpoint.write_bytes(bytes(200))
    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    assert again.log.frontier == desk.log.frontier
    go_on_and_check(again)
    assert tile.read_bytes() == whole
    assert len(tile.read_bytes()) == 8192
    third = Desk(desk.agency, desk.root, clock=desk.clock).open()
    assert third.tiles.damage is None


def test_bad_tiles_of_segments_that_are_gone_are_not_made_up(desk: Desk) -> None:
    desk.record(3)
    desk.sealer.seal_open()
    for path in [*desk.spool.sealed_dir.iterdir(), *desk.spool.log_dir(1).glob("tile/0/000.p/*")]:
        path.unlink()
    with pytest.raises(StorageError, match="in no tile and in no segment"):
        Desk(desk.agency, desk.root, clock=desk.clock).open()


def test_a_lost_seal_record_is_made_again(desk: Desk) -> None:
    name = desk.record(2)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    before = desk.spool.records(SegmentState.SEALED)
    for path in desk.spool.sealed_dir.glob("*.seal"):
        path.unlink()
    desk.sealer.close()
    again = Desk(desk.agency, desk.root, clock=desk.clock).open()
    after = again.spool.records(SegmentState.SEALED)[: len(before)]
    assert [replace(r, challenge="", answer="") for r in after] == [replace(r, challenge="", answer="") for r in before]
    assert not {r.challenge for r in after} & {r.challenge for r in before}
    assert len({r.challenge for r in after}) == len(after) > 1
    for made in after:
        assert_answered(again, made)


def assert_answered(desk: Desk, record: SealRecord) -> None:
    """A station that has the bytes can say what the recorder waits for."""
    right = answering.stored(desk.spool, record).answer
    assert len(right) == 32
    assert record.answer == right


@pytest.mark.parametrize("state", [SegmentState.SEALED, SegmentState.DELIVERED])
def test_a_segment_under_its_old_and_its_new_name_is_in_the_new_place_alone(desk: Desk, state: SegmentState) -> None:
    """A cut came when only one of the two directories was on the disk."""
    begin(desk)
    desk.sealer.seal_open()
    (record,) = desk.spool.records(SegmentState.SEALED)
    before = SegmentState.OPEN if state is SegmentState.SEALED else SegmentState.SEALED
    if state is SegmentState.DELIVERED:
        desk.spool.deliver([record])
    os.link(desk.spool.segment(state, record.segment), desk.spool.segment(before, record.segment))
    again = reopened(desk, desk.root)
    assert again.outcome.recovered == ()
    assert again.spool.segments(before) == []
    assert again.spool.records(state) == [record]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_delivery_that_was_cut_short_goes_on_without_making_a_record_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """After so many of its renames; a cut of the start that goes on with it is met by the next one."""
    begin(desk)
    desk.sealer.seal_open()
    for _ in range(2):
        desk.sealer.event(Kind.EVENT, {"type": "mark"}, None, {})
        desk.sealer.seal_open()
    records = desk.spool.records(SegmentState.SEALED)
    # One of them reads as it was not sealed: only its record says so.
    other = replace(records[1], size=records[1].size + 1, kept=True)
    (desk.spool.sealed_dir / f"{other.segment}.seal").write_bytes(other.to_bytes())
    records = [records[0], other, *records[2:]]
    assert len(records) == 3
    rename, left = os.rename, [cut]

    def renamed(one: Path, two: Path) -> None:
        if not left[0]:
            raise _Cut
        left[0] -= 1
        rename(one, two)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", renamed)
        with pytest.raises(_Cut):
            desk.spool.deliver(records)
        left[0] = 1 if cut == 3 else 0
        with pytest.raises(_Cut):
            recovery._finish_moves(desk.spool)
    monkeypatch.setattr(recovery, "_write_record", None)
    spool, moved = reopened(desk, desk.root).spool, min(cut, 3)
    assert [spool.records(state) for state in (SegmentState.DELIVERED, SegmentState.SEALED)] == [
        records[:moved],
        records[moved:],
    ]
    assert len(spool.seals(SegmentState.SEALED)) == len(records) - moved


class _Cut(BaseException):
    """The power went."""


def _flip(path: Path, offset: int) -> bytes:
    harmed = bytearray(path.read_bytes())
    harmed[offset] ^= 1
    path.write_bytes(harmed)
    return bytes(harmed)


@pytest.mark.parametrize("where", ["init", "head", "an entry", "the last but one"])
def test_an_open_segment_that_lost_a_durable_entry_is_kept_as_it_is(
    cut_recording: Desk, tmp_path: Path, where: str
) -> None:
    """An entry is begun when the one before it is durable: what a later one follows was not torn by the cut."""
    root = tmp_path / "spool"
    shutil.copytree(cut_recording.root, root)
    path = next(root.glob("open/r*.tar"))
    ends = ends_of_entries(path)
    offset = {"init": 700, "head": 512 * 3 + 40, "an entry": ends[1] + 700, "the last but one": ends[-2] - 600}[where]
    harmed = _flip(path, offset)
    with pytest.raises(StorageError, match="was stored after that"):
        reopened(cut_recording, root)
    assert path.read_bytes() == harmed


@pytest.mark.parametrize("at", ["after a recording", "right after a start"])
def test_old_blocks_in_a_head_that_was_being_written_stop_nothing(desk: Desk, monkeypatch, at: str) -> None:
    """They are of leaves that the log has, in the tiles or in segments sealed since."""
    begin(desk)
    name = desk.record(4, 300)
    if at == "after a recording":
        desk.sealer.stop_recording(name, {"type": "record.stop"})
        path = desk.spool.segment(SegmentState.SEALED, f"{name}-0000")
    else:
        reopened(desk, desk.root)
        path = desk.spool.segment(SegmentState.SEALED, f"{name}-0000")
        assert desk.spool.records(SegmentState.SEALED)[-1].end > TileStore(desk.spool.log_dir(1)).size
    entries = read_open(path)
    old = path.read_bytes()[entries[-2][0].offset : entries[-1][0].end]
    torn = desk.spool.open_dir / f"e{entries[-1][0].index + 1:010d}-0123abcd.tar"
    torn.write_bytes(bytes(512) + old + bytes(4096))
    again = reopened(desk, desk.root)
    assert [(r.segment, r.entries) for r in again.outcome.recovered if not r.entries] == [(torn.stem, 0)]
    assert not torn.exists()
    go_on_and_check(again)


@pytest.mark.parametrize("left", [0, 1])
def test_an_open_segment_that_lost_what_the_tiles_hold_is_kept_as_it_is(desk: Desk, left: int) -> None:
    """The tiles follow the first part of a segment: what is in them was durable, and no cut tore it."""
    begin(desk)
    name = desk.sealer.start_recording({"type": "record.start"})
    desk.begin_media(name)
    for number in range(3):
        desk.add(number, 700)
        desk.sealer.flush_tiles()
    path = next(desk.root.glob("open/r*.tar"))
    data = path.read_bytes()
    start = [read_open(path)[0][0].offset, *ends_of_entries(path)][left]
    harmed = data[:start] + bytes(len(data) - start)
    path.write_bytes(harmed)
    with pytest.raises(StorageError, match="and the log had"):
        reopened(desk, desk.root)
    assert path.read_bytes() == harmed


def test_leaves_that_only_a_damaged_segment_holds_stop_the_camera(desk: Desk, monkeypatch) -> None:
    """To go on from what is left would sign its indexes again."""
    begin(desk)
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise StorageError("refused")

        patch.setattr(TileStore, "flushing", refuse)
        name = desk.record(5, 300)
        desk.sealer.seal_open()
    path = desk.spool.segment(SegmentState.SEALED, f"{name}-0000")
    harmed = _flip(path, path.stat().st_size * 3 // 4)
    with pytest.raises(StorageError, match="is damaged after leaf"):
        reopened(desk, desk.root)
    assert path.read_bytes() == harmed


def test_a_damaged_segment_whose_leaves_the_tiles_hold_does_not_stop_the_camera(desk: Desk) -> None:
    begin(desk)
    name = desk.record(5, 300)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    path = desk.spool.segment(SegmentState.SEALED, f"{name}-0000")
    harmed = _flip(path, path.stat().st_size // 2)
    size = desk.log.next_index
    again = begin(reopened(desk, desk.root))
    assert again.outcome.recovered == ()
    # What it was sealed as, only its record says, which nobody signed.
    assert again.outcome.unannounced == ()
    assert again.log.next_index > size
    assert path.read_bytes() == harmed
    again.sealer.seal_open()
    found = report(again)
    assert failing(found)
    assert all(path.stem in line for line in failing(found))


@pytest.mark.parametrize("state", [SegmentState.SEALED, SegmentState.DELIVERED])
def test_no_seal_record_is_made_for_what_is_left_of_a_segment(desk: Desk, state: SegmentState) -> None:
    begin(desk)
    name = desk.record(5, 300)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    record = desk.spool.records(SegmentState.SEALED)[-1]
    if state is SegmentState.DELIVERED:
        desk.spool.deliver([record])
    path = desk.spool.segment(state, record.segment)
    path.with_suffix(".seal").unlink()
    _flip(path, path.stat().st_size // 2)
    if state is SegmentState.SEALED:
        with pytest.raises(StorageError, match="its seal record is gone"):
            reopened(desk, desk.root)
    else:
        assert record.segment not in [r.segment for r in reopened(desk, desk.root).spool.records(state)]
    assert path.exists()


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("directory", ["open", "sealed", "log"])
def test_a_directory_that_cannot_be_listed_stops_the_camera(
    cut_recording: Desk, tmp_path: Path, monkeypatch, code: int, directory: str
) -> None:
    """What cannot be seen is not taken for gone: its indexes would be used again."""
    root = tmp_path / "spool"
    shutil.copytree(cut_recording.root, root)
    real = os.scandir

    def scandir(path: str | Path) -> object:
        if str(path) == str(root / directory):
            raise OSError(code, os.strerror(code))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(StorageError, match=os.strerror(code)):
        reopened(cut_recording, root)
    monkeypatch.undo()
    assert list((root / "open").iterdir())
